//! The Ignition configuration of the machine to be: read, checked, completed.

use ferric_ignition::host_name::{self, Distribution};
use ferric_ignition::user_config::UserConfig;
use serde_json::Value;

use super::agreement::agreed;
use crate::{ErrorKind, StepError};

const HOSTNAME: &str = "/etc/hostname";
const HOSTNAME_MODE: u32 = 0o644;

/// A configuration, or none.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Ignition(Option<UserConfig>);

impl Ignition {
    /// A configuration as an object or as JSON text; null and empty ones are none.
    ///
    /// # Errors
    /// [`ErrorKind::Deployment`] when Ignition would not take it.
    pub(super) fn read(value: &Value) -> Result<Self, StepError> {
        match value {
            Value::Null => return Ok(Self(None)),
            Value::String(text) if text.trim().is_empty() => return Ok(Self(None)),
            Value::Object(map) if map.is_empty() => return Ok(Self(None)),
            _ => {}
        }
        let config = UserConfig::read(value, None)
            .map_err(|error| ErrorKind::Deployment.error(format!("The Ignition configuration {error}")))?;
        for warning in config.warnings() {
            tracing::warn!(%warning, "the Ignition configuration");
        }
        Ok(Self(Some(config)))
    }

    /// The configuration of the step's argument, or that of the config drive; both only if they are the same.
    ///
    /// # Errors
    /// As [`Ignition::read`]; [`ErrorKind::InvalidParameters`] when they differ.
    pub(super) fn agreed(argument: &Value, user_data: &Value) -> Result<Self, StepError> {
        let given = [Self::read(argument)?, Self::read(user_data)?]
            .map(|ignition| Some(ignition).filter(|one| one.0.is_some()));
        let [argument, user_data] = given;
        Ok(agreed("ignition", argument, "user_data of the config drive", user_data)?.unwrap_or(Self(None)))
    }

    /// Adds `/etc/hostname` with this name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParameters`] when the configuration has a say about that file.
    pub(super) fn with_given_hostname(self, hostname: &str) -> Result<Self, StepError> {
        let mut config = self.0.unwrap_or_else(UserConfig::empty);
        if !config.add_file(HOSTNAME, HOSTNAME_MODE, hostname) {
            let text =
                format!("install_coreos: the argument hostname, and the Ignition configuration has its own {HOSTNAME}");
            return Err(ErrorKind::InvalidParameters.error(text));
        }
        Ok(Self(Some(config)))
    }

    /// Adds `/etc/hostname` with the name that this machine has now, unless it has none of its own or the configuration
    /// has a say about that file.
    pub(super) fn with_hostname(self, hostname: Option<&str>, distribution: &Distribution) -> Self {
        let Some(hostname) = hostname.and_then(|name| host_name::own(name, distribution)) else { return self };
        let mut config = self.0.unwrap_or_else(UserConfig::empty);
        if !config.add_file(HOSTNAME, HOSTNAME_MODE, hostname) {
            tracing::info!(hostname, "the Ignition configuration has its own {HOSTNAME}");
        }
        Self(Some(config))
    }

    /// The text to hand over.
    pub(super) fn into_bytes(self) -> Option<Vec<u8>> {
        self.0.map(|config| config.document().to_string().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
        assert!(refusal("variant: fcos\nversion: 1.5.0\n".into()).contains("is a Butane config"));
        let odd = json!({"ignition": {"version": "3.4.0"}, "storage": "none"});
        assert!(refusal(odd).contains("storage: invalid type"));
        read(json!({"ignition": {"version": "3.6.0-experimental"}}));
    }

    #[test]
    fn the_host_name_is_added_beside_the_files_that_are_there() {
        let config = json!({"ignition": {"version": "3.4.0"}, "storage": {"files": [{"path": "/etc/motd"}]}});
        let none = Distribution::default();
        let patched = read(config).with_hostname(Some("node-1.example"), &none).0.unwrap();
        let files = patched.document()["storage"]["files"].as_array().unwrap();
        assert_eq!(files.len(), 2);
        assert_eq!(files[1]["contents"]["source"], "data:,node-1.example");
        assert_eq!(files[1]["mode"], 420);
        let alone = read(Value::Null).with_hostname(Some("node-1"), &none).0.unwrap();
        assert_eq!(alone.document()["ignition"]["version"], "3.0.0");
    }

    #[test]
    fn a_name_that_says_nothing_or_is_set_already_changes_nothing() {
        let none = Distribution::default();
        assert_eq!(read(Value::Null).with_hostname(Some("localhost"), &none), Ignition(None));
        let link = json!({"links": [{"path": "/etc/hostname", "target": "/run/hostname"}]});
        let own = json!({"ignition": {"version": "3.4.0"}, "storage": link});
        assert_eq!(read(own.clone()).with_hostname(Some("node-1"), &none), read(own));
    }
}
