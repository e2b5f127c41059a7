//! The firmware of a machine: what is known of it, and the steps that change it, which the conductor does itself.
//!
//! - [`settings`]: what it is set to, steps of the interface `bios`
//! - [`update`]: its versions, steps of the interface `firmware`

pub mod settings;
pub mod update;

use crate::flow::error::FlowError;
use crate::flow::steps::Started;
use crate::flow::task::Task;
use crate::node::{Node, Step};

/// The steps that the conductor does itself for such a machine, in any family.
pub fn steps(node: &Node) -> Vec<Step> {
    let mut steps = Vec::new();
    if is_told(node, settings::INTERFACE) {
        steps.extend(settings::steps());
    }
    if is_told(node, update::INTERFACE) {
        steps.push(update::step());
    }
    steps
}

/// Does one of them.
///
/// # Errors
/// When the BMC refuses, or what was to be is not.
pub async fn run(task: &mut Task, step: &Step) -> Result<Started, FlowError> {
    match step.interface.as_str() {
        settings::INTERFACE => settings::run(task, step).await,
        update::INTERFACE => update::run(task, step).await,
        _ => Err(FlowError::Refused(format!("no such step: {}", step.step))),
    }
}

/// Asks for settings and versions, where the node's interfaces tell them, and keeps them; nothing depends on it.
pub async fn learn_if_told(task: &mut Task) {
    let mut known = Vec::new();
    if is_told(&task.node, settings::INTERFACE) {
        known.push(("settings", settings::learn(task).await.map(drop)));
    }
    if is_told(&task.node, update::INTERFACE) {
        known.push(("versions", update::learn(task).await.map(drop)));
    }
    for (what, known) in known {
        if let Err(error) = known {
            let text = task.node.without_secrets(&error.to_string());
            tracing::info!(node = %task.node.label(), "the {what} of the firmware are not known: {text}");
        }
    }
}

fn is_told(node: &Node, interface: &str) -> bool {
    !node.interface(interface).starts_with("no-")
}
