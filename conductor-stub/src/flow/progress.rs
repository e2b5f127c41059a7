//! How far running steps are: their agents are asked, several at a time.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use serde_json::json;

use crate::conductor::Conductor;
use crate::mask;
use crate::node::Node;
use crate::state::ProvisionState;

/// Agents that are asked at the same time.
const TOGETHER: usize = 16;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where an agent may be at a step.
const STATES: [ProvisionState; 3] =
    [ProvisionState::CleanWait, ProvisionState::WaitCallBack, ProvisionState::ServiceWait];

/// Asks the agent of every node that waits for a step.
pub async fn look(conductor: &Conductor) {
    let nodes = conductor.store.nodes_in(&STATES).unwrap_or_default();
    let running: Vec<Node> = nodes
        .into_iter()
        .filter(|node| node.internal.plan.as_ref().is_some_and(|plan| plan.current.is_some()))
        .collect();
    conductor.progress.keep(running.iter().map(|node| node.uuid));
    iter(running)
        .for_each_concurrent(TOGETHER, async |node| {
            let Ok(agent) = conductor.agent(&node) else { return };
            let Ok(Ok(list)) = tokio::time::timeout(PATIENCE, agent.commands()).await else { return };
            if let Some(last) = list.last() {
                let said = json!({"command": last.name, "status": last.status, "progress": last.progress});
                conductor.progress.set(node.uuid, mask::value(&said));
            }
        })
        .await;
}
