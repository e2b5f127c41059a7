//! The machine leaves the ramdisk for its instance: its own disk, or an ISO.

use crate::flow::error::FlowError;
use crate::flow::task::Task;
use crate::flow::{boot_iso, power};
use crate::node::{BootStage, Intent};
use crate::state::{PowerState, ProvisionState};

/// Switches the machine off and on again with its instance. A boot that was cut off goes on.
///
/// # Errors
/// When the machine cannot be switched, or its ISO is not there.
pub async fn boot(task: &mut Task) -> Result<(), FlowError> {
    if task.node.internal.intent != Some(Intent::BootInstance(BootStage::SwitchOn)) {
        task.intend(Intent::BootInstance(BootStage::Prepare))?;
        match task.node.provision_state {
            // No ramdisk was there: an ISO is deployed without an agent.
            ProvisionState::Deploying => power::set(task, PowerState::Off).await?,
            _ => power::tear_down(task).await?,
        }
        if boot_iso::is_instance(&task.node) {
            boot_iso::prepare(task).await?;
        }
        task.intend(Intent::BootInstance(BootStage::SwitchOn))?;
    }
    // One that is on stays on.
    power::set(task, PowerState::On).await
}
