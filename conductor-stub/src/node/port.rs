//! A network interface of a machine.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::mac::{MacAddress, NotMac};
use super::spec::Object;
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
    #[serde(default = "yes")]
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
    /// Creation time.
    #[serde(default)]
    pub created_at: String,
}

fn yes() -> bool {
    true
}

/// Why a document does not describe a port; the texts are Ironic's.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// A missing key or a value of another type.
    #[error("Schema error for port: {0}")]
    Schema(serde_path_to_error::Error<serde_json::Error>),
    /// Its address.
    #[error(transparent)]
    Address(#[from] NotMac),
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
            created_at: clock::now(),
        }
    }

    /// What a client says about a port, checked.
    ///
    /// # Errors
    /// Names what is wrong.
    pub fn read(document: Value) -> Result<Self, PortError> {
        if let Some(address) = document.get("address").and_then(Value::as_str) {
            address.parse::<MacAddress>()?;
        }
        serde_path_to_error::deserialize(document).map_err(PortError::Schema)
    }
}
