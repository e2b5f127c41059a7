//! A network interface of a machine.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::flag;
use super::mac::MacAddress;
use super::spec::{Object, is_logical_name};
use crate::clock;

/// One network interface of a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Port {
    /// Its identity.
    pub uuid: Uuid,
    /// The node it belongs to.
    pub node_uuid: Uuid,
    /// What it is known by on its network.
    pub address: MacAddress,
    /// Whether the machine boots from it.
    #[serde(default = "yes", deserialize_with = "flag::deserialize")]
    pub pxe_enabled: bool,
    /// Optional name.
    #[serde(default)]
    pub name: Option<String>,
    /// The client's own notes.
    #[serde(default)]
    pub extra: Object,
    /// Switch and port it is plugged into.
    #[serde(default)]
    pub local_link_connection: Object,
    /// The network it belongs to.
    #[serde(default)]
    pub physical_network: Option<String>,
    /// Stored and shown.
    #[serde(default, deserialize_with = "flag::deserialize")]
    pub is_smartnic: bool,
    /// Stored and shown.
    #[serde(default)]
    pub description: Option<String>,
    /// Stored and shown.
    #[serde(default)]
    pub vendor: Option<String>,
    /// Stored and shown.
    #[serde(default)]
    pub category: Option<String>,
    /// Stored and shown.
    #[serde(default = "yes", deserialize_with = "flag::deserialize")]
    pub available_for_dynamic_portgroup: bool,
    /// Nothing is kept here.
    #[serde(default)]
    pub internal_info: Object,
    /// Creation time.
    #[serde(default)]
    pub created_at: String,
    /// It last changed.
    #[serde(default)]
    pub updated_at: Option<String>,
}

fn yes() -> bool {
    true
}

/// What clients may set; `portgroup_uuid` and `node_ident` are the API's to translate.
pub const SETTABLE: [&str; 12] = [
    "address",
    "extra",
    "is_smartnic",
    "local_link_connection",
    "node_uuid",
    "physical_network",
    "pxe_enabled",
    "name",
    "description",
    "vendor",
    "category",
    "available_for_dynamic_portgroup",
];

/// Why a document does not describe a port; the texts are Ironic's.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// A missing key or a value of another type.
    #[error("Schema error for port: {0}")]
    Schema(serde_path_to_error::Error<serde_json::Error>),
    /// A key that there is not.
    #[error("Schema error for port: Additional properties are not allowed ('{0}' was unexpected)")]
    Unknown(String),
    /// A key that has to be there.
    #[error("Schema error for port: '{0}' is a required property")]
    Missing(&'static str),
    /// Its address.
    #[error("Expected valid MAC address for address: {0}")]
    Address(String),
    /// A text that is too long.
    #[error("Schema error for port: {key} is longer than {limit} characters")]
    TooLong {
        /// Where it stands.
        key: &'static str,
        /// How long it may be.
        limit: usize,
    },
    /// Its name.
    #[error("Expected name for name: {0}")]
    Name(String),
    /// Neither there nor not there.
    #[error("A non-empty value is required when setting physical_network")]
    PhysicalNetwork,
    /// What it is plugged into.
    #[error("Schema error for local_link_connection: {0}")]
    Link(&'static str),
    /// The switch.
    #[error("Expected a MAC address or OpenFlow datapath ID but received {0}.")]
    Switch(String),
}

impl Port {
    /// A port that the machine boots from.
    pub fn new(node_uuid: Uuid, address: MacAddress) -> Self {
        Self {
            uuid: Uuid::new_v4(),
            node_uuid,
            address,
            pxe_enabled: true,
            name: None,
            extra: Object::new(),
            local_link_connection: Object::new(),
            physical_network: None,
            is_smartnic: false,
            description: None,
            vendor: None,
            category: None,
            available_for_dynamic_portgroup: true,
            internal_info: Object::new(),
            created_at: clock::now(),
            updated_at: None,
        }
    }

    /// The port `uuid` as a client describes it, checked.
    ///
    /// # Errors
    /// Names what is wrong.
    pub fn read(uuid: Uuid, mut document: Object) -> Result<Self, PortError> {
        document.retain(|_, value| !value.is_null());
        if let Some(key) = document.keys().find(|key| !SETTABLE.contains(&key.as_str())) {
            return Err(PortError::Unknown(key.clone()));
        }
        for key in ["address", "node_uuid"] {
            if !document.contains_key(key) {
                return Err(PortError::Missing(key));
            }
        }
        if let Some(address) = document.get("address").and_then(Value::as_str)
            && address.parse::<MacAddress>().is_err()
        {
            return Err(PortError::Address(address.to_owned()));
        }
        document.insert("uuid".into(), json!(uuid));
        document.insert("created_at".into(), clock::now().into());
        let mut port: Self = serde_path_to_error::deserialize(Value::Object(document)).map_err(PortError::Schema)?;
        port.check()?;
        Ok(port)
    }

    /// The same port, as a client wants it: [`Self::settable`] with changes.
    ///
    /// # Errors
    /// Names what is wrong.
    pub fn changed(&self, document: Object) -> Result<Self, PortError> {
        let Self { internal_info, created_at, .. } = self.clone();
        Ok(Self { internal_info, created_at, updated_at: Some(clock::now()), ..Self::read(self.uuid, document)? })
    }

    /// What clients may change, as it is.
    pub fn settable(&self) -> Object {
        let Value::Object(mut document) = json!(self) else { return Object::new() };
        document.retain(|key, _| SETTABLE.contains(&key.as_str()));
        document
    }

    fn check(&mut self) -> Result<(), PortError> {
        for (key, text, limit) in [
            ("physical_network", &self.physical_network, 64),
            ("description", &self.description, 255),
            ("vendor", &self.vendor, 32),
            ("category", &self.category, 80),
        ] {
            if text.as_ref().is_some_and(|text| text.chars().count() > limit) {
                return Err(PortError::TooLong { key, limit });
            }
        }
        if let Some(name) = self.name.as_ref().filter(|name| !is_logical_name(name)) {
            return Err(PortError::Name(name.clone()));
        }
        if self.physical_network.as_deref() == Some("") {
            return Err(PortError::PhysicalNetwork);
        }
        self.check_link()
    }

    /// `switch_id` and `port_id`, or what a Smart NIC or an unmanaged network has instead (`LOCAL_LINK_CONN_SCHEMA`).
    fn check_link(&mut self) -> Result<(), PortError> {
        let link = &mut self.local_link_connection;
        if link.is_empty() {
            return Ok(());
        }
        let known = [
            "port_id",
            "switch_id",
            "hostname",
            "switch_info",
            "network_type",
            "vtep-logical-switch",
            "vtep-physical-switch",
        ];
        if link.iter().any(|(key, value)| !known.contains(&key.as_str()) || !value.is_string()) {
            return Err(PortError::Link("an unknown property, or one that is no text"));
        }
        if link.get("network_type").is_some_and(|kind| kind != "managed" && kind != "unmanaged") {
            return Err(PortError::Link("network_type is not one of ['managed', 'unmanaged']"));
        }
        let has = |keys: &[&str]| keys.iter().all(|key| link.contains_key(*key));
        let whole = has(&["port_id", "switch_id"])
            || has(&["port_id", "hostname"])
            || has(&["port_id", "vtep-logical-switch", "vtep-physical-switch"])
            || link.get("network_type").is_some_and(|kind| kind == "unmanaged");
        if !whole {
            return Err(PortError::Link("'switch_id' and 'port_id' are required properties"));
        }
        let Some(Value::String(switch)) = link.get_mut("switch_id") else { return Ok(()) };
        *switch = normal_switch(switch).ok_or_else(|| PortError::Switch(switch.clone()))?;
        Ok(())
    }
}

/// A MAC address, or an OpenFlow datapath id: 16 hexadecimal digits behind `0x`.
fn normal_switch(text: &str) -> Option<String> {
    if let Ok(address) = text.parse::<MacAddress>() {
        return Some(address.as_str().to_owned());
    }
    let digits = text.strip_prefix("0x")?;
    (digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| text.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(more: Value) -> Result<Port, PortError> {
        let mut document = json!({"address": "52:54:00:AA:BB:01", "node_uuid": Uuid::nil()});
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Port::read(Uuid::nil(), document.as_object().unwrap().clone())
    }

    #[test]
    fn texts_for_booleans_and_nulls_are_taken() {
        let port = read(json!({"pxe_enabled": "False", "is_smartnic": null, "name": null})).unwrap();
        assert_eq!((port.pxe_enabled, port.is_smartnic, port.address.as_str()), (false, false, "52:54:00:aa:bb:01"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (more, words) in [
            (json!({"typo": 1}), "'typo' was unexpected"),
            (json!({"address": null}), "'address' is a required property"),
            (json!({"address": "x"}), "for address: x"),
            (json!({"pxe_enabled": "maybe"}), "Unrecognized value 'maybe'"),
            (json!({"physical_network": ""}), "non-empty"),
            (json!({"vendor": "x".repeat(33)}), "vendor is longer than 32"),
            (json!({"local_link_connection": {"port_id": "y"}}), "'switch_id'"),
            (json!({"local_link_connection": {"port_id": "y", "switch_id": "x"}}), "datapath ID but received x"),
            (json!({"local_link_connection": {"port_id": 7}}), "no text"),
        ] {
            let error = read(more).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn switches_are_written_in_one_way() {
        for (given, kept) in [("0A:1B:2C:3D:4E:5F", "0a:1b:2c:3d:4e:5f"), ("0x00000000000000AB", "0x00000000000000ab")]
        {
            let port = read(json!({"local_link_connection": {"port_id": "1", "switch_id": given}})).unwrap();
            assert_eq!(port.local_link_connection["switch_id"], kept);
        }
        let unmanaged = json!({"local_link_connection": {"network_type": "unmanaged"}});
        assert!(read(unmanaged).is_ok());
    }

    #[test]
    fn a_change_keeps_the_rest() {
        let port = read(json!({"extra": {"a": 1}})).unwrap();
        let mut document = port.settable();
        document.shift_remove("extra");
        let changed = port.changed(document).unwrap();
        assert_eq!((changed.uuid, &changed.created_at, changed.extra.len()), (port.uuid, &port.created_at, 0));
        assert!(changed.updated_at.is_some());
    }
}
