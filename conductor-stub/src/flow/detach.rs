//! Media that go by themselves when their time has come.

use crate::clock;
use crate::conductor::Shared;
use crate::flow::resume;
use crate::flow::task::Task;
use crate::node::Intent;
use crate::state::ProvisionState;

/// Takes the media of nodes away whose time has come.
pub fn run(conductor: &Shared) {
    for node in conductor.store.to_detach(clock::seconds()).unwrap_or_default() {
        // Another operation has it: the next time.
        let Ok(mut task) = Task::take(conductor, node.uuid) else { continue };
        if task.node.provision_state != ProvisionState::Active || task.node.internal.detach_at.is_none() {
            continue;
        }
        match task.intend(Intent::Detach) {
            Ok(()) => drop(tokio::spawn(resume::go_on(task))),
            Err(error) => tracing::error!(node = %task.node.label(), "{error}"),
        }
    }
}
