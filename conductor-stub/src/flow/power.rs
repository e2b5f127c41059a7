//! Switching the machine within a flow: what boots next, and who is forgotten.

use std::time::Duration;

use crate::conductor::Conductor;
use crate::crash;
use crate::flow::error::FlowError;
use crate::flow::task::Task;
use crate::node::{BootStage, Intent};
use crate::ramdisk::Parameters;
use crate::state::PowerState;

/// Names the conductor's own authority to the agent.
const CA_PARAMETER: &str = "ipa-ca-certificate";

/// Boots the agent's ramdisk with `parameters`: off, prepare, on. A boot that was cut off goes on.
///
/// # Errors
/// When the machine cannot be switched.
pub async fn boot_ramdisk(task: &mut Task, parameters: &Parameters) -> Result<(), FlowError> {
    let is_prepared = task.node.internal.intent == Some(Intent::Boot(BootStage::SwitchOn));
    if !is_prepared {
        task.intend(Intent::Boot(BootStage::Prepare))?;
        set(task, PowerState::Off).await?;
        prepare(task, parameters).await?;
        if let Some(plan) = &mut task.node.internal.plan {
            plan.forget_agent();
        }
        task.intend(Intent::Boot(BootStage::SwitchOn))?;
    } else if state(task).await? == PowerState::On {
        // Not again: an agent may be up by now.
        (task.node.power_state, task.node.target_power_state) = (Some(PowerState::On), None);
        return Ok(());
    }
    set(task, PowerState::On).await
}

async fn prepare(task: &mut Task, parameters: &Parameters) -> Result<(), FlowError> {
    crash::point();
    let (machine, node) = task.machine()?;
    machine.prepare_ramdisk(node, parameters).await?;
    crash::point();
    Ok(())
}

/// Switches off and takes back what was prepared and published for the node: the disk is next.
///
/// # Errors
/// When the machine cannot be switched, or the database refuses.
pub async fn tear_down(task: &mut Task) -> Result<(), FlowError> {
    let off = set(task, PowerState::Off).await;
    // A machine that does not switch off must not keep the ramdisk either.
    let cleared = boot_disk(task).await;
    task.node.internal.detach_at = None;
    task.node.internal.detach_when_off = false;
    withdraw(task)?;
    task.save()?;
    off?;
    cleared
}

/// Takes back all that was published for the node; files that nobody needs any longer may go.
///
/// # Errors
/// When the database refuses.
pub fn withdraw(task: &Task) -> Result<(), FlowError> {
    task.conductor.artefacts.withdraw_all(task.node.uuid)?;
    if let Err(error) = task.conductor.media.shelf().tidy() {
        tracing::warn!("clearing the folder of media up: {error}");
    }
    Ok(())
}

/// The disk is next; media and overrides of the ramdisk are taken away.
///
/// # Errors
/// When the machine refuses.
pub async fn boot_disk(task: &mut Task) -> Result<(), FlowError> {
    crash::point();
    let (machine, node) = task.machine()?;
    machine.prepare_instance(node).await?;
    crash::point();
    Ok(())
}

/// Asks the machine whether it is on.
///
/// # Errors
/// When it cannot be asked.
pub async fn state(task: &mut Task) -> Result<PowerState, FlowError> {
    let (machine, node) = task.machine()?;
    Ok(machine.power_state(node).await?)
}

/// Switches the machine; switched off, its agent is forgotten.
///
/// # Errors
/// When the machine cannot be switched.
pub async fn set(task: &mut Task, to: PowerState) -> Result<(), FlowError> {
    change(task, to, None).await
}

/// Has the operating system end; a machine that does not stays on.
///
/// # Errors
/// When it is not off after `limit`.
pub async fn shut_down(task: &mut Task, limit: Duration) -> Result<(), FlowError> {
    change(task, PowerState::Off, Some(limit)).await
}

async fn change(task: &mut Task, to: PowerState, softly: Option<Duration>) -> Result<(), FlowError> {
    task.node.target_power_state = Some(to);
    // Not when it is switched on: the token that the ramdisk carries is made before.
    if to == PowerState::Off {
        task.node.internal.forget_agent();
    }
    task.save()?;
    let result = switch(task, to, softly).await;
    task.node.target_power_state = None;
    if result.is_ok() {
        task.node.power_state = Some(to);
    }
    task.save()?;
    result
}

async fn switch(task: &mut Task, to: PowerState, softly: Option<Duration>) -> Result<(), FlowError> {
    crash::point();
    let (machine, node) = task.machine()?;
    match softly {
        Some(limit) => machine.shut_down(node, limit).await?,
        None => machine.set_power(node, to).await?,
    }
    crash::point();
    Ok(())
}

/// The parameters that every ramdisk but the inspecting one gets.
pub fn api_parameters(conductor: &Conductor) -> Parameters {
    parameters(conductor, "ipa-api-url", conductor.urls.public().to_owned())
}

/// One URL of ours, and whom to trust there.
pub fn parameters(conductor: &Conductor, name: &str, url: String) -> Parameters {
    let authority = conductor.authority.iter().map(|authority| (CA_PARAMETER.to_owned(), authority.clone()));
    authority.chain([(name.to_owned(), url)]).collect()
}
