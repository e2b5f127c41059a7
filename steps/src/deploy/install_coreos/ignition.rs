//! The Ignition configuration of the machine to be: read, checked, completed.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::StepError;

/// What may stand in a data URL as it is (RFC 3986, unreserved).
const NOT_UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Specification of a configuration that only sets the host name.
const OLDEST_VERSION: &str = "3.0.0";
/// Octal 0644, which JSON cannot write.
const MODE_0644: u32 = 420;

/// A configuration, or none.
#[derive(Debug, PartialEq)]
pub(super) struct Ignition(Option<Value>);

impl Ignition {
    /// A configuration as an object or as JSON text; null and empty ones are none.
    ///
    /// # Errors
    /// [`StepError::Deployment`] when it is no JSON object or not of version 3.
    pub(super) fn read(value: &Value) -> Result<Self, StepError> {
        let invalid = |reason: String| StepError::Deployment(format!("The Ignition configuration {reason}"));
        let config = match value {
            Value::Null => return Ok(Self(None)),
            Value::String(text) if text.trim().is_empty() => return Ok(Self(None)),
            Value::Object(map) if map.is_empty() => return Ok(Self(None)),
            Value::String(text) => {
                serde_json::from_str(text).map_err(|error| invalid(format!("is not valid JSON: {error}")))?
            }
            other => other.clone(),
        };
        if !config.is_object() {
            return Err(invalid("is not a JSON object".into()));
        }
        match config["ignition"]["version"].as_str() {
            Some(version) if is_version_3(version) => Ok(Self(Some(config))),
            Some(version) => Err(invalid(format!("has version {version}; this operating system reads version 3.x"))),
            None => Err(invalid("has no ignition.version".into())),
        }
    }

    /// Adds `/etc/hostname` with the name that this machine has now, unless it has none of its own or the configuration
    /// sets one.
    pub(super) fn with_hostname(self, hostname: Option<&str>) -> Self {
        let unset = ["", "localhost", "localhost.localdomain"];
        let Some(hostname) = hostname.filter(|name| !unset.contains(name)) else { return self };
        let mut config = self.0.unwrap_or_else(|| json!({ "ignition": { "version": OLDEST_VERSION } }));
        let file = json!({
            "path": "/etc/hostname",
            "mode": MODE_0644,
            "overwrite": true,
            "contents": { "source": format!("data:,{}", utf8_percent_encode(hostname, NOT_UNRESERVED)) },
        });
        let files = config.as_object_mut().and_then(|config| {
            let storage = config.entry("storage").or_insert_with(|| json!({})).as_object_mut()?;
            storage.entry("files").or_insert_with(|| json!([])).as_array_mut()
        });
        // Ignition refuses a file that is there twice; and sections of a wrong type, in its own words.
        if let Some(files) = files
            && files.iter().all(|file| file["path"] != "/etc/hostname")
        {
            files.push(file);
        }
        Self(Some(config))
    }

    /// The text to hand over.
    pub(super) fn into_bytes(self) -> Option<Vec<u8>> {
        self.0.map(|config| config.to_string().into_bytes())
    }
}

/// `3.MINOR.PATCH`, perhaps with a suffix (`3.6.0-experimental`).
fn is_version_3(version: &str) -> bool {
    let numbers = version.split('-').next().unwrap_or_default();
    let parts: Vec<Option<u32>> = numbers.split('.').map(|part| part.parse().ok()).collect();
    parts.len() == 3 && parts[0] == Some(3) && parts.iter().all(Option::is_some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value) -> Ignition {
        Ignition::read(&value).unwrap()
    }

    fn refusal(value: Value) -> String {
        Ignition::read(&value).unwrap_err().to_string()
    }

    #[test]
    fn objects_and_json_text_are_the_same() {
        let config = json!({"ignition": {"version": "3.4.0"}});
        assert_eq!(read(config.clone()), read(config.to_string().into()));
        assert_eq!(read(Value::Null), read("".into()));
    }

    #[test]
    fn other_versions_and_broken_json_are_refused() {
        assert!(refusal("{".into()).contains("not valid JSON"));
        assert!(refusal("[1]".into()).contains("not a JSON object"));
        assert!(refusal(json!({"ignition": {}})).contains("no ignition.version"));
        assert!(refusal(json!({"ignition": {"version": "2.3.0"}})).contains("has version 2.3.0"));
        assert!(refusal(json!({"ignition": {"version": "3"}})).contains("has version 3;"));
        read(json!({"ignition": {"version": "3.6.0-experimental"}}));
    }

    #[test]
    fn the_host_name_is_added_beside_the_files_that_are_there() {
        let config = json!({"ignition": {"version": "3.4.0"}, "storage": {"files": [{"path": "/etc/motd"}]}});
        let patched = read(config).with_hostname(Some("node 1.example")).0.unwrap();
        let files = patched["storage"]["files"].as_array().unwrap();
        assert_eq!(files.len(), 2);
        assert_eq!(files[1]["contents"]["source"], "data:,node%201.example");
        assert_eq!(files[1]["mode"], 420);
        let alone = read(Value::Null).with_hostname(Some("node-1")).0.unwrap();
        assert_eq!(alone["ignition"]["version"], "3.0.0");
    }

    #[test]
    fn a_name_that_says_nothing_or_is_set_already_changes_nothing() {
        assert_eq!(read(Value::Null).with_hostname(Some("localhost")), Ignition(None));
        let own = json!({"ignition": {"version": "3.4.0"}, "storage": {"files": [{"path": "/etc/hostname"}]}});
        assert_eq!(read(own.clone()).with_hostname(Some("node-1")), Ignition(Some(own)));
        let odd = json!({"ignition": {"version": "3.4.0"}, "storage": "none"});
        assert_eq!(read(odd.clone()).with_hostname(Some("node-1")), Ignition(Some(odd)));
    }
}
