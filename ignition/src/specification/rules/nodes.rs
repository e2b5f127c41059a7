//! Files, directories and links.

use std::collections::HashSet;

use serde_json::Value;

use super::resource;
use super::{Findings, elements, filled};

const KINDS: [&str; 3] = ["directories", "files", "links"];
/// setuid, setgid, sticky.
const SPECIAL_BITS: i64 = 0o7000;

pub(super) fn check(config: &Value, minor: u32, findings: &mut Findings) {
    let storage = &config["storage"];
    let nodes = || KINDS.into_iter().flat_map(|kind| elements(storage, "storage", kind));
    findings.unique(nodes().map(|(place, node)| (place, node["path"].as_str())));
    let links: Vec<&str> =
        elements(storage, "storage", "links").filter_map(|(_, link)| link["path"].as_str()).collect();
    let units = unit_paths(&config["systemd"]);
    for (place, node) in nodes() {
        let path = node["path"].as_str().unwrap_or_default();
        if let Err(text) = check_path(path) {
            findings.error(format!("{place}.path"), text);
        }
        if links.iter().any(|link| is_below(path, link)) {
            findings.error(&place, "leads through a link of this config");
        }
        if units.contains(path) {
            findings.error(format!("{place}.path"), "is the file of a systemd unit of this config");
        }
        for owner in ["user", "group"] {
            if node[owner]["id"].is_number() && filled(&node[owner]["name"]).is_some() {
                findings.error(format!("{place}.{owner}"), "has both id and name");
            }
        }
        if let Some(mode) = node["mode"].as_i64() {
            if !(0..=0o7777).contains(&mode) {
                findings.error(format!("{place}.mode"), format!("{mode} is not from 0 to 4095 (octal 7777)"));
            } else if mode & SPECIAL_BITS != 0 && minor < 6 {
                findings.warn(format!("{place}.mode"), "setuid, setgid and sticky bits have no effect before 3.6.0");
            }
        }
    }
    for (place, file) in elements(storage, "storage", "files") {
        check_file(file, &place, minor, findings);
    }
    for (place, link) in elements(storage, "storage", "links") {
        check_link(link, &place, storage, minor, findings);
    }
}

fn check_file(file: &Value, place: &str, minor: u32, findings: &mut Findings) {
    if file["overwrite"] == true && !file["contents"]["source"].is_string() {
        findings.error(format!("{place}.overwrite"), "must not be true without contents.source");
    }
    resource::check(&file["contents"], &format!("{place}.contents"), minor, findings);
    for (place, resource) in elements(file, place, "append") {
        resource::check(resource, &place, minor, findings);
    }
}

fn check_link(link: &Value, place: &str, storage: &Value, minor: u32, findings: &mut Findings) {
    let Some(target) = filled(&link["target"]) else {
        // Before 3.3.0 the schema has it that there must be one, and nobody looks into it.
        let place = format!("{place}.target");
        return if minor < 3 { findings.warn(place, "is empty") } else { findings.error(place, "is missing") };
    };
    if link["hard"] == true {
        let path = link["path"].as_str().unwrap_or_default();
        let target = if target.starts_with('/') { clean(target) } else { clean(&format!("{path}/{target}")) };
        if elements(storage, "storage", "directories").any(|(_, directory)| directory["path"] == *target) {
            findings.error(place, "is a hard link to a directory");
        }
    }
}

/// Files that Ignition makes of units.
fn unit_paths(systemd: &Value) -> HashSet<String> {
    let mut paths = HashSet::new();
    for (_, unit) in elements(systemd, "systemd", "units") {
        let path = format!("/etc/systemd/system/{}", unit["name"].as_str().unwrap_or_default());
        for (_, dropin) in elements(unit, "", "dropins") {
            if filled(&dropin["contents"]).is_some() {
                paths.insert(format!("{path}.d/{}", dropin["name"].as_str().unwrap_or_default()));
            }
        }
        if filled(&unit["contents"]).is_some() {
            paths.insert(path);
        }
    }
    paths
}

fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

/// Absolute, and written in the shortest way.
pub(super) fn check_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        Err("is missing")
    } else if !path.starts_with('/') {
        Err("not absolute")
    } else if clean(path) != path {
        Err("not fully simplified: no '//', '.', '..' or '/' at the end")
    } else {
        Ok(())
    }
}

/// A path without empty parts, `.` and `..`.
fn clean(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
