//! Nodes that the configuration names: they are enrolled and taken, verb by verb, to where they belong.

use std::time::Duration;

use serde::Deserialize;
use uuid::Uuid;

use crate::api::{nodes, ports};
use crate::clock;
use crate::conductor::Shared;
use crate::error::ApiError;
use crate::flow::verb;
use crate::node::{Node, Object, Port, Spec};
use crate::state::ProvisionState as S;

/// How often a node on its way is looked at.
const PAUSE: Duration = Duration::from_millis(200);

/// A node as `POST /v1/nodes` takes it, with a name, and with the addresses of its ports. With `instance_info` it is to
/// become `active`, without only `available`.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Object")]
pub struct Enrolment {
    /// MAC addresses that the machine boots from.
    pub ports: Vec<String>,
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
    Spec(#[from] ApiError),
}

impl TryFrom<Object> for Enrolment {
    type Error = EnrolmentError;

    fn try_from(mut record: Object) -> Result<Self, EnrolmentError> {
        let ports: Vec<String> = match record.remove("ports") {
            Some(value) => serde_json::from_value(value).map_err(|_| EnrolmentError::Ports)?,
            None => Vec::new(),
        };
        let ports: Vec<String> = ports.iter().map(|address| address.to_lowercase()).collect();
        if !ports.iter().all(|address| ports::is_mac(address)) {
            return Err(EnrolmentError::Ports);
        }
        record.entry("driver").or_insert_with(|| "redfish".into());
        let spec = nodes::spec(record.into())?;
        if spec.name.is_none() {
            return Err(EnrolmentError::Nameless);
        }
        Ok(Self { ports, spec })
    }
}

/// Takes the node where it belongs: from where it stands, if it has been here before. Returns its name and the state it
/// has reached, or why it has not.
pub async fn take_there(conductor: Shared, wanted: Enrolment) -> (String, Result<&'static str, String>) {
    let name = wanted.spec.name.clone().unwrap_or_default();
    let outcome = go(&conductor, &name, &wanted).await;
    (name, outcome)
}

async fn go(conductor: &Shared, name: &str, wanted: &Enrolment) -> Result<&'static str, String> {
    let text = |error: ApiError| error.to_string();
    let node = match conductor.store.node(name).map_err(|error| error.to_string())? {
        Some(node) => node,
        None => enrol(conductor, wanted).map_err(text)?,
    };
    let goal = if wanted.spec.instance_info.is_empty() { S::Available } else { S::Active };
    let ident = node.uuid.to_string();
    // An error from an earlier run is no reason to give up.
    let mut asked = false;
    loop {
        let node = conductor.find(&ident).map_err(text)?;
        let at_rest = node.provision_state.target().is_none() || node.provision_state.has_failed();
        if !at_rest || conductor.is_locked(node.uuid) {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        if node.provision_state == goal {
            return Ok(goal.as_str());
        }
        let inspected = conductor.store.inventory(node.uuid).map_err(|error| error.to_string())?.is_some();
        let failed = asked && node.last_error.is_some();
        let Some(target) = next(node.provision_state, inspected).filter(|_| !failed) else {
            let reason = node.last_error.unwrap_or_else(|| "this is not on the way to where it belongs".into());
            return Err(format!("{}: {reason}", node.provision_state));
        };
        asked = true;
        let request = verb::Request { target: target.into(), ..verb::Request::default() };
        verb::begin(conductor, node, request).map_err(text)?;
    }
}

fn enrol(conductor: &Shared, wanted: &Enrolment) -> Result<Node, ApiError> {
    let mut node = Node::new(Uuid::new_v4(), wanted.spec.clone());
    conductor.driver(&node).map_err(|error| ApiError::Invalid(error.to_string()))?;
    conductor.save(&mut node)?;
    conductor.store.record(&node, "state", "enrolled", serde_json::Value::Null)?;
    for address in &wanted.ports {
        conductor.store.save_port(&Port {
            uuid: Uuid::new_v4(),
            node_uuid: node.uuid,
            address: address.clone(),
            pxe_enabled: true,
            name: None,
            extra: Object::new(),
            local_link_connection: Object::new(),
            physical_network: None,
            created_at: clock::now(),
        })?;
    }
    Ok(node)
}

/// The verb that leads on from `state`; none where only people can help.
fn next(state: S, inspected: bool) -> Option<&'static str> {
    match state {
        S::Enroll => Some("manage"),
        S::Manageable if inspected => Some("provide"),
        S::Manageable | S::InspectFailed => Some("inspect"),
        S::CleanFailed => Some("manage"),
        S::Available | S::DeployFailed => Some("active"),
        _ => None,
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

    #[test]
    fn every_way_leads_to_active() {
        let mut state = S::Enroll;
        let mut inspected = false;
        let mut verbs = Vec::new();
        while let Some(verb) = next(state, inspected) {
            verbs.push(verb);
            (state, inspected) = match verb {
                "manage" => (S::Manageable, false),
                "inspect" => (S::Manageable, true),
                "provide" => (S::Available, true),
                _ => (S::Active, true),
            };
        }
        assert_eq!(verbs, ["manage", "inspect", "provide", "active"]);
    }
}
