//! What happened to nodes.

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Store, StoreError};
use crate::clock;
use crate::node::Node;

/// Something that happened to a node, for people and for measuring.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Seconds since the epoch.
    pub at: f64,
    /// The provision state then.
    pub state: String,
    /// `state`, `step`, `heartbeat`, `error`…
    pub kind: String,
    /// What happened, in words.
    pub text: String,
    /// Facts: a step's progress and result.
    pub detail: Value,
}

impl HistoryEntry {
    /// Something that happens to `node` now.
    pub fn now(node: &Node, kind: &str, text: &str, detail: Value) -> Self {
        let state = node.provision_state.to_string();
        Self { at: clock::seconds(), state, kind: kind.to_owned(), text: text.to_owned(), detail }
    }

    /// What is told about it: how long it took and how much was done, but not all that a step came to.
    pub fn view(&self, node: Uuid) -> Value {
        json!({
            "node": node,
            "at": self.at,
            "state": self.state,
            "kind": self.kind,
            "text": self.text,
            "seconds": self.detail["seconds"].as_f64(),
            "done_bytes": self.detail["progress"]["done_bytes"].as_u64(),
        })
    }
}

impl Store {
    pub(super) fn put_history_entry(
        &self,
        connection: &Connection,
        node: Uuid,
        entry: &HistoryEntry,
    ) -> Result<(), StoreError> {
        let node = node.to_string();
        connection
            .prepare_cached("INSERT INTO history (node_uuid, document) VALUES (?1, ?2)")?
            .execute(params![node, serde_json::to_string(entry)?])?;
        connection
            .prepare_cached(
                "DELETE FROM history WHERE node_uuid = ?1 AND id <=
                    (SELECT id FROM history WHERE node_uuid = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
            )?
            .execute(params![node, self.history_entries])?;
        Ok(())
    }

    /// What happened to a node, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn history(&self, node: Uuid) -> Result<Vec<HistoryEntry>, StoreError> {
        self.many("SELECT document FROM history WHERE node_uuid = ?1 ORDER BY id", &node.to_string())
    }

    /// The same, each with its number.
    ///
    /// # Errors
    /// When the database fails.
    pub fn numbered_history(&self, node: Uuid) -> Result<Vec<(i64, HistoryEntry)>, StoreError> {
        let connection = self.connection();
        let mut statement =
            connection.prepare_cached("SELECT id, document FROM history WHERE node_uuid = ?1 ORDER BY id")?;
        let rows = statement.query_map([node.to_string()], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
        let rows: Vec<(i64, String)> = rows.collect::<Result<_, _>>()?;
        rows.into_iter().map(|(id, text)| Ok((id, serde_json::from_str(&text)?))).collect()
    }
}
