//! Which node an allocation gets, and how it gives it back.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use crate::clock;
use crate::conductor::Shared;
use crate::error::ApiError;
use crate::flow::task::Task;
use crate::node::allocation::AllocationState;
use crate::node::{Allocation, Node};
use crate::state::ProvisionState as S;
use crate::store::StoreError;
use crate::store::listing::{Listing, Table};

/// Looks at nodes that are all at work for a moment.
const ATTEMPTS: usize = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// Finds a node and writes both; without one, the allocation says why.
///
/// # Errors
/// When the database refuses.
pub async fn find(conductor: &Shared, mut allocation: Allocation) -> Result<Allocation, StoreError> {
    let mut reason = String::new();
    for attempt in 1..=ATTEMPTS {
        let candidates = candidates(conductor, &allocation)?;
        let mut at_work = 0;
        for node in &candidates {
            let Ok(mut task) = Task::take(conductor, node.uuid) else {
                at_work += 1;
                continue;
            };
            // It may have changed before we had its lock.
            if !is_free(&task.node, &allocation) {
                continue;
            }
            give(&mut task.node, &mut allocation);
            conductor.store.save_allocated(&allocation, &task.node)?;
            tracing::info!(node = %task.node.label(), allocation = %allocation.uuid, "the node is allocated");
            return Ok(allocation);
        }
        reason = match candidates.is_empty() {
            true => nothing(&allocation),
            false if at_work > 0 => format!("could not reserve any of {at_work} suitable nodes"),
            false => "all nodes were filtered out during reservation".into(),
        };
        if at_work == 0 || attempt == ATTEMPTS {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    allocation.state = AllocationState::Error;
    allocation.last_error = Some(format!("Failed to process allocation {}: {reason}.", allocation.uuid));
    conductor.store.save_allocation(&allocation)?;
    Ok(allocation)
}

fn nothing(allocation: &Allocation) -> String {
    let class = allocation.resource_class.as_deref().unwrap_or_default();
    if !allocation.traits.is_empty() {
        return format!("no suitable nodes have the requested traits {}", allocation.traits.join(", "));
    }
    match allocation.candidate_nodes.is_empty() {
        true => format!("no available nodes match the resource class {class}"),
        false => format!("none of the requested nodes are available and match the resource class {class}"),
    }
}

/// Nodes that fit, the one of the allocation's name first.
fn candidates(conductor: &Shared, allocation: &Allocation) -> Result<Vec<Node>, StoreError> {
    let class = allocation.resource_class.clone().unwrap_or_default();
    let listing = Listing::first(usize::MAX)
        .filter("provision_state = ?", [S::Available.as_str().to_owned().into()])
        .equal("$.spec.resource_class", class);
    let mut nodes: Vec<Node> = conductor.store.list(Table::Nodes, &listing)?;
    nodes.retain(|node| is_free(node, allocation));
    nodes.sort_by_key(|node| allocation.name.is_none() || node.spec.name != allocation.name);
    Ok(nodes)
}

fn is_free(node: &Node, allocation: &Allocation) -> bool {
    let of_owner = |owner: &String| [&node.spec.owner, &node.spec.lessee].into_iter().flatten().any(|who| who == owner);
    node.provision_state == S::Available
        && node.spec.instance_uuid.is_none()
        && node.power_state.is_some()
        && !node.spec.maintenance
        && node.spec.resource_class == allocation.resource_class
        && allocation.traits.iter().all(|word| node.traits.contains(word))
        && (allocation.candidate_nodes.is_empty() || allocation.candidate_nodes.contains(&node.uuid))
        && allocation.owner.as_ref().is_none_or(of_owner)
}

fn give(node: &mut Node, allocation: &mut Allocation) {
    node.spec.instance_uuid = Some(allocation.uuid);
    node.allocation_uuid = Some(allocation.uuid);
    node.spec.instance_info.insert("traits".into(), json!(allocation.traits));
    node.updated_at = Some(clock::now());
    allocation.node_uuid = Some(node.uuid);
    allocation.state = AllocationState::Active;
}

/// Writes an allocation for a node that somebody deployed without one.
///
/// # Errors
/// 409 when the node is not deployed, does not fit, has another instance or is locked.
pub fn backfill(conductor: &Shared, node: &Node, mut allocation: Allocation) -> Result<Allocation, ApiError> {
    let mut task = Task::take(conductor, node.uuid)?;
    let node = &mut task.node;
    let mut errors = Vec::new();
    if node.provision_state != S::Active {
        errors.push(format!(
            "Node must be in the \"active\" state, but the current state is \"{}\"",
            node.provision_state
        ));
    }
    if node.spec.resource_class != allocation.resource_class {
        errors.push("the resource class does not match".to_owned());
    }
    if !allocation.traits.iter().all(|word| node.traits.contains(word)) {
        errors.push("the traits do not match".to_owned());
    }
    if !allocation.candidate_nodes.is_empty() && !allocation.candidate_nodes.contains(&node.uuid) {
        errors.push("Candidate nodes must be empty or contain the target node".to_owned());
    }
    if !errors.is_empty() {
        return Err(ApiError::Conflict(format!(
            "Failed to process allocation {}: Cannot backfill an allocation for node {}: {}.",
            allocation.uuid,
            node.uuid,
            errors.join("; ")
        )));
    }
    if let Some(instance) = node.spec.instance_uuid.filter(|instance| *instance != allocation.uuid) {
        return Err(ApiError::Conflict(format!("Node {} is associated with instance {instance}.", node.uuid)));
    }
    give(node, &mut allocation);
    conductor.store.save_allocated(&allocation, node)?;
    Ok(allocation)
}

/// Whether the node may be taken from its allocation.
///
/// # Errors
/// 409.
pub fn may_let_go(node: &Node, allocation: Uuid) -> Result<(), ApiError> {
    if node.spec.maintenance {
        return Ok(());
    }
    let why = match node.provision_state {
        S::Active => "active".to_owned(),
        state if node.target_provision_state.is_some() && !state.allows_update() => {
            format!("in state {state} where updates are not allowed")
        }
        _ => return Ok(()),
    };
    Err(ApiError::Conflict(format!(
        "Cannot remove allocation {allocation} for node {}, because the node is {why} (and maintenance mode is off)",
        node.uuid
    )))
}

/// Removes it; its node is free.
///
/// # Errors
/// 409 when the node is in use.
pub fn remove(conductor: &Shared, allocation: &Allocation) -> Result<(), ApiError> {
    let Some(uuid) = allocation.node_uuid else {
        return Ok(conductor.store.delete_allocation(allocation.uuid, None)?);
    };
    let mut task = Task::take(conductor, uuid)?;
    may_let_go(&task.node, allocation.uuid)?;
    let node = &mut task.node;
    if node.allocation_uuid == Some(allocation.uuid) {
        (node.allocation_uuid, node.spec.instance_uuid) = (None, None);
        node.spec.instance_info.shift_remove("traits");
        node.updated_at = Some(clock::now());
    }
    Ok(conductor.store.delete_allocation(allocation.uuid, Some(node))?)
}

/// What is left of an allocation when its node is taken back.
///
/// # Errors
/// When the database refuses.
pub fn end(task: &mut Task) -> Result<(), StoreError> {
    let Some(uuid) = task.node.allocation_uuid.take() else { return Ok(()) };
    task.node.spec.instance_uuid = None;
    task.node.spec.instance_info.shift_remove("traits");
    task.conductor.store.delete_allocation(uuid, Some(&task.node))
}
