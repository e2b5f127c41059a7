//! Nodes.

use rusqlite::{Connection, params};
use serde_json::json;
use uuid::Uuid;

use super::history::HistoryEntry;
use super::{Store, StoreError, taken};
use crate::events::Kind;
use crate::node::Node;
use crate::state::ProvisionState;

impl Store {
    /// Writes a node, new or known, together with what happened to it.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when another node has its name.
    pub fn save_node(&self, node: &Node, entries: &[HistoryEntry]) -> Result<(), StoreError> {
        self.write(|connection| {
            put_node(connection, node)?;
            entries.iter().try_for_each(|entry| self.put_history_entry(connection, node.uuid, entry))
        })?;
        self.tell(node, entries);
        Ok(())
    }

    /// The node with this UUID or name.
    ///
    /// # Errors
    /// When the database fails.
    pub fn node(&self, ident: &str) -> Result<Option<Node>, StoreError> {
        self.one("SELECT document FROM nodes WHERE uuid = ?1 OR name = ?1", ident)
    }

    /// Nodes in one of these states, in the order of their creation.
    ///
    /// # Errors
    /// When the database fails.
    pub fn nodes_in(&self, states: &[ProvisionState]) -> Result<Vec<Node>, StoreError> {
        let mut nodes = Vec::new();
        for state in states {
            nodes.extend(
                self.many("SELECT document FROM nodes WHERE provision_state = ?1 ORDER BY rowid", state.as_str())?,
            );
        }
        Ok(nodes)
    }

    /// The same as their UUIDs.
    ///
    /// # Errors
    /// When the database fails.
    pub fn uuids_in(&self, states: &[ProvisionState]) -> Result<Vec<Uuid>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("SELECT uuid FROM nodes WHERE provision_state = ?1")?;
        let mut uuids = Vec::new();
        for state in states {
            let rows = statement.query_map([state.as_str()], |row| row.get::<_, String>(0))?;
            for text in rows {
                uuids.extend(text?.parse::<Uuid>().ok());
            }
        }
        Ok(uuids)
    }

    /// Nodes in `state` that were last heard of before `time`, seconds since the epoch.
    ///
    /// # Errors
    /// When the database fails.
    pub fn silent_since(&self, state: ProvisionState, time: f64) -> Result<Vec<Node>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "SELECT document FROM nodes
             WHERE provision_state = ?1 AND json_extract(document, '$.provision_touched') < ?2",
        )?;
        let rows = statement.query_map(params![state.as_str(), time], |row| row.get::<_, String>(0))?;
        let texts = rows.collect::<Result<Vec<_>, _>>()?;
        texts.iter().map(|text| serde_json::from_str(text)).collect::<Result<_, _>>().map_err(Into::into)
    }

    /// Nodes whose media were to go by this time, seconds since the epoch.
    ///
    /// # Errors
    /// When the database fails.
    pub fn to_detach(&self, time: f64) -> Result<Vec<Node>, StoreError> {
        let connection = self.connection();
        let mut statement = connection
            .prepare_cached("SELECT document FROM nodes WHERE json_extract(document, '$.internal.detach_at') <= ?1")?;
        let texts = statement.query_map([time], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        texts.iter().map(|text| serde_json::from_str(text)).collect::<Result<_, _>>().map_err(Into::into)
    }

    /// Nodes to whose machine something was being done.
    ///
    /// # Errors
    /// When the database fails.
    pub fn nodes_with_intent(&self) -> Result<Vec<Node>, StoreError> {
        self.many(
            "SELECT document FROM nodes
             WHERE ?1 = ?1 AND json_extract(document, '$.internal.intent') IS NOT NULL ORDER BY rowid",
            "",
        )
    }

    /// How many nodes there are in each state.
    ///
    /// # Errors
    /// When the database fails.
    pub fn count_by_state(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let connection = self.connection();
        let mut statement =
            connection.prepare_cached("SELECT provision_state, count(*) FROM nodes GROUP BY provision_state")?;
        let counts = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(counts.collect::<Result<_, _>>()?)
    }

    /// Removes a node and all that belongs to it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn delete_node(&self, uuid: Uuid) -> Result<(), StoreError> {
        self.write(|connection| {
            connection.execute("DELETE FROM artefacts WHERE node_uuid = ?1", [uuid.to_string()])?;
            connection.execute("DELETE FROM nodes WHERE uuid = ?1", [uuid.to_string()])?;
            Ok(())
        })?;
        self.events.add(Kind::Gone, uuid, &json!({ "uuid": uuid }));
        Ok(())
    }
}

pub(super) fn put_node(connection: &Connection, node: &Node) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO nodes (uuid, name, provision_state, document) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT(uuid) DO UPDATE SET name = ?2, provision_state = ?3, document = ?4",
        )?
        .execute(params![
            node.uuid.to_string(),
            node.spec.name,
            node.provision_state.as_str(),
            serde_json::to_string(node)?
        ])
        .map_err(|error| taken(error, || format!("A node with name {} already exists.", node.label())))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Spec;

    #[test]
    fn names_are_unique() {
        let store = Store::in_memory().unwrap();
        let spec = Spec { name: Some("n1".into()), ..Spec::default() };
        store.save_node(&Node::new(Uuid::new_v4(), spec.clone()), &[]).unwrap();
        let error = store.save_node(&Node::new(Uuid::new_v4(), spec), &[]).unwrap_err();
        assert!(matches!(error, StoreError::Taken(_)), "{error}");
    }
}
