//! A network interface of a machine.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::spec::Object;
use crate::clock;

/// One network interface of a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Port {
    /// Its identity.
    pub uuid: Uuid,
    /// The node it belongs to.
    pub node_uuid: Uuid,
    /// MAC address, lower case.
    pub address: String,
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
    #[error("Expected a MAC address but received {0}.")]
    Address(String),
}

impl Port {
    /// A port that the machine boots from.
    pub fn new(node_uuid: Uuid, address: String) -> Self {
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
        let mut port: Self = serde_path_to_error::deserialize(document).map_err(PortError::Schema)?;
        port.address = port.address.to_lowercase();
        if is_mac(&port.address) { Ok(port) } else { Err(PortError::Address(port.address)) }
    }
}

/// Six colon-separated bytes in hexadecimal.
pub fn is_mac(text: &str) -> bool {
    let bytes: Vec<&str> = text.split(':').collect();
    bytes.len() == 6 && bytes.iter().all(|byte| byte.len() == 2 && byte.bytes().all(|digit| digit.is_ascii_hexdigit()))
}
