//! Inspection data: whose they are. They are written before they are taken.

use std::collections::BTreeSet;

use serde_json::Value;
use uuid::Uuid;

use crate::conductor::Shared;
use crate::error::ApiError;
use crate::flow::error::FlowError;
use crate::flow::task::Task;
use crate::flow::{fast_track, inspect, resume};
use crate::node::{Node, Object};
use crate::state::{Event, ProvisionState};

/// The node that sent this data: by UUID if given, else by its MAC addresses, among those that wait for it.
///
/// # Errors
/// 400 when the data has no inventory with interfaces, 404 when no single waiting node fits, 409 when it is locked.
pub fn receive(conductor: &Shared, uuid: Option<Uuid>, data: Object) -> Result<Node, ApiError> {
    let addresses = inspect::addresses(&data)?;
    let waits = |node: &Node| node.provision_state == ProvisionState::InspectWait;
    let owners = match uuid {
        Some(uuid) => BTreeSet::from([uuid]),
        None => conductor.store.owners(&addresses)?,
    };
    let mut waiting = Vec::new();
    for owner in owners {
        waiting.extend(conductor.store.node(&owner.to_string())?.filter(waits));
    }
    let [node] = &waiting[..] else { return Err(ApiError::NotFound) };
    let mut task = Task::take(conductor, node.uuid)?;
    if !waits(&task.node) {
        return Err(ApiError::NotFound);
    }
    task.enter(Event::Resume).map_err(FlowError::from)?;
    fast_track::heard(&mut task);
    task.save_received(&Value::Object(data))?;
    let answer = task.node.clone();
    tokio::spawn(resume::go_on(task));
    Ok(answer)
}
