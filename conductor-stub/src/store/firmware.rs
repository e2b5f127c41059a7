//! Versions of firmware, as they were when they were last asked for.

use rusqlite::params;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::node::Component;

impl Store {
    /// Keeps the parts of a machine that have firmware.
    ///
    /// # Errors
    /// When the database fails.
    pub fn save_components(&self, node: Uuid, components: &[Component]) -> Result<(), StoreError> {
        let document = serde_json::to_string(components)?;
        self.write(|connection| {
            connection.execute(
                "INSERT OR REPLACE INTO firmware (node_uuid, document) VALUES (?1, ?2)",
                params![node.to_string(), document],
            )?;
            Ok(())
        })
    }

    /// The parts of a machine that have firmware; none before they were first asked for.
    ///
    /// # Errors
    /// When the database fails.
    pub fn components(&self, node: Uuid) -> Result<Vec<Component>, StoreError> {
        Ok(self.one("SELECT document FROM firmware WHERE node_uuid = ?1", &node.to_string())?.unwrap_or_default())
    }
}
