//! What the specification says beyond keys and types, one file per section of a config. Only called for configs whose
//! types are right, so that what has another type is simply not there.
//!
//! - `nodes`: files, directories and links; `resource`: contents and where they come from
//! - `disks`: partitions, arrays, file systems, encrypted volumes; `units`: systemd

mod disks;
mod nodes;
mod resource;
mod units;

use std::collections::HashSet;
use std::fmt::Display;

use serde_json::Value;

use super::Finding;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Ignition refuses these.
    pub(super) errors: Vec<Finding>,
    /// Ignition goes on, but perhaps not as was meant.
    pub(super) warnings: Vec<Finding>,
}

impl Findings {
    fn error(&mut self, place: impl Display, text: impl Display) {
        self.errors.push(Finding { place: place.to_string(), text: text.to_string() });
    }

    fn warn(&mut self, place: impl Display, text: impl Display) {
        self.warnings.push(Finding { place: place.to_string(), text: text.to_string() });
    }

    /// Entries of lists that share one set of keys must differ.
    fn unique<'a>(&mut self, entries: impl IntoIterator<Item = (String, Option<&'a str>)>) {
        let mut seen = HashSet::new();
        for (place, key) in entries {
            if !seen.insert(key.unwrap_or_default()) {
                self.error(place, "is there twice");
            }
        }
    }
}

pub(super) fn check(config: &Value, minor: u32) -> Findings {
    let mut findings = Findings::default();
    ignition(&config["ignition"], minor, &mut findings);
    passwd(&config["passwd"], &mut findings);
    kernel_arguments(&config["kernelArguments"], minor, &mut findings);
    nodes::check(config, minor, &mut findings);
    disks::check(&config["storage"], minor, &mut findings);
    units::check(&config["systemd"], &mut findings);
    findings
}

/// The elements of a list, each with its place.
fn elements<'a>(parent: &'a Value, place: &str, name: &str) -> impl Iterator<Item = (String, &'a Value)> + use<'a> {
    let place = if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
    let list = parent[name].as_array().into_iter().flatten().enumerate();
    list.map(move |(index, element)| (format!("{place}[{index}]"), element))
}

/// A text that is there and not empty.
fn filled(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

fn ignition(section: &Value, minor: u32, findings: &mut Findings) {
    let merged = elements(&section["config"], "ignition.config", "merge");
    findings.unique(merged.map(|(place, resource)| (place, resource["source"].as_str())));
    for (place, resource) in elements(&section["config"], "ignition.config", "merge") {
        // In the first version nothing to merge was no error.
        if minor == 0 {
            resource::check(resource, &place, minor, findings);
        } else {
            resource::check_required(resource, &place, minor, findings);
        }
    }
    resource::check(&section["config"]["replace"], "ignition.config.replace", minor, findings);
    let authorities = || elements(&section["security"]["tls"], "ignition.security.tls", "certificateAuthorities");
    findings.unique(authorities().map(|(place, resource)| (place, resource["source"].as_str())));
    for (place, resource) in authorities() {
        resource::check_required(resource, &place, minor, findings);
    }
    if minor >= 1 {
        proxy(&section["proxy"], findings);
    }
}

fn proxy(section: &Value, findings: &mut Findings) {
    for name in ["httpProxy", "httpsProxy"] {
        let place = format!("ignition.proxy.{name}");
        let Some(url) = section[name].as_str() else { continue };
        match resource::scheme(url).as_deref() {
            Some("http") if name == "httpsProxy" => {
                findings.warn(place, "what is fetched by https passes a proxy that is reached without encryption");
            }
            Some("http" | "https") => {}
            _ => findings.error(place, "a proxy must be http or https"),
        }
    }
    let exceptions = elements(section, "ignition.proxy", "noProxy");
    findings.unique(exceptions.map(|(place, host)| (place, host.as_str())));
}

fn passwd(section: &Value, findings: &mut Findings) {
    for list in ["users", "groups"] {
        findings.unique(elements(section, "passwd", list).map(|(place, entry)| (place, entry["name"].as_str())));
    }
    for (place, user) in elements(section, "passwd", "users") {
        for list in ["groups", "sshAuthorizedKeys"] {
            findings.unique(elements(user, &place, list).map(|(place, entry)| (place, entry.as_str())));
        }
    }
}

/// Wanted and unwanted ones share their keys. (Keys that a version does not have are ignored altogether.)
fn kernel_arguments(section: &Value, minor: u32, findings: &mut Findings) {
    if minor >= 3 {
        let lists = ["shouldExist", "shouldNotExist"].into_iter();
        let all = lists.flat_map(|list| elements(section, "kernelArguments", list));
        findings.unique(all.map(|(place, argument)| (place, argument.as_str())));
    }
}
