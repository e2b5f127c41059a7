//! The machine that never calls: a `… wait` state that lasted too long fails.

use std::sync::Arc;

use crate::clock;
use crate::conductor::Shared;
use crate::flow;
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
        let Some(lock) = conductor.try_lock(node.uuid) else { continue };
        let conductor = Arc::clone(conductor);
        tokio::spawn(async move {
            let _lock = lock;
            let Ok(Some(mut current)) = conductor.store.node(&node.uuid.to_string()) else { return };
            if current.provision_state == node.provision_state && late(&current) {
                let text = format!(
                    "Timeout reached while waiting for callback for node {} in state {}.",
                    node.uuid, node.provision_state
                );
                flow::fail(&conductor, &mut current, &text).await;
            }
        });
    }
}
