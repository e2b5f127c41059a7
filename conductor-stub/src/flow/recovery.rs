//! After the end of a conductor, however it came: what it was at goes on.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::conductor::Shared;
use crate::error::ApiError;
use crate::flow::failure::fail;
use crate::flow::task::Task;
use crate::flow::{power, resume, timeout};
use crate::state::{PowerState, ProvisionState};
use crate::store::StoreError;

/// Operations that go on at the same time.
const TOGETHER: usize = 16;

/// Why the records cannot be put right.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A node cannot be taken.
    #[error(transparent)]
    Node(#[from] ApiError),
}

/// Goes on with everything that is not at rest. When this returns, nobody else can change those nodes.
///
/// # Errors
/// When the database fails.
pub fn recover(conductor: &Shared) -> Result<(), RecoveryError> {
    let turns = Arc::new(Semaphore::new(TOGETHER));
    let mut busy = BTreeSet::new();
    let at_work = conductor.store.nodes_in(&ProvisionState::WORKING)?;
    for node in at_work.into_iter().chain(conductor.store.nodes_with_intent()?) {
        if !busy.insert(node.uuid) {
            continue;
        }
        let task = Task::take(conductor, node.uuid)?;
        tracing::info!(node = %node.label(), "goes on in state {}", node.provision_state);
        let turns = Arc::clone(&turns);
        tokio::spawn(async move {
            let Ok(_turn) = turns.acquire().await else { return };
            resume::go_on(task).await;
        });
    }
    for node in conductor.store.nodes_in(&ProvisionState::WAITING)? {
        if busy.contains(&node.uuid) {
            continue;
        }
        let (conductor, turns) = (Shared::clone(conductor), Arc::clone(&turns));
        tokio::spawn(async move {
            let Ok(_turn) = turns.acquire().await else { return };
            let Ok(task) = Task::take(&conductor, node.uuid) else { return };
            look_at_waiting(task).await;
        });
    }
    Ok(())
}

/// A machine that is off will not call. Whether it is on is asked only now: while a conductor runs, it knows.
async fn look_at_waiting(mut task: Task) {
    let waits = ProvisionState::WAITING.contains(&task.node.provision_state);
    let is_off = waits && matches!(power::state(&mut task).await, Ok(PowerState::Off));
    let is_among_steps = task.node.internal.plan.as_ref().is_some_and(|plan| plan.steps.is_some());
    match is_off {
        false => task.end().await,
        true if !is_among_steps && !task.node.internal.boot_retried => timeout::boot_again(task).await,
        true => {
            fail(&mut task, "The machine was off when the conductor was started again.").await;
            task.end().await;
        }
    }
}
