//! A heartbeat: what waits for it goes on.

use uuid::Uuid;

use crate::conductor::Shared;
use crate::flow::clean::Cleaning;
use crate::flow::deploy::Deployment;
use crate::flow::failure::fail;
use crate::flow::service::Servicing;
use crate::flow::task::Task;
use crate::flow::{rescue, steps};
use crate::state::ProvisionState;

/// A heartbeat of `node` came while another operation had it, or has it still: then it waits.
pub fn begin(conductor: &Shared, node: Uuid) {
    let Some(lock) = conductor.locks.take_for_heartbeat(node) else { return };
    let Ok(mut task) = Task::with(conductor, lock) else { return };
    if !task.node.provision_state.awaits_heartbeat() {
        return;
    }
    task.node.touch();
    if let Err(error) = task.save() {
        return tracing::error!(node = %task.node.label(), "writing a heartbeat: {error}");
    }
    follow(task);
}

/// A heartbeat came and is written down: what waited for it goes on.
pub fn follow(mut task: Task) {
    // It may be one of an agent that was switched off meanwhile.
    if !task.node.provision_state.awaits_heartbeat() || task.node.internal.agent_url.is_none() {
        return;
    }
    tokio::spawn(async move {
        let result = match task.node.provision_state {
            ProvisionState::RescueWait => rescue::finalize(&mut task).await,
            ProvisionState::CleanWait => steps::on_heartbeat(&mut task, &Cleaning).await,
            ProvisionState::ServiceWait => steps::on_heartbeat(&mut task, &Servicing).await,
            _ => steps::on_heartbeat(&mut task, &Deployment).await,
        };
        if let Err(error) = result {
            fail(&mut task, &error.to_string()).await;
        }
        task.end().await;
    });
}
