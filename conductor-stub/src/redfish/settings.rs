//! Where the BMC is and how to log in: the `redfish_*` keys of a node's `driver_info`, as Ironic reads them.

use serde_json::Value;
use url::Url;

use super::RedfishError;

/// How to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// A session, else HTTP basic.
    Auto,
    /// Only a session.
    Session,
    /// Only HTTP basic.
    Basic,
}

/// How to check the BMC's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verify {
    /// By the system's authorities.
    System,
    /// By the certificates in this PEM file.
    File(String),
    /// Not at all.
    No,
}

/// Everything needed to talk to the BMC of one machine.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The service root, `https://192.0.2.5/redfish/v1/`.
    pub root: Url,
    /// Path of the system; found when absent and the BMC has one system.
    pub system: Option<String>,
    /// User name and password.
    pub credentials: Option<(String, String)>,
    /// How to log in.
    pub login: Login,
    /// How to check the certificate.
    pub verify: Verify,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("root", &self.root.as_str()).finish_non_exhaustive()
    }
}

impl Settings {
    /// Reads `driver_info`.
    ///
    /// # Errors
    /// [`RedfishError::Setting`] naming the key.
    pub fn from_driver_info(info: &Value) -> Result<Self, RedfishError> {
        let wrong = |key, problem: String| RedfishError::Setting { key, problem };
        let address = info["redfish_address"]
            .as_str()
            .ok_or_else(|| wrong("redfish_address", "missing: the BMC's address, such as https://192.0.2.5".into()))?;
        let address = if address.contains("://") { address.to_string() } else { format!("https://{address}") };
        let mut root = Url::parse(&address).map_err(|error| wrong("redfish_address", format!("{address}: {error}")))?;
        if !matches!(root.scheme(), "http" | "https") || !root.has_host() {
            return Err(wrong("redfish_address", format!("{address}: must be an http or https URL")));
        }
        if root.path() == "/" {
            root.set_path("/redfish/v1/");
        }
        let text = |key: &str| info[key].as_str().filter(|text| !text.is_empty()).map(str::to_string);
        let credentials = text("redfish_username").map(|user| (user, text("redfish_password").unwrap_or_default()));
        let login = match info["redfish_auth_type"].as_str().unwrap_or("auto") {
            "auto" => Login::Auto,
            "session" => Login::Session,
            "basic" => Login::Basic,
            other => return Err(wrong("redfish_auth_type", format!("{other}: must be auto, session or basic"))),
        };
        let verify = match &info["redfish_verify_ca"] {
            Value::Null | Value::Bool(true) => Verify::System,
            Value::Bool(false) => Verify::No,
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" => Verify::System,
                "false" | "0" | "no" => Verify::No,
                _ => Verify::File(text.clone()),
            },
            other => return Err(wrong("redfish_verify_ca", format!("{other}: must be a boolean or a file name"))),
        };
        Ok(Self { root, system: text("redfish_system_id"), credentials, login, verify })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_address_alone_is_enough() {
        let settings = Settings::from_driver_info(&json!({"redfish_address": "192.0.2.5"})).unwrap();
        assert_eq!(settings.root.as_str(), "https://192.0.2.5/redfish/v1/");
        assert_eq!(settings.verify, Verify::System);
        assert_eq!(settings.login, Login::Auto);
    }

    #[test]
    fn wrong_settings_are_named() {
        for (info, key) in [
            (json!({}), "redfish_address"),
            (json!({"redfish_address": "ftp://x"}), "redfish_address"),
            (json!({"redfish_address": "x", "redfish_auth_type": "digest"}), "redfish_auth_type"),
            (json!({"redfish_address": "x", "redfish_verify_ca": 3}), "redfish_verify_ca"),
        ] {
            let error = Settings::from_driver_info(&info).unwrap_err().to_string();
            assert!(error.starts_with(&format!("driver_info/{key}: ")), "{error}");
        }
    }

    #[test]
    fn a_password_is_not_printed() {
        let info = json!({"redfish_address": "x", "redfish_username": "admin", "redfish_password": "hunter2"});
        assert!(!format!("{:?}", Settings::from_driver_info(&info).unwrap()).contains("hunter2"));
    }
}
