//! What an owner asks of a machine beside any flow: what it boots, how, and whether it is interrupted.

use crate::crash;
use crate::driver::management::Management;
use crate::driver::{Connection, DriverError};
use crate::flow::error::FlowError;
use crate::flow::task::Task;
use crate::node::Node;
use crate::state::{BootDevice, BootMode};

/// What asks and tells a machine's firmware.
///
/// # Errors
/// When its driver cannot do `what`.
pub fn of<'a>(machine: &'a mut dyn Connection, node: &Node, what: &str) -> Result<&'a mut dyn Management, DriverError> {
    let text = format!("Driver {} does not support {what} (disabled or not implemented).", node.spec.driver);
    machine.management().ok_or(DriverError(text))
}

/// Has the next start, or every one, boot `device`.
///
/// # Errors
/// When the machine cannot, or its BMC refuses.
pub async fn set_boot_device(task: &mut Task, device: BootDevice, persistent: bool) -> Result<(), FlowError> {
    crash::point();
    let (machine, node) = task.machine()?;
    of(machine, node, "set_boot_device")?.set_boot_device(node, device, persistent).await?;
    crash::point();
    Ok(task.save()?)
}

/// Has the machine boot in this mode.
///
/// # Errors
/// When the machine cannot, or its BMC refuses.
pub async fn set_boot_mode(task: &mut Task, mode: BootMode) -> Result<(), FlowError> {
    crash::point();
    let (machine, node) = task.machine()?;
    of(machine, node, "set_boot_mode")?.set_boot_mode(node, mode).await?;
    crash::point();
    learn(task).await;
    Ok(())
}

/// Has the machine boot with Secure Boot or without.
///
/// # Errors
/// When the machine cannot, or its BMC refuses.
pub async fn set_secure_boot(task: &mut Task, on: bool) -> Result<(), FlowError> {
    crash::point();
    let (machine, node) = task.machine()?;
    of(machine, node, "set_secure_boot_state")?.set_secure_boot(node, on).await?;
    crash::point();
    learn(task).await;
    Ok(())
}

/// Asks the machine how it boots. Many do not tell, and nothing depends on it.
pub async fn learn(task: &mut Task) {
    let Ok((machine, node)) = task.machine() else { return };
    let Some(management) = machine.management() else { return };
    match management.boot_mode(node).await {
        Ok(mode) => node.boot_mode = mode,
        Err(error) => tracing::info!(node = %node.label(), %error, "the boot mode is not known"),
    }
    match management.secure_boot(node).await {
        Ok(secure_boot) => node.secure_boot = secure_boot,
        Err(error) => tracing::info!(node = %node.label(), %error, "whether Secure Boot is on is not known"),
    }
}
