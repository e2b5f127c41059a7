//! Allocations.

use rusqlite::{Connection, params};
use uuid::Uuid;

use super::nodes::put_node;
use super::{Store, StoreError, taken};
use crate::node::{Allocation, Node};

fn put(connection: &Connection, allocation: &Allocation) -> Result<(), StoreError> {
    connection
        .execute(
            "INSERT INTO allocations (uuid, name, node_uuid, document) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT(uuid) DO UPDATE SET name = ?2, node_uuid = ?3, document = ?4",
            params![
                allocation.uuid.to_string(),
                allocation.name,
                allocation.node_uuid.map(|node| node.to_string()),
                serde_json::to_string(allocation)?
            ],
        )
        .map_err(|error| {
            let name = allocation.name.as_deref().unwrap_or_default();
            taken(error, || format!("An allocation with name {name} already exists."))
        })?;
    Ok(())
}

impl Store {
    /// Writes an allocation.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when another one has its name.
    pub fn save_allocation(&self, allocation: &Allocation) -> Result<(), StoreError> {
        self.write(|connection| put(connection, allocation))
    }

    /// Writes an allocation together with the node that it has.
    ///
    /// # Errors
    /// As [`Store::save_allocation`].
    pub fn save_allocated(&self, allocation: &Allocation, node: &Node) -> Result<(), StoreError> {
        self.write(|connection| {
            put_node(connection, node)?;
            put(connection, allocation)
        })
    }

    /// Removes an allocation together with what its node knows of it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn delete_allocation(&self, uuid: Uuid, node: Option<&Node>) -> Result<(), StoreError> {
        self.write(|connection| {
            node.map_or(Ok(()), |node| put_node(connection, node))?;
            connection.execute("DELETE FROM allocations WHERE uuid = ?1", [uuid.to_string()])?;
            Ok(())
        })
    }

    /// The allocation with this UUID or name.
    ///
    /// # Errors
    /// When the database fails.
    pub fn allocation(&self, ident: &str) -> Result<Option<Allocation>, StoreError> {
        self.one("SELECT document FROM allocations WHERE uuid = ?1 OR name = ?1", ident)
    }
}
