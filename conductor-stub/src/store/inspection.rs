//! What inspection brought.

use rusqlite::params;
use serde_json::Value;
use uuid::Uuid;

use super::history::HistoryEntry;
use super::nodes::put_node;
use super::{Store, StoreError};
use crate::node::Node;

impl Store {
    /// Writes a node together with what its inspection came to; what its agent sent is dealt with.
    ///
    /// # Errors
    /// When the database fails.
    pub fn save_inspected(&self, node: &Node, entries: &[HistoryEntry], document: &Value) -> Result<(), StoreError> {
        self.write(|connection| {
            put_node(connection, node)?;
            connection.execute(
                "INSERT OR REPLACE INTO inventories (node_uuid, document) VALUES (?1, ?2)",
                params![node.uuid.to_string(), document.to_string()],
            )?;
            connection.execute("DELETE FROM received WHERE node_uuid = ?1", [node.uuid.to_string()])?;
            entries.iter().try_for_each(|entry| self.put_history_entry(connection, node.uuid, entry))
        })?;
        self.tell(node, entries);
        Ok(())
    }

    /// What inspection brought.
    ///
    /// # Errors
    /// When the database fails.
    pub fn inventory(&self, node: Uuid) -> Result<Option<Value>, StoreError> {
        self.one("SELECT document FROM inventories WHERE node_uuid = ?1", &node.to_string())
    }

    /// Writes a node together with the data that its agent sent, until they are dealt with.
    ///
    /// # Errors
    /// When the database fails.
    pub fn save_received(&self, node: &Node, entries: &[HistoryEntry], data: &Value) -> Result<(), StoreError> {
        self.write(|connection| {
            put_node(connection, node)?;
            connection.execute(
                "INSERT OR REPLACE INTO received (node_uuid, document) VALUES (?1, ?2)",
                params![node.uuid.to_string(), data.to_string()],
            )?;
            entries.iter().try_for_each(|entry| self.put_history_entry(connection, node.uuid, entry))
        })?;
        self.tell(node, entries);
        Ok(())
    }

    /// The data that a node's agent sent and that are not dealt with.
    ///
    /// # Errors
    /// When the database fails.
    pub fn received(&self, node: Uuid) -> Result<Option<Value>, StoreError> {
        self.one("SELECT document FROM received WHERE node_uuid = ?1", &node.to_string())
    }

    /// The data are dealt with.
    ///
    /// # Errors
    /// When the database fails.
    pub fn forget_received(&self, node: Uuid) -> Result<(), StoreError> {
        self.write(|connection| {
            connection.execute("DELETE FROM received WHERE node_uuid = ?1", [node.to_string()])?;
            Ok(())
        })
    }
}
