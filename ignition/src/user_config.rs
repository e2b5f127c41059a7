//! An Ignition config as somebody else wrote it: recognised, checked, and completed without getting in its way.

use serde_json::{Value, json};
use thiserror::Error;

use crate::specification::{self, Finding, SpecificationError, Version, data_url, included, included_config};
use crate::user_data::{self, Format};

/// Why something is no config that Ignition reads.
#[derive(Debug, Error)]
pub enum UserConfigError {
    /// It is something else.
    #[error("is {0}")]
    OtherFormat(Format),
    /// It is not JSON, and nothing else that is known either.
    #[error("is not valid JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// Ignition would refuse it.
    #[error(transparent)]
    Specification(#[from] SpecificationError),
}

/// A config that Ignition takes.
#[derive(Debug, Clone, PartialEq)]
pub struct UserConfig {
    document: Value,
    version: Version,
    warnings: Vec<Finding>,
}

impl UserConfig {
    /// Reads a config that is a JSON object, or text. `reader` is the newest version that the Ignition in question reads,
    /// where that is known.
    ///
    /// # Errors
    /// Why it is no config, or not one that Ignition would take.
    pub fn read(value: &Value, reader: Option<Version>) -> Result<Self, UserConfigError> {
        let document = match value {
            Value::String(text) => match serde_json::from_str(text) {
                Ok(document) => document,
                Err(error) => {
                    return Err(match user_data::recognise(text) {
                        Some(format) => UserConfigError::OtherFormat(format),
                        None => UserConfigError::NotJson(error),
                    });
                }
            },
            other => other.clone(),
        };
        let specification::Verdict { version, warnings } = specification::check(&document, reader)?;
        Ok(Self { document, version, warnings })
    }

    /// A config that says nothing yet, of the oldest version.
    #[must_use]
    pub fn empty() -> Self {
        let version = Version::OLDEST;
        Self { document: json!({ "ignition": { "version": version.to_string() } }), version, warnings: Vec::new() }
    }

    /// Version of the specification.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// What Ignition ignores or warns of.
    #[must_use]
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// The config as JSON.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Adds a file, unless the config has a say about this path already: by a file, directory or link there, by one above
    /// that is no directory, by a unit, or by a config inside of it. Returns whether it was added.
    ///
    /// What the config has to download is not looked at and need not be: when Ignition merges it, its entries win. A
    /// config that is replaced by another one would lose the file; it is left as it is.
    pub fn add_file(&mut self, path: &str, mode: u32, text: &str) -> bool {
        if !self.document["ignition"]["config"]["replace"]["source"].is_null() || is_taken(&self.document, path) {
            return false;
        }
        let source = data_url::from_text(text);
        let file = json!({"path": path, "mode": mode, "overwrite": true, "contents": {"source": source}});
        let Some(document) = self.document.as_object_mut() else { return false };
        // An explicit null is the same as nothing at all.
        let storage = document.entry("storage").or_insert(Value::Null);
        if storage.is_null() {
            *storage = json!({});
        }
        let files = &mut storage["files"];
        if files.is_null() {
            *files = json!([]);
        }
        let Some(files) = files.as_array_mut() else { return false };
        files.push(file);
        true
    }
}

fn is_taken(config: &Value, path: &str) -> bool {
    let nodes = |kind: &str| {
        let list = config["storage"][kind].as_array().into_iter().flatten();
        list.filter_map(|node| node["path"].as_str()).map(str::to_owned).collect::<Vec<_>>()
    };
    let is_above =
        |above: &str| path.strip_prefix(above.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'));
    let is_below = |below: &str| below.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    let here = ["files", "directories", "links"]
        .iter()
        .flat_map(|kind| nodes(kind))
        .any(|taken| taken == path || is_below(&taken));
    let above = ["files", "links"].iter().flat_map(|kind| nodes(kind)).any(|taken| is_above(&taken));
    let units = config["systemd"]["units"].as_array().into_iter().flatten();
    let unit = units.filter_map(|unit| unit["name"].as_str()).any(|name| {
        let file = format!("/etc/systemd/system/{name}");
        path == file || path.strip_prefix(&file).is_some_and(|rest| rest.starts_with(".d/"))
    });
    let inside = || {
        included(config).filter_map(|(_, resource)| included_config(resource)?.ok()).any(|inner| is_taken(&inner, path))
    };
    here || above || unit || inside()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "/etc/hostname";

    #[test]
    fn the_example_is_taken_without_a_warning() {
        let example = include_str!("../../examples/worker.ign");
        assert!(UserConfig::read(&Value::from(example), None).unwrap().warnings().is_empty());
    }

    fn added(config: &Value) -> Option<Value> {
        let mut user = UserConfig::read(config, None).unwrap();
        let added = user.add_file(NAME, 0o644, "node-1\n");
        assert_eq!(added, user.document() != config);
        specification::check(user.document(), None).unwrap();
        added.then(|| user.document().clone())
    }

    #[test]
    fn objects_and_text_are_the_same() {
        let config = json!({"ignition": {"version": "3.4.0"}});
        let text = Value::from(config.to_string());
        assert_eq!(UserConfig::read(&config, None).unwrap(), UserConfig::read(&text, None).unwrap());
        let error = UserConfig::read(&"{".into(), None).unwrap_err().to_string();
        assert!(error.starts_with("is not valid JSON: EOF"), "{error}");
        let error = UserConfig::read(&"#cloud-config\nusers: []\n".into(), None).unwrap_err().to_string();
        assert!(error.starts_with("is cloud-init's"), "{error}");
    }

    #[test]
    fn a_file_is_added_beside_what_is_there() {
        let mut empty = UserConfig::empty();
        assert!(empty.add_file(NAME, 0o644, "node-1\n"));
        assert_eq!(empty.document()["storage"]["files"][0]["contents"]["source"], "data:,node-1%0A");
        for storage in [
            json!(null),
            json!({}),
            json!({"files": null, "directories": null}),
            json!({"files": [{"path": "/etc/hostname.bak"}], "directories": [{"path": "/etc"}, {"path": "/"}]}),
            json!({"links": [{"path": "/etc/hostnames", "target": "/run/x"}]}),
        ] {
            let config = added(&json!({"ignition": {"version": "3.2.0"}, "storage": storage})).expect("not added");
            let files = config["storage"]["files"].as_array().unwrap();
            assert_eq!(files.last().unwrap()["path"], NAME);
        }
    }

    #[test]
    fn what_the_config_says_about_the_path_stands() {
        for storage in [
            json!({"files": [{"path": NAME}]}),
            json!({"files": [{"path": NAME, "append": [{"source": "data:,x"}]}]}),
            json!({"links": [{"path": NAME, "target": "/run/hostname"}]}),
            json!({"links": [{"path": NAME, "target": "/run/hostname", "hard": true}]}),
            json!({"directories": [{"path": NAME}]}),
            json!({"files": [{"path": "/etc/hostname/inside"}]}),
            json!({"links": [{"path": "/etc", "target": "/usr/etc"}]}),
            json!({"files": [{"path": "/etc"}]}),
        ] {
            let config = json!({"ignition": {"version": "3.2.0"}, "storage": storage});
            assert_eq!(added(&config), None);
            let source = data_url::from_bytes(config.to_string());
            for section in [json!({"merge": [{"source": source}]}), json!({"replace": {"source": source}})] {
                assert_eq!(added(&json!({"ignition": {"version": "3.3.0", "config": section}})), None);
            }
        }
        let units = json!({"units": [{"name": "a.service", "contents": "[Service]\n"}]});
        let mut user = UserConfig::read(&json!({"ignition": {"version": "3.2.0"}, "systemd": units}), None).unwrap();
        assert!(!user.add_file("/etc/systemd/system/a.service", 0o644, ""));
        assert!(!user.add_file("/etc/systemd/system/a.service.d/x.conf", 0o644, ""));
        assert!(user.add_file("/etc/systemd/system/b.service", 0o644, ""));
    }

    #[test]
    fn what_is_downloaded_later_wins_by_itself() {
        let merged = json!({"merge": [{"source": "https://192.0.2.1/x.ign"}]});
        assert!(added(&json!({"ignition": {"version": "3.2.0", "config": merged}})).is_some());
        let replaced = json!({"replace": {"source": "https://192.0.2.1/x.ign"}});
        assert_eq!(added(&json!({"ignition": {"version": "3.2.0", "config": replaced}})), None);
    }
}
