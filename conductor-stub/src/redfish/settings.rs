//! Where the BMC is and how to log in: the `redfish_*` keys of a node's `driver_info`, as Ironic reads them.

use std::net::Ipv6Addr;

use serde_json::Value;
use url::Url;

use super::error::RedfishError;

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
    /// By the certificates in this PEM file, or in the files of this folder.
    File(String),
    /// Not at all.
    No,
}

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tls {
    /// 1.2, the oldest that there is here.
    V1_2,
    /// 1.3.
    V1_3,
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
    /// The oldest version of TLS.
    pub tls_minimum: Tls,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("root", &self.root.as_str()).finish_non_exhaustive()
    }
}

/// The keys of `driver_info` that are read here.
pub const KEYS: [&str; 7] = [
    "redfish_address",
    "redfish_system_id",
    "redfish_username",
    "redfish_password",
    "redfish_verify_ca",
    "redfish_auth_type",
    "redfish_tls_minimum_version",
];

impl Settings {
    /// Reads `driver_info`.
    ///
    /// # Errors
    /// [`RedfishError::Setting`] naming the key.
    pub fn from_driver_info(info: &Value) -> Result<Self, RedfishError> {
        let wrong = |key, problem: String| RedfishError::Setting { key, problem };
        let text = |key: &'static str| match &info[key] {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            _ => Err(wrong(key, "must be text".into())),
        };
        let root = root(&info["redfish_address"]).map_err(|problem| wrong("redfish_address", problem))?;
        let system = text("redfish_system_id")?;
        if let Some(path) = system.as_ref().filter(|path| path.contains("://") || path.chars().any(char::is_control)) {
            let problem = format!("{path}: must be a path at the BMC, such as /redfish/v1/Systems/1");
            return Err(wrong("redfish_system_id", problem));
        }
        let password = text("redfish_password")?.unwrap_or_default();
        let credentials = text("redfish_username")?.map(|user| (user, password));
        let login = match text("redfish_auth_type")?.as_deref().unwrap_or("auto") {
            "auto" => Login::Auto,
            "session" => Login::Session,
            "basic" => Login::Basic,
            other => return Err(wrong("redfish_auth_type", format!("{other}: must be auto, session or basic"))),
        };
        let tls_minimum = match text("redfish_tls_minimum_version")?.as_deref() {
            None | Some("1.1" | "1.2") => Tls::V1_2,
            Some("1.3") => Tls::V1_3,
            Some(other) => {
                return Err(wrong("redfish_tls_minimum_version", format!("{other}: must be 1.1, 1.2 or 1.3")));
            }
        };
        let verify = verify(&info["redfish_verify_ca"]).map_err(|problem| wrong("redfish_verify_ca", problem))?;
        Ok(Self { root, system, credentials, login, verify, tls_minimum })
    }
}

fn root(address: &Value) -> Result<Url, String> {
    let address = address
        .as_str()
        .filter(|address| !address.is_empty())
        .ok_or("missing: the BMC's address, such as https://192.0.2.5")?;
    let address = match address {
        _ if address.contains("://") => address.to_owned(),
        _ if address.parse::<Ipv6Addr>().is_ok() => format!("https://[{address}]"),
        _ => format!("https://{address}"),
    };
    let mut root = Url::parse(&address).map_err(|error| format!("not a URL: {error}"))?;
    if !matches!(root.scheme(), "http" | "https") || !root.has_host() {
        return Err(format!("{address}: must be an http or https URL"));
    }
    if !root.username().is_empty() || root.password().is_some() {
        return Err("must hold no user name: that is for redfish_username and redfish_password".into());
    }
    match root.path().trim_end_matches('/') {
        "" => root.set_path("/redfish/v1/"),
        path => root.set_path(&format!("{path}/")),
    }
    root.set_query(None);
    root.set_fragment(None);
    Ok(root)
}

fn verify(value: &Value) -> Result<Verify, String> {
    match value {
        Value::Null | Value::Bool(true) => Ok(Verify::System),
        Value::Bool(false) => Ok(Verify::No),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" | "t" | "y" => Ok(Verify::System),
            "false" | "0" | "no" | "off" | "f" | "n" => Ok(Verify::No),
            _ if std::path::Path::new(text).exists() => Ok(Verify::File(text.clone())),
            _ => Err(format!("{text}: neither a boolean nor a file or folder that exists")),
        },
        other => Err(format!("{other}: must be a boolean or a file name")),
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
    fn addresses_come_in_several_forms() {
        for (address, root) in [
            ("2001:db8::5", "https://[2001:db8::5]/redfish/v1/"),
            ("http://bmc:8000", "http://bmc:8000/redfish/v1/"),
            ("https://bmc/redfish/v1", "https://bmc/redfish/v1/"),
            ("https://bmc/rack/7/redfish/v1/?x=y#z", "https://bmc/rack/7/redfish/v1/"),
        ] {
            let settings = Settings::from_driver_info(&json!({"redfish_address": address})).unwrap();
            assert_eq!(settings.root.as_str(), root);
        }
    }

    #[test]
    fn wrong_settings_are_named() {
        for (info, key) in [
            (json!({}), "redfish_address"),
            (json!({"redfish_address": "ftp://x"}), "redfish_address"),
            (json!({"redfish_address": "https://admin:hunter2@x"}), "redfish_address"),
            (json!({"redfish_address": "x", "redfish_auth_type": "digest"}), "redfish_auth_type"),
            (json!({"redfish_address": "x", "redfish_verify_ca": 3}), "redfish_verify_ca"),
            (json!({"redfish_address": "x", "redfish_verify_ca": "/nowhere/ca.pem"}), "redfish_verify_ca"),
            (
                json!({"redfish_address": "x", "redfish_system_id": "https://y/redfish/v1/Systems/1"}),
                "redfish_system_id",
            ),
            (json!({"redfish_address": "x", "redfish_system_id": 1}), "redfish_system_id"),
            (json!({"redfish_address": "x", "redfish_tls_minimum_version": "1.0"}), "redfish_tls_minimum_version"),
        ] {
            let error = Settings::from_driver_info(&info).unwrap_err().to_string();
            assert!(error.starts_with(&format!("driver_info/{key}: ")), "{error}");
            assert!(!error.contains("hunter2"));
        }
    }

    #[test]
    fn a_password_is_not_printed() {
        let info = json!({"redfish_address": "x", "redfish_username": "admin", "redfish_password": "hunter2"});
        assert!(!format!("{:?}", Settings::from_driver_info(&info).unwrap()).contains("hunter2"));
    }
}
