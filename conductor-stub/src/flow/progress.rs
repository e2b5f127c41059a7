//! How far running steps are: their agents are asked, several at a time, and of many nodes a part after the other.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use uuid::Uuid;

use crate::conductor::Conductor;
use crate::node::Progress;
use crate::state::ProvisionState;

/// Agents that are asked at the same time.
const TOGETHER: usize = 16;
/// Nodes that are looked at in one go.
const MOST: usize = 32;
/// How long an answer is waited for.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Where an agent may be at a step.
const STATES: [ProvisionState; 3] =
    [ProvisionState::CleanWait, ProvisionState::WaitCallBack, ProvisionState::ServiceWait];

/// Whom to ask next.
#[derive(Debug, Default)]
pub struct Look {
    /// The last one that was looked at.
    last: Uuid,
}

impl Look {
    /// Asks the agents of the next nodes that wait for a step.
    pub async fn go_on(&mut self, conductor: &Conductor) {
        let mut waiting = conductor.store.uuids_in(&STATES).unwrap_or_default();
        conductor.running.keep(waiting.iter().copied());
        waiting.sort_unstable();
        let next = waiting.partition_point(|uuid| *uuid <= self.last);
        waiting.rotate_left(next);
        waiting.truncate(MOST);
        self.last = waiting.last().copied().unwrap_or_default();
        iter(waiting).for_each_concurrent(TOGETHER, |uuid| ask(conductor, uuid)).await;
    }
}

async fn ask(conductor: &Conductor, uuid: Uuid) {
    let Ok(node) = conductor.find(&uuid.to_string()) else { return };
    if node.internal.plan.as_ref().is_none_or(|plan| plan.current.is_none()) {
        return conductor.running.set(uuid, None);
    }
    let Ok(agent) = conductor.agent(&node) else { return };
    let Ok(Ok(list)) = tokio::time::timeout(TIMEOUT, agent.commands()).await else { return };
    if let Some(last) = list.last() {
        conductor.running.set(uuid, Some(Progress::read(&last.name, &last.status, &last.progress)));
    }
}
