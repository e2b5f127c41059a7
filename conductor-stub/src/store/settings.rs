//! Settings of firmware, as they were when they were last asked for.

use rusqlite::params;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Store, StoreError};
use crate::node::Setting;

/// The settings of a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// When they were first known, ISO 8601.
    pub created_at: String,
    /// When they were last asked for, if that was later.
    pub updated_at: Option<String>,
    /// In the order of the BMC.
    pub list: Vec<Setting>,
}

impl Store {
    /// Keeps the settings of a node's firmware.
    ///
    /// # Errors
    /// When the database fails.
    pub fn save_settings(&self, node: Uuid, settings: &Settings) -> Result<(), StoreError> {
        let document = serde_json::to_string(settings)?;
        self.write(|connection| {
            connection.execute(
                "INSERT OR REPLACE INTO settings (node_uuid, document) VALUES (?1, ?2)",
                params![node.to_string(), document],
            )?;
            Ok(())
        })
    }

    /// The settings of a node's firmware; none before they were first asked for.
    ///
    /// # Errors
    /// When the database fails.
    pub fn settings(&self, node: Uuid) -> Result<Option<Settings>, StoreError> {
        self.one("SELECT document FROM settings WHERE node_uuid = ?1", &node.to_string())
    }
}
