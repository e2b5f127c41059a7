//! The machine that never calls: a `… wait` state that lasted too long fails.

use crate::clock;
use crate::conductor::Shared;
use crate::flow::failure::fail;
use crate::flow::task::Task;
use crate::node::Node;
use crate::state::ProvisionState;

/// Fails every node that has waited too long.
pub fn sweep(conductor: &Shared) {
    let limit = conductor.config.callback_timeout_seconds;
    let late = move |node: &Node| clock::seconds() - node.provision_touched > limit;
    for node in conductor.store.nodes().unwrap_or_default() {
        let waiting = node.provision_state.awaits_heartbeat() || node.provision_state == ProvisionState::InspectWait;
        if !waiting || !late(&node) {
            continue;
        }
        let Ok(mut task) = Task::take(conductor, node.uuid) else { continue };
        if task.node.provision_state != node.provision_state || !late(&task.node) {
            continue;
        }
        tokio::spawn(async move {
            let text = format!(
                "Timeout reached while waiting for callback for node {} in state {}.",
                node.uuid, node.provision_state
            );
            fail(&mut task, &text).await;
            task.end().await;
        });
    }
}
