//! A machine that was asked for by what it is, not by its name.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::spec::Object;

/// What became of it. Ironic's third state, `allocating`, is over before anybody sees it here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AllocationState {
    /// It has a node.
    Active,
    /// There was no node for it.
    Error,
}

/// A wish for a node, and the node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Allocation {
    /// Its identity, and the `instance_uuid` of its node.
    pub uuid: Uuid,
    /// Unique name.
    pub name: Option<String>,
    /// The node that it has.
    pub node_uuid: Option<Uuid>,
    /// What became of it.
    pub state: AllocationState,
    /// Why there was no node for it.
    pub last_error: Option<String>,
    /// What kind of node it has to be.
    pub resource_class: Option<String>,
    /// What the node has to have.
    pub traits: Vec<String>,
    /// One of these nodes; empty: any.
    pub candidate_nodes: Vec<Uuid>,
    /// The client's own notes.
    pub extra: Object,
    /// Whose it is: a node with an owner or lessee has to be theirs.
    pub owner: Option<String>,
    /// Creation time, ISO 8601.
    pub created_at: String,
    /// It last changed.
    pub updated_at: Option<String>,
}
