//! How far running steps are: their agents are asked.

use serde_json::json;

use crate::conductor::Conductor;
use crate::mask;
use crate::state::ProvisionState;

/// Asks the agent of every node that waits for a step.
pub async fn look(conductor: &Conductor) {
    for node in conductor.store.nodes().unwrap_or_default() {
        let waiting = matches!(
            node.provision_state,
            ProvisionState::CleanWait | ProvisionState::WaitCallBack | ProvisionState::ServiceWait
        );
        let running = node.internal.plan.as_ref().is_some_and(|plan| plan.current.is_some());
        let last = match conductor.agent(&node) {
            Ok(agent) if waiting && running => agent.commands().await.ok().and_then(|list| list.last().cloned()),
            _ => None,
        };
        let said = last
            .map(|last| mask::value(&json!({"command": last.name, "status": last.status, "progress": last.progress})));
        conductor.progress.set(node.uuid, said);
    }
}
