//! A line about a machine: what lists and events show.

use serde::Serialize;
use uuid::Uuid;

use super::{Node, Operation};
use crate::state::{Phase, PowerState, ProvisionState};

/// Characters that are kept of an error; the record has the rest.
const LONGEST_TEXT: usize = 400;

/// What somebody who looks after many machines wants to know of each. Keys that Ironic has are called as there.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Its identity.
    pub uuid: Uuid,
    /// Its name.
    pub name: Option<String>,
    /// The hardware type.
    pub driver: String,
    /// Where it is in its life.
    pub provision_state: ProvisionState,
    /// What that means, roughly.
    pub phase: Phase,
    /// Where it is going.
    pub target_provision_state: Option<ProvisionState>,
    /// When it came to the state it is in, seconds since the epoch.
    pub entered: f64,
    /// The flow that it is in.
    pub operation: Option<Operation>,
    /// The step that runs.
    pub step: Option<String>,
    /// Whether it is on.
    pub power_state: Option<PowerState>,
    /// The power state being reached for.
    pub target_power_state: Option<PowerState>,
    /// Why the last operation failed.
    pub last_error: Option<String>,
    /// Whether somebody has to look after it.
    pub maintenance: bool,
    /// Why.
    pub maintenance_reason: Option<String>,
}

impl Summary {
    /// The line about `node`.
    pub fn of(node: &Node) -> Self {
        let short = |text: &Option<String>| text.as_ref().map(|text| text.chars().take(LONGEST_TEXT).collect());
        let step = node.internal.plan.as_ref().and_then(|plan| plan.current.as_ref());
        Self {
            uuid: node.uuid,
            name: node.spec.name.clone(),
            driver: node.spec.driver.clone(),
            provision_state: node.provision_state,
            phase: node.provision_state.phase(),
            target_provision_state: node.target_provision_state,
            entered: node.entered,
            operation: node.operation,
            step: step.map(|step| step.step.clone()),
            power_state: node.power_state,
            target_power_state: node.target_power_state,
            last_error: short(&node.last_error),
            maintenance: node.spec.maintenance,
            maintenance_reason: short(&node.maintenance_reason),
        }
    }
}
