//! → cleaning → clean wait → available (automated) or manageable (manual).

use crate::conductor::Conductor;
use crate::flow::{FlowError, power, steps};
use crate::node::Node;
use crate::state::{Event, ProvisionState};

/// Boots the agent; its first heartbeat starts the steps.
///
/// # Errors
/// When the machine cannot be booted.
pub async fn begin(conductor: &Conductor, node: &mut Node) -> Result<(), FlowError> {
    let manual = node.target_provision_state == Some(ProvisionState::Manageable);
    if !manual && !node.spec.automated_clean.unwrap_or(conductor.config.automated_clean) {
        return Ok(conductor.step_to(node, Event::Done)?);
    }
    power::boot_ramdisk(conductor, node, &power::api_parameters(conductor)).await?;
    Ok(conductor.step_to(node, Event::Wait)?)
}

/// All steps are done: switches off.
///
/// # Errors
/// When the machine cannot be switched off.
pub async fn finish(conductor: &Conductor, node: &mut Node) -> Result<(), FlowError> {
    let manual = node.target_provision_state == Some(ProvisionState::Manageable);
    power::tear_down(conductor, node).await?;
    steps::forget(node);
    Ok(conductor.step_to(node, if manual { Event::Manage } else { Event::Done })?)
}
