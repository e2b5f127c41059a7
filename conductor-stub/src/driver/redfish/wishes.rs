//! What a node's `driver_info` wishes beyond the connection, with Ironic's keys: each is honoured or refused.

use serde_json::Value;
use url::Url;

use crate::driver::DriverError;
use crate::node::Node;
use crate::redfish::{Enabled, Mode};

/// Keys of Ironic's redfish driver that mean nothing here, with what to do instead.
const REFUSED: [(&str, &str); 10] = [
    ("redfish_tls_ciphers", "the ciphers are those of TLS 1.2 and 1.3 that are safe"),
    ("firmware_update_unresponsive_bmc_wait", "a BMC that does not answer during an update is waited for"),
    ("config_via_removable", "the ramdisk carries its configuration"),
    ("config_via_floppy", "the ramdisk carries its configuration"),
    ("rescue_iso", "rescue boots the same ramdisk as everything else"),
    ("rescue_kernel", "rescue boots the same ramdisk as everything else"),
    ("rescue_ramdisk", "rescue boots the same ramdisk as everything else"),
    ("redfish_deploy_iso", "the key is deploy_iso"),
    ("redfish_rescue_iso", "rescue boots the same ramdisk as everything else"),
    ("force_boot_device", "the key is force_persistent_boot_device"),
];

/// Whether boot overrides may last (`force_persistent_boot_device`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Persistence {
    Always,
    AsNeeded,
    Never,
}

/// The wishes of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wishes {
    persistence: Persistence,
    /// The mode to boot in, when one is named.
    pub(super) mode: Option<Mode>,
    /// Where its BMC reaches the conductor.
    external: Option<Url>,
}

impl Wishes {
    /// Reads them.
    ///
    /// # Errors
    /// Names the key that is wrong, or that cannot be honoured.
    pub(super) fn of(node: &Node) -> Result<Self, DriverError> {
        let info = &node.spec.driver_info;
        let wrong = |key: &str, problem: String| DriverError(format!("driver_info/{key}: {problem}"));
        for (key, instead) in REFUSED {
            if info.get(key).is_some_and(is_set) {
                return Err(wrong(key, format!("not supported: {instead}")));
            }
        }
        if let Some(unknown) = info.keys().find(|key| key.starts_with("redfish_") && !is_known(key)) {
            return Err(wrong(unknown, "there is no such key".into()));
        }
        let protocol = info.get("vmedia_transport_protocol").and_then(Value::as_str).unwrap_or("HTTP");
        if !["HTTP", "HTTPS"].iter().any(|known| known.eq_ignore_ascii_case(protocol)) {
            return Err(wrong(
                "vmedia_transport_protocol",
                format!("{protocol}: only HTTP and HTTPS, as the URL has it"),
            ));
        }
        let key = "force_persistent_boot_device";
        let persistence = persistence(info.get(key)).map_err(|problem| wrong(key, problem))?;
        let external = match info.get("external_http_url") {
            None | Some(Value::Null) => None,
            Some(value) => Some(url(value).map_err(|problem| wrong("external_http_url", problem))?),
        };
        Ok(Self { persistence, mode: mode(node)?, external })
    }

    /// How long an override is to last that would last this long by itself.
    pub(super) fn lasting(&self, by_itself: Enabled) -> Enabled {
        match self.persistence {
            Persistence::Always => Enabled::Continuous,
            Persistence::AsNeeded => by_itself,
            Persistence::Never => Enabled::Once,
        }
    }

    /// A URL of the conductor's (below `own`) as this node's BMC has to write it.
    pub(super) fn seen_by_bmc(&self, url: &str, own: &str) -> Option<String> {
        let path = url.strip_prefix(own)?;
        Some(format!("{}{path}", self.external.as_ref()?.as_str().trim_end_matches('/')))
    }
}

fn is_known(key: &str) -> bool {
    crate::redfish::settings::KEYS.contains(&key) || REFUSED.iter().any(|(refused, _)| *refused == key)
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !["", "false", "no", "off", "0"].contains(&text.to_ascii_lowercase().as_str()),
        _ => true,
    }
}

/// `Always`, `Default`, `Never`, or the boolean that it once was.
fn persistence(value: Option<&Value>) -> Result<Persistence, String> {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => Ok(Persistence::AsNeeded),
        Some(Value::Bool(true)) => Ok(Persistence::Always),
        Some(Value::String(text)) => match text.to_ascii_lowercase().as_str() {
            "always" | "true" | "1" | "yes" | "on" => Ok(Persistence::Always),
            "default" | "false" | "0" | "no" | "off" | "" => Ok(Persistence::AsNeeded),
            "never" => Ok(Persistence::Never),
            _ => Err(format!("{text}: must be Always, Default or Never")),
        },
        Some(other) => Err(format!("{other}: must be Always, Default or Never")),
    }
}

fn url(value: &Value) -> Result<Url, String> {
    let text = value.as_str().ok_or("must be a URL")?;
    let url = Url::parse(text).map_err(|error| format!("{text}: {error}: must be an http or https URL"))?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err(format!("{text}: must be an http or https URL"))
    }
}

/// The boot mode by capability, as Ironic looks for it; Secure Boot needs UEFI.
fn mode(node: &Node) -> Result<Option<Mode>, DriverError> {
    let secure = node.capability("secure_boot").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    match node.capability("boot_mode").map(|mode| mode.to_ascii_lowercase()).as_deref() {
        Some("uefi") => Ok(Some(Mode::Uefi)),
        Some("bios") if secure => Err(DriverError("capability secure_boot needs boot_mode uefi".into())),
        Some("bios") => Ok(Some(Mode::Legacy)),
        Some(other) => Err(DriverError(format!("capability boot_mode is {other}: must be uefi or bios"))),
        None => Ok(secure.then_some(Mode::Uefi)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::node::Spec;

    fn wishes(info: Value) -> Result<Wishes, DriverError> {
        let spec = Spec { driver_info: info.as_object().unwrap().clone(), ..Spec::default() };
        Wishes::of(&Node::new(uuid::Uuid::new_v4(), spec))
    }

    #[test]
    fn persistence_has_old_and_new_names() {
        for (value, once, continuous) in [
            (json!("Always"), Enabled::Continuous, Enabled::Continuous),
            (json!(true), Enabled::Continuous, Enabled::Continuous),
            (json!("Never"), Enabled::Once, Enabled::Once),
            (json!("Default"), Enabled::Once, Enabled::Continuous),
            (json!("False"), Enabled::Once, Enabled::Continuous),
            (Value::Null, Enabled::Once, Enabled::Continuous),
        ] {
            let wishes = wishes(json!({"force_persistent_boot_device": value})).unwrap();
            assert_eq!((wishes.lasting(Enabled::Once), wishes.lasting(Enabled::Continuous)), (once, continuous));
        }
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        for (info, key) in [
            (json!({"force_persistent_boot_device": "Sometimes"}), "force_persistent_boot_device"),
            (json!({"external_http_url": "conductor.example:8080"}), "external_http_url"),
            (json!({"external_http_url": "ftp://conductor"}), "external_http_url"),
            (json!({"redfish_tls_ciphers": "ALL"}), "redfish_tls_ciphers"),
            (json!({"redfish_pasword": "x"}), "redfish_pasword"),
            (json!({"vmedia_transport_protocol": "NFS"}), "vmedia_transport_protocol"),
            (json!({"config_via_removable": true}), "config_via_removable"),
        ] {
            let error = wishes(info).unwrap_err().to_string();
            assert!(error.starts_with(&format!("driver_info/{key}: ")), "{error}");
        }
        assert!(
            wishes(json!({"config_via_removable": "False", "config_via_floppy": null, "deploy_iso": "/x"})).is_ok()
        );
    }

    #[test]
    fn a_bmc_may_see_us_elsewhere() {
        let wishes = wishes(json!({"external_http_url": "https://bmc-side.example/ironic/"})).unwrap();
        let seen = wishes.seen_by_bmc("http://192.0.2.1:6385/artefacts/x.iso", "http://192.0.2.1:6385");
        assert_eq!(seen.as_deref(), Some("https://bmc-side.example/ironic/artefacts/x.iso"));
        assert_eq!(wishes.seen_by_bmc("http://elsewhere/x.iso", "http://192.0.2.1:6385"), None);
    }
}
