//! What is left when an operation fails.

use serde_json::Value;

use crate::flow::power;
use crate::flow::task::Task;
use crate::node::Family;
use crate::state::{Event, ProvisionState};

/// Ends the running operation in its failed state: the machine is switched off, its boot settings are taken back.
pub async fn fail(task: &mut Task, text: &str) {
    let mut text = task.node.without_secrets(text);
    tracing::warn!(node = %task.node.label(), "{text}");
    let state = task.node.provision_state;
    let keep_on = matches!(state, ProvisionState::Verifying | ProvisionState::Adopting);
    let cleaning = matches!(state, ProvisionState::Cleaning | ProvisionState::CleanWait);
    // Before the clean-up, which forgets the agent's token.
    if !keep_on && let Err(error) = power::tear_down(task).await {
        let error = task.node.without_secrets(&error.to_string());
        tracing::warn!(node = %task.node.label(), "cleaning up after a failure: {error}");
        // Somebody has to look after the machine: it may be on, or have a medium in its drive.
        text = format!("{text} Cleaning up failed too: {error}");
    }
    if cleaning && task.node.current_step(Family::Clean).is_some() {
        task.node.spec.maintenance = true;
        task.node.fault = Some("clean failure".into());
        task.node.maintenance_reason = Some(text.clone());
    }
    task.node.internal.plan = None;
    // After the power action: Ironic's own clears it.
    task.node.last_error = Some(text.clone());
    let written = task.record("error", &text, Value::Null);
    if let Err(error) = written.map_err(Into::into).and_then(|()| task.step_to(Event::Fail)) {
        tracing::error!(node = %task.node.label(), "writing a failure: {error}");
    }
}
