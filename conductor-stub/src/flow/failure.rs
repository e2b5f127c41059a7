//! What is left when an operation fails, or is ended by its owner.

use serde_json::Value;

use crate::flow::error::FlowError;
use crate::flow::power;
use crate::flow::task::Task;
use crate::node::{Family, Intent};
use crate::state::{Event, ProvisionState};

/// Ends the running operation in its failed state: the machine is switched off, its boot settings are taken back.
pub async fn fail(task: &mut Task, text: &str) {
    let text = task.node.without_secrets(text);
    tracing::warn!(node = %task.node.label(), "{text}");
    if let Err(error) = end(task, text).await {
        tracing::error!(node = %task.node.label(), "writing a failure: {error}");
    }
}

async fn end(task: &mut Task, mut text: String) -> Result<(), FlowError> {
    task.intend(Intent::Fail(text.clone()))?;
    let state = task.node.provision_state;
    let keep_on = matches!(state, ProvisionState::Verifying | ProvisionState::Adopting);
    if !keep_on && let Err(error) = power::tear_down(task).await {
        let error = task.node.without_secrets(&error.to_string());
        tracing::warn!(node = %task.node.label(), "cleaning up after a failure: {error}");
        // Somebody has to look after the machine: it may be on, or have a medium in its drive.
        text = format!("{text} Cleaning up failed too: {error}");
    }
    let cleaning = matches!(state, ProvisionState::Cleaning | ProvisionState::CleanWait);
    if cleaning && task.node.current_step(Family::Clean).is_some() {
        task.node.spec.maintenance = true;
        task.node.fault = Some("clean failure".into());
        task.node.maintenance_reason = Some(text.clone());
    }
    task.node.internal.plan = None;
    task.note("error", &text, &Value::Null);
    // After the power action: Ironic's own clears it.
    task.node.last_error = Some(text);
    task.step_to(Event::Fail)
}

/// Takes back what was prepared for an operation that its owner ended; the node has left it already.
///
/// # Errors
/// When the machine cannot be switched.
pub async fn abort(task: &mut Task, text: String) -> Result<(), FlowError> {
    let torn_down = power::tear_down(task).await;
    task.node.internal.intent = None;
    task.node.internal.plan = None;
    task.node.last_error = Some(match &torn_down {
        Ok(()) => text,
        Err(error) => task.node.without_secrets(&format!("{text} Cleaning up failed: {error}")),
    });
    Ok(task.save()?)
}
