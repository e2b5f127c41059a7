//! Switching the machine within a flow: what boots next, and who is forgotten.

use crate::conductor::Conductor;
use crate::driver::Parameters;
use crate::flow::FlowError;
use crate::node::Node;
use crate::state::PowerState;

/// Boots the agent's ramdisk with `parameters`: off, prepare, on.
///
/// # Errors
/// When the machine cannot be switched.
pub async fn boot_ramdisk(conductor: &Conductor, node: &mut Node, parameters: &Parameters) -> Result<(), FlowError> {
    set(conductor, node, PowerState::Off).await?;
    conductor.driver(node)?.prepare_ramdisk(conductor, node, parameters).await?;
    conductor.save(node)?;
    set(conductor, node, PowerState::On).await
}

/// Switches off and takes back what was prepared for the ramdisk: the disk is next.
///
/// # Errors
/// When the machine cannot be switched.
pub async fn tear_down(conductor: &Conductor, node: &mut Node) -> Result<(), FlowError> {
    let off = set(conductor, node, PowerState::Off).await;
    // A machine that does not switch off must not keep the ramdisk either.
    let cleared = conductor.driver(node)?.prepare_instance(conductor, node).await;
    conductor.save(node)?;
    off?;
    Ok(cleared?)
}

/// Switches the machine; switched off, its agent is forgotten.
///
/// # Errors
/// When the machine cannot be switched.
pub async fn set(conductor: &Conductor, node: &mut Node, to: PowerState) -> Result<(), FlowError> {
    node.target_power_state = Some(to);
    // Not when it is switched on: the token that the ramdisk carries is made before.
    if to == PowerState::Off {
        node.forget_agent();
    }
    conductor.save(node)?;
    let result = conductor.driver(node)?.set_power(node, to).await;
    node.target_power_state = None;
    if result.is_ok() {
        node.power_state = Some(to);
    }
    conductor.save(node)?;
    Ok(result?)
}

/// The parameters that every ramdisk but the inspecting one gets.
pub fn api_parameters(conductor: &Conductor) -> Parameters {
    Parameters::from([("ipa-api-url", conductor.url().to_owned())])
}
