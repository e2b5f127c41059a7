//! Nodes that the configuration names.

use serde::Deserialize;

use crate::node::spec::SpecError;
use crate::node::{MacAddress, Object, Spec};

/// A node as `POST /v1/nodes` takes it, with a name, and with the addresses of its ports. With `instance_info` it is to
/// become `active`, without only `available`.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Object")]
pub struct Enrolment {
    /// MAC addresses that the machine boots from.
    pub ports: Vec<MacAddress>,
    /// The node; its driver is `redfish` when none is named.
    pub spec: Spec,
}

/// Why a node of the configuration is none.
#[derive(Debug, thiserror::Error)]
pub enum EnrolmentError {
    /// `ports`.
    #[error("ports must be a list of MAC addresses")]
    Ports,
    /// Found again by its name after a restart.
    #[error("a node needs a name")]
    Nameless,
    /// Anything else.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

impl TryFrom<Object> for Enrolment {
    type Error = EnrolmentError;

    fn try_from(mut record: Object) -> Result<Self, EnrolmentError> {
        let ports: Vec<MacAddress> = match record.remove("ports") {
            Some(value) => serde_json::from_value(value).map_err(|_| EnrolmentError::Ports)?,
            None => Vec::new(),
        };
        record.entry("driver").or_insert_with(|| "redfish".into());
        let spec = Spec::read(record.into())?;
        if spec.name.is_none() {
            return Err(EnrolmentError::Nameless);
        }
        Ok(Self { ports, spec })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_of_the_configuration_is_named_and_checked() {
        let parse = |value| serde_json::from_value::<Enrolment>(value).map_err(|error| error.to_string());
        let node = parse(json!({"name": "n", "ports": ["52:54:00:AA:BB:01"]})).unwrap();
        assert_eq!((node.spec.driver.as_str(), node.ports[0].as_str()), ("redfish", "52:54:00:aa:bb:01"));
        assert_eq!(parse(json!({})).unwrap_err(), "a node needs a name");
        assert!(parse(json!({"name": "n", "ports": ["nonsense"]})).unwrap_err().contains("MAC"));
        assert!(parse(json!({"name": "n", "boot_iface": "x"})).unwrap_err().contains("boot_iface"));
    }
}
