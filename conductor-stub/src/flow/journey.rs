//! Nodes of the configuration are enrolled and taken, verb by verb, to where they belong.

use std::time::Duration;

use uuid::Uuid;

use super::verb;
use crate::conductor::Shared;
use crate::enrolment::Enrolment;
use crate::error::ApiError;
use crate::node::{Node, Port};
use crate::state::ProvisionState as S;

/// How often a node on its way is looked at.
const PAUSE: Duration = Duration::from_millis(200);

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
        if !node.provision_state.is_at_rest() || conductor.locks.is_taken(node.uuid) {
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
        verb::begin(conductor, node.uuid, request).map_err(text)?;
    }
}

/// Enrols it with its ports.
///
/// # Errors
/// When its driver is not there, or its name or an address is taken.
pub fn enrol(conductor: &Shared, wanted: &Enrolment) -> Result<Node, ApiError> {
    let node = Node::new(Uuid::new_v4(), wanted.spec.clone());
    conductor.drivers.of(&node).map_err(|error| ApiError::Invalid(error.to_string()))?;
    conductor.enrol(&node)?;
    for address in &wanted.ports {
        conductor.store.save_port(&Port::new(node.uuid, address.clone()))?;
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
    use super::*;

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
