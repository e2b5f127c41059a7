//! What Ignition accepts: a config against the specification of its version, before a machine finds out.
//!
//! - `schema`: keys and types, by the types that Ignition's authors publish
//! - `rules`: what the specification says beyond them (<https://coreos.github.io/ignition/specs/>), as
//!   `ignition-validate` checks it
//! - [`data_url`]: contents that travel in the config; configs among them are checked like the one around them

pub mod data_url;
mod rules;
mod schema;

use std::fmt;
use std::str::FromStr;

use serde_json::Value;
use thiserror::Error;

/// Configs inside of configs deeper than this are nobody's intention.
const MAX_DEPTH: usize = 8;

/// A version of the specification, `3.MINOR.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    minor: u32,
    stable: bool,
}

/// Not a version that a config can have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("version {0:?} is not 3.MINOR.0")]
pub struct VersionError(String);

impl Version {
    /// The first one.
    pub const OLDEST: Self = Self::stable(0);
    /// The last one whose rules are known here.
    pub const NEWEST: Self = Self::stable(6);

    /// `3.MINOR.0`.
    #[must_use]
    pub const fn stable(minor: u32) -> Self {
        Self { minor, stable: true }
    }

    /// The newest specification that a release of Ignition reads, `Ignition 2.14.0` or `2.14.0`
    /// (<https://coreos.github.io/ignition/specs/>); none for a release before 2.0 or what is no release.
    #[must_use]
    pub fn read_by(release: &str) -> Option<Self> {
        const FIRST_RELEASES: [u32; 7] = [0, 3, 7, 11, 15, 20, 26];
        let numbers = release.trim().rsplit(' ').next()?.trim_start_matches('v');
        let mut numbers = numbers.split(['.', '-', '+']);
        let (major, minor) = (numbers.next()?, numbers.next()?.parse::<u32>().ok()?);
        let known = FIRST_RELEASES.iter().filter(|first| **first <= minor).count() as u32;
        (major == "2").then(|| Self::stable(known - 1))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "3.{}.0{}", self.minor, if self.stable { "" } else { "-experimental" })
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let error = || VersionError(text.to_owned());
        let (numbers, stable) = match text.strip_suffix("-experimental") {
            Some(numbers) => (numbers, false),
            None => (text, true),
        };
        let minor = numbers.strip_prefix("3.").and_then(|rest| rest.strip_suffix(".0")).ok_or_else(error)?;
        let plain = minor.bytes().all(|byte| byte.is_ascii_digit()) && (minor == "0" || !minor.starts_with('0'));
        let minor = minor.parse().map_err(|_| error())?;
        if plain { Ok(Self { minor, stable }) } else { Err(error()) }
    }
}

/// Something at a place in a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where, `storage.files[0].mode`.
    pub place: String,
    /// What is there.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.text)
    }
}

/// Why Ignition would not take a config.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpecificationError {
    /// JSON, but no object.
    #[error("is not a JSON object")]
    NotAnObject,
    /// Nothing says that it is a config.
    #[error("has no ignition.version")]
    NoVersion,
    /// A version that is none, or of the time before 3.0.
    #[error("has version {0}; this operating system reads version 3.x")]
    Version(String),
    /// A version that the Ignition that will read it does not know.
    #[error("has version {version}; the Ignition that will read it knows versions up to {newest}")]
    TooNew {
        /// Of the config.
        version: Version,
        /// That is known.
        newest: Version,
    },
    /// Wrong types and broken rules, the first of them.
    #[error("is not valid: {}", list(.0))]
    Invalid(Vec<Finding>),
}

/// Three of them say enough.
fn list(findings: &[Finding]) -> String {
    const SHOWN: usize = 3;
    let mut text = findings.iter().take(SHOWN).map(Finding::to_string).collect::<Vec<_>>().join("; ");
    if findings.len() > SHOWN {
        text.push_str(&format!("; and {} more", findings.len() - SHOWN));
    }
    text
}

/// What there is to say about a config that Ignition takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Its version.
    pub version: Version,
    /// Keys that Ignition ignores, and what it warns of.
    pub warnings: Vec<Finding>,
}

/// Checks a config, and the configs inside of it that it merges or is replaced by; those that have to be downloaded
/// cannot be. `reader` is the newest version that the Ignition in question reads, where that is known.
///
/// A config that is newer than [`Version::NEWEST`] is taken with a warning, as its schema is not known here.
///
/// # Errors
/// Why Ignition would refuse it.
pub fn check(config: &Value, reader: Option<Version>) -> Result<Verdict, SpecificationError> {
    check_inside(config, reader, 0)
}

fn check_inside(config: &Value, reader: Option<Version>, depth: usize) -> Result<Verdict, SpecificationError> {
    if !config.is_object() {
        return Err(SpecificationError::NotAnObject);
    }
    let text = match &config["ignition"]["version"] {
        Value::Null => return Err(SpecificationError::NoVersion),
        Value::String(text) => text,
        other => return Err(SpecificationError::Version(other.to_string())),
    };
    let version: Version = text.parse().map_err(|_| SpecificationError::Version(text.clone()))?;
    if let Some(newest) = reader.filter(|newest| version.minor > newest.minor) {
        return Err(SpecificationError::TooNew { version, newest });
    }
    let mut warnings = Vec::new();
    let warning = |text: &str| Finding { place: "ignition.version".to_owned(), text: text.to_owned() };
    if !version.stable {
        warnings.push(warning("an experimental version, which only some development releases of Ignition read"));
    }
    if version.minor > Version::NEWEST.minor {
        warnings.push(warning("newer than what can be checked here"));
        return Ok(Verdict { version, warnings });
    }
    warnings
        .extend(schema::check(config, version.minor).map_err(|finding| SpecificationError::Invalid(vec![finding]))?);
    let mut findings = rules::check(config, version.minor);
    warnings.append(&mut findings.warnings);
    for (place, resource) in included(config) {
        match included_config(resource) {
            None => {}
            Some(Err(text)) => findings.errors.push(Finding { place, text }),
            Some(Ok(_)) if depth == MAX_DEPTH => {
                findings.errors.push(Finding { place, text: "configs inside of configs too deep".to_owned() });
            }
            Some(Ok(config)) => match check_inside(&config, reader, depth + 1) {
                Ok(verdict) => warnings.extend(verdict.warnings.into_iter().map(|warning| below(&place, warning))),
                Err(SpecificationError::Invalid(errors)) => {
                    findings.errors.extend(errors.into_iter().map(|error| below(&place, error)));
                }
                Err(error) => findings.errors.push(Finding { place, text: format!("the config inside {error}") }),
            },
        }
    }
    if findings.errors.is_empty() {
        Ok(Verdict { version, warnings })
    } else {
        Err(SpecificationError::Invalid(findings.errors))
    }
}

fn below(place: &str, finding: Finding) -> Finding {
    Finding { place: format!("{place} > {}", finding.place), text: finding.text }
}

/// The resources that name further configs, and where they stand.
pub(crate) fn included(config: &Value) -> impl Iterator<Item = (String, &Value)> {
    let section = &config["ignition"]["config"];
    let merged = section["merge"].as_array().into_iter().flatten().enumerate();
    let merged = merged.map(|(index, resource)| (format!("ignition.config.merge[{index}]"), resource));
    let replacing = section["replace"].is_object().then(|| ("ignition.config.replace".to_owned(), &section["replace"]));
    merged.chain(replacing)
}

/// The config of a resource that carries it; none when it has to be downloaded.
pub(crate) fn included_config(resource: &Value) -> Option<Result<Value, String>> {
    let contents = match data_url::contents(resource)? {
        Ok(contents) => contents,
        Err(error) => return Some(Err(error.to_string())),
    };
    Some(serde_json::from_slice(&contents).map_err(|error| format!("the config inside is not JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(config: &Value) -> String {
        check(config, None).unwrap_err().to_string()
    }

    #[test]
    fn versions_are_read_and_ordered() {
        for (text, version) in [("3.0.0", Version::OLDEST), ("3.6.0", Version::NEWEST), ("3.12.0", Version::stable(12))]
        {
            assert_eq!(text.parse(), Ok(version));
            assert_eq!(version.to_string(), text);
        }
        for text in ["3", "3.1", "3.01.0", "3.1.1", "2.3.0", "3.+1.0", "3.1.0-beta", "4.0.0", ""] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
        for (release, newest) in [("Ignition 2.14.0", 3), ("2.26.1", 6), ("v2.3.0", 1), ("2.0.0+git", 0), ("2.99.0", 6)]
        {
            assert_eq!(Version::read_by(release), Some(Version::stable(newest)), "{release}");
        }
        assert_eq!(Version::read_by("0.35.0"), None);
        assert_eq!(Version::read_by("Ignition"), None);
    }

    #[test]
    fn what_has_no_version_of_ours_is_refused() {
        assert_eq!(refusal(&json!([1])), "is not a JSON object");
        assert_eq!(refusal(&json!({"passwd": {}})), "has no ignition.version");
        assert_eq!(
            refusal(&json!({"ignition": {"version": 3}})),
            "has version 3; this operating system reads version 3.x"
        );
        assert!(refusal(&json!({"ignition": {"version": "2.2.0"}})).starts_with("has version 2.2.0;"));
    }

    #[test]
    fn a_config_must_not_be_newer_than_its_reader() {
        let config = json!({"ignition": {"version": "3.5.0"}});
        let reader = Version::read_by("Ignition 2.14.0");
        let expected = "has version 3.5.0; the Ignition that will read it knows versions up to 3.3.0";
        assert_eq!(check(&config, reader).unwrap_err().to_string(), expected);
        let inside = json!({"ignition": {"version": "3.2.0", "config": {"merge": [
            {"source": format!("data:,{}", json!({"ignition": {"version": "3.4.0"}}).to_string().replace('"', "%22"))}]}}});
        assert!(check(&inside, None).is_ok());
        assert!(
            check(&inside, reader).unwrap_err().to_string().contains("merge[0]: the config inside has version 3.4.0")
        );
    }

    #[test]
    fn later_and_experimental_versions_pass_with_a_warning() {
        for version in ["3.7.0-experimental", "3.6.0-experimental", "3.9.0"] {
            let verdict = check(&json!({"ignition": {"version": version}}), None).unwrap();
            assert!(!verdict.warnings.is_empty(), "{version}");
        }
    }

    #[test]
    fn wrong_types_and_unknown_keys_are_named_by_their_place() {
        let config = json!({"ignition": {"version": "3.2.0"}, "storage": {"files": [{"path": "/a"}, {"path": "/b", "mode": "0644"}]}});
        assert!(
            refusal(&config).starts_with("is not valid: storage.files[1].mode: invalid type: string"),
            "{}",
            refusal(&config)
        );
        let config = json!({"ignition": {"version": "3.2.0"}, "storage": {"files": [{"path": "/a", "content": "x"}]},
            "kernelArguments": {"shouldExist": ["quiet"]}});
        let places: Vec<_> = check(&config, None).unwrap().warnings.into_iter().map(|warning| warning.place).collect();
        assert_eq!(places, ["storage.files[0].content", "kernelArguments"]);
    }

    #[test]
    fn merged_configs_that_travel_along_are_checked_too() {
        let inner =
            json!({"ignition": {"version": "3.1.0"}, "storage": {"links": [{"path": "etc/x", "target": "/y"}]}});
        let url = data_url::from_bytes(inner.to_string());
        for section in [json!({"merge": [{"source": url}]}), json!({"replace": {"source": url}})] {
            let text = refusal(&json!({"ignition": {"version": "3.2.0", "config": section}}));
            assert!(text.contains(" > storage.links[0].path: not absolute"), "{text}");
        }
        let remote =
            json!({"ignition": {"version": "3.2.0", "config": {"merge": [{"source": "https://192.0.2.1/x"}]}}});
        assert!(check(&remote, None).is_ok());
        let nested = (0..20).fold(json!({"ignition": {"version": "3.2.0"}}), |inner, _| {
            let source = data_url::from_bytes(inner.to_string());
            json!({"ignition": {"version": "3.2.0", "config": {"merge": [{"source": source}]}}})
        });
        assert!(refusal(&nested).contains("too deep"));
    }
}
