//! The machine that does not call: a `… wait` state that lasts too long fails; before that, the machine is booted once more.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::clock;
use crate::conductor::{Conductor, Shared};
use crate::flow::error::FlowError;
use crate::flow::failure::fail;
use crate::flow::resume;
use crate::flow::task::Task;
use crate::node::Node;
use crate::state::{Event, ProvisionState};

/// Machines that are switched at the same time.
const TOGETHER: usize = 16;

/// Looks after every node that waits.
#[derive(Debug, Clone)]
pub struct Sweep {
    turns: Arc<Semaphore>,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(TOGETHER)) }
    }
}

impl Sweep {
    /// Boots once more what has not called in half of the time, and fails what has waited too long.
    pub fn run(&self, conductor: &Shared) {
        for node in silent(conductor) {
            if due(conductor, &node).is_none() {
                continue;
            }
            // Another operation has it: it is not waiting any more, or will be looked at again.
            let Ok(mut task) = Task::take(conductor, node.uuid) else { continue };
            let Some(due) = due(conductor, &task.node) else { continue };
            let turns = Arc::clone(&self.turns);
            tokio::spawn(async move {
                let Ok(_turn) = turns.acquire().await else { return };
                match due {
                    Due::Boot => boot_again(task).await,
                    Due::End => {
                        let text = given_up(&task);
                        fail(&mut task, &text).await;
                        task.end().await;
                    }
                }
            });
        }
    }
}

enum Due {
    Boot,
    End,
}

/// Nodes of which nothing was heard for so long that something may be due.
fn silent(conductor: &Conductor) -> Vec<Node> {
    let config = &conductor.config;
    let of_state = |state: ProvisionState| {
        let limit = config.callback_timeout(state);
        let first = config.boot_retry_timeout_seconds.unwrap_or(limit / 2.0).min(limit);
        conductor.store.silent_since(state, clock::seconds() - first).unwrap_or_default()
    };
    ProvisionState::WAITING.into_iter().flat_map(of_state).collect()
}

fn due(conductor: &Conductor, node: &Node) -> Option<Due> {
    let waits = ProvisionState::WAITING.contains(&node.provision_state);
    let waited = clock::seconds() - node.provision_touched;
    let limit = conductor.config.callback_timeout(node.provision_state);
    let retry = conductor.config.boot_retry_timeout_seconds.unwrap_or(limit / 2.0);
    match () {
        () if !waits => None,
        () if waited > limit => Some(Due::End),
        () if waited > retry && !was_heard(node) && !node.internal.boot_retried => Some(Due::Boot),
        () => None,
    }
}

/// One that looked itself up and says nothing may have lost its token on the way.
fn was_heard(node: &Node) -> bool {
    node.internal.agent_url.is_some()
}

/// Boots the ramdisk of an operation once more.
pub(super) async fn boot_again(mut task: Task) {
    let text = format!("{}: the ramdisk is booted once more", missing(&task));
    tracing::warn!(node = %task.node.label(), "{text}");
    task.node.internal.boot_retried = true;
    task.node.internal.forget_agent();
    task.note("boot", &text, &serde_json::Value::Null);
    match task.step_to(Event::Resume) {
        Ok(()) => resume::go_on(task).await,
        Err(error) => {
            fail(&mut task, &error.to_string()).await;
            task.end().await;
        }
    }
}

fn given_up(task: &Task) -> String {
    format!(
        "Timeout reached while waiting for callback for node {} in state {}: {}.",
        task.node.uuid,
        task.node.provision_state,
        missing(task)
    )
}

/// What was seen of the machine last, in words.
fn missing(task: &Task) -> String {
    let internal = &task.node.internal;
    if let Some(at) = &internal.agent_last_heartbeat {
        return format!("the last heartbeat came at {at}");
    }
    if let Some(at) = &internal.agent_looked_up {
        return format!("the agent looked itself up at {at} and sent no heartbeat");
    }
    let fetches = task.conductor.artefacts.fetches(task.node.uuid).map_err(FlowError::from).unwrap_or_default();
    let first = fetches.iter().filter_map(|(_, at)| *at).reduce(f64::min);
    match first {
        Some(at) => format!("the ramdisk was fetched at {}, and its agent has not called", clock::at(at)),
        None if fetches.is_empty() => "the agent has not called".into(),
        None => "the ramdisk was never fetched".into(),
    }
}
