//! What must be so of a node before it is enrolled or changed: what can only be seen beside other nodes and the conductor.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::conductor::Conductor;
use crate::error::ApiError;
use crate::node::{Node, Object};
use crate::store::listing::{Listing, Table};

/// Has the UUID of the parent where its name may stand.
///
/// # Errors
/// 400 when there is no such node, or it is the node itself.
pub fn resolve_parent(conductor: &Conductor, body: &mut Object, node: Option<Uuid>) -> Result<(), ApiError> {
    let Some(ident) = body.get("parent_node").and_then(Value::as_str) else { return Ok(()) };
    let refused = || {
        ApiError::Invalid(format!("Unable to apply the requested parent_node '{ident}'. Requested value was invalid."))
    };
    let parent = conductor.store.node(ident)?.ok_or_else(refused)?;
    if Some(parent.uuid) == node {
        return Err(refused());
    }
    body.insert("parent_node".into(), json!(parent.uuid));
    Ok(())
}

/// Whether this conductor has the node's hardware type, for its group.
///
/// # Errors
/// 400.
pub fn check_driver(conductor: &Conductor, node: &Node) -> Result<(), ApiError> {
    let group = &node.spec.conductor_group;
    if group.is_empty() && conductor.drivers.of(node).is_ok() {
        return Ok(());
    }
    Err(ApiError::Invalid(format!(
        "No valid host was found. Reason: No conductor service registered which supports driver {} for conductor group \
         \"{group}\". Ensure the driver is valid and enabled.",
        node.spec.driver
    )))
}

/// Whether the node's instance is on no other.
///
/// # Errors
/// 409.
pub fn check_instance(conductor: &Conductor, node: &Node) -> Result<(), ApiError> {
    let Some(instance) = node.spec.instance_uuid else { return Ok(()) };
    let listing = Listing::first(2).equal("$.spec.instance_uuid", instance.to_string());
    let holders: Vec<Node> = conductor.store.list(Table::Nodes, &listing)?;
    match holders.iter().any(|holder| holder.uuid != node.uuid) {
        true => Err(ApiError::Conflict(format!(
            "Instance {instance} is already associated with a node, it cannot be associated with this other node {}",
            node.uuid
        ))),
        false => Ok(()),
    }
}
