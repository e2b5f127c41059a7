//! Fast track: a ramdisk that inspection or cleaning has booted stays up, and the next flow uses it without a reboot
//! (ironic/conductor/utils.py, `is_fast_track`).

use crate::clock;
use crate::conductor::Conductor;
use crate::flow::error::FlowError;
use crate::flow::power;
use crate::flow::steps::{self, StepFamily};
use crate::flow::task::Task;
use crate::node::Node;
use crate::state::{Event, PowerState, ProvisionState};

/// Whether a ramdisk of this node may outlast the flow that has booted it.
pub fn is_enabled(conductor: &Conductor, node: &Node) -> bool {
    // Records are checked when they are written.
    node.spec.fast_track().ok().flatten().unwrap_or(conductor.config.fast_track)
}

/// Whether the node's ramdisk is up between two flows: nothing else is looked up or heard there.
pub fn is_resting(conductor: &Conductor, node: &Node) -> bool {
    matches!(node.provision_state, ProvisionState::Manageable | ProvisionState::Available) && is_alive(conductor, node)
}

fn is_alive(conductor: &Conductor, node: &Node) -> bool {
    let age = node.internal.agent_last_heartbeat.as_deref().and_then(clock::age);
    is_enabled(conductor, node) && age.is_some_and(|age| age <= conductor.config.fast_track_timeout_seconds)
}

/// Notes that the agent has been heard without a heartbeat: it has sent inspection data.
pub fn heard(task: &mut Task) {
    if is_enabled(&task.conductor, &task.node) {
        task.node.internal.agent_last_heartbeat = Some(clock::now());
    }
}

/// Uses the ramdisk that is up, if there is one: its steps begin at once, or with its first heartbeat. False when the
/// machine has to be booted.
///
/// # Errors
/// When the machine cannot be asked, or a step fails.
pub async fn join(task: &mut Task, family: &dyn StepFamily) -> Result<bool, FlowError> {
    if !is_alive(&task.conductor, &task.node) || power::state(task).await? != PowerState::On {
        return Ok(false);
    }
    let is_known = task.node.internal.agent_url.is_some();
    if is_known && let Err(error) = task.agent()?.commands().await {
        tracing::warn!(node = %task.node.label(), %error, "the ramdisk does not answer any more: it is booted again");
        return Ok(false);
    }
    tracing::info!(node = %task.node.label(), "the ramdisk is up already");
    task.step_to(Event::Wait)?;
    if is_known {
        steps::on_heartbeat(task, family).await?;
    }
    Ok(true)
}

/// A flow that has booted the ramdisk is over: it stays up for the next one, or all of it is taken back.
///
/// # Errors
/// When the machine cannot be switched.
pub async fn rest(task: &mut Task) -> Result<(), FlowError> {
    match is_alive(&task.conductor, &task.node) {
        true => Ok(task.save()?),
        false => power::tear_down(task).await,
    }
}
