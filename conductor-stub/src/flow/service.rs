//! active → servicing → service wait → active.

use crate::conductor::Conductor;
use crate::flow::{FlowError, deploy, power, steps};
use crate::node::Node;
use crate::state::Event;

/// Boots the agent; its first heartbeat starts the steps.
///
/// # Errors
/// When the machine cannot be booted.
pub async fn begin(conductor: &Conductor, node: &mut Node) -> Result<(), FlowError> {
    power::boot_ramdisk(conductor, node, &power::api_parameters(conductor)).await?;
    Ok(conductor.step_to(node, Event::Wait)?)
}

/// All steps are done: back to the instance.
///
/// # Errors
/// When the machine cannot be switched.
pub async fn finish(conductor: &Conductor, node: &mut Node) -> Result<(), FlowError> {
    deploy::boot_instance(conductor, node).await?;
    steps::forget(node);
    Ok(conductor.step_to(node, Event::Done)?)
}
