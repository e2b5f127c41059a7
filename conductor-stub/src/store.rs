//! The database: nodes, ports, inventories and what happened, in one SQLite file that survives a restart.

use std::fs::{File, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Mutex;

use rusqlite::{Connection, OptionalExtension, params};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::clock;
use crate::node::{Node, Port};

/// The database failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite's own error.
    #[error("database: {0}")]
    Database(#[from] rusqlite::Error),
    /// Its file cannot be made.
    #[error("database file: {0}")]
    File(#[from] std::io::Error),
    /// A stored document is not what this version writes.
    #[error("a stored record cannot be read: {0}")]
    Record(#[from] serde_json::Error),
    /// Another record has this name or address.
    #[error("{0}")]
    Taken(String),
}

/// Something that happened to a node, for people and for measuring.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Happening {
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

/// The open database. Calls are short and may be made from async code.
#[derive(Debug)]
pub struct Store {
    connection: Mutex<Connection>,
    /// Entries of history that are kept of each node.
    history_entries: u32,
}

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA foreign_keys = ON;
    CREATE TABLE IF NOT EXISTS nodes (
        uuid TEXT PRIMARY KEY, name TEXT UNIQUE, provision_state TEXT NOT NULL, document TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS ports (
        uuid TEXT PRIMARY KEY, node_uuid TEXT NOT NULL REFERENCES nodes(uuid) ON DELETE CASCADE,
        address TEXT UNIQUE NOT NULL, document TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS inventories (
        node_uuid TEXT PRIMARY KEY REFERENCES nodes(uuid) ON DELETE CASCADE, document TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS history (
        id INTEGER PRIMARY KEY, node_uuid TEXT NOT NULL REFERENCES nodes(uuid) ON DELETE CASCADE, document TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS history_of_node ON history (node_uuid, id);
    CREATE INDEX IF NOT EXISTS ports_of_node ON ports (node_uuid);
    CREATE TABLE IF NOT EXISTS artefacts (
        node_uuid TEXT NOT NULL, name TEXT NOT NULL, secret TEXT NOT NULL UNIQUE, path TEXT NOT NULL,
        PRIMARY KEY (node_uuid, name));
";

impl Store {
    /// Opens or creates the database file.
    ///
    /// # Errors
    /// When the file is not a database or cannot be written.
    pub fn open(file: &Path) -> Result<Self, StoreError> {
        // SQLite's own files take over the mode.
        let private = File::options().write(true).create(true).truncate(false).mode(0o600).open(file);
        private.and_then(|file| file.set_permissions(Permissions::from_mode(0o600)))?;
        Self::prepare(Connection::open(file)?)
    }

    /// Keeps this many entries of history of each node.
    #[must_use]
    pub fn with_history(self, entries: u32) -> Self {
        Self { history_entries: entries, ..self }
    }

    /// A database that is gone with this value.
    ///
    /// # Errors
    /// When SQLite has no memory.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::prepare(Connection::open_in_memory()?)
    }

    fn prepare(connection: Connection) -> Result<Self, StoreError> {
        connection.execute_batch(SCHEMA)?;
        Ok(Self { connection: Mutex::new(connection), history_entries: 300 })
    }

    fn connection(&self) -> std::sync::MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Writes a node, new or known.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when another node has its name.
    pub fn save_node(&self, node: &Node) -> Result<(), StoreError> {
        self.connection()
            .execute(
                "INSERT INTO nodes (uuid, name, provision_state, document) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT(uuid) DO UPDATE SET name = ?2, provision_state = ?3, document = ?4",
                params![
                    node.uuid.to_string(),
                    node.spec.name,
                    node.provision_state.as_str(),
                    serde_json::to_string(node)?
                ],
            )
            .map_err(|error| taken(error, || format!("A node with name {} already exists.", node.label())))?;
        Ok(())
    }

    /// The node with this UUID or name.
    ///
    /// # Errors
    /// When the database fails.
    pub fn node(&self, ident: &str) -> Result<Option<Node>, StoreError> {
        self.one("SELECT document FROM nodes WHERE uuid = ?1 OR name = ?1", ident)
    }

    /// All nodes, in the order of their creation.
    ///
    /// # Errors
    /// When the database fails.
    pub fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        self.many("SELECT document FROM nodes WHERE ?1 = ?1 ORDER BY rowid", "")
    }

    /// Removes a node and all that belongs to it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn delete_node(&self, uuid: Uuid) -> Result<(), StoreError> {
        let connection = self.connection();
        connection.execute("DELETE FROM artefacts WHERE node_uuid = ?1", [uuid.to_string()])?;
        connection.execute("DELETE FROM nodes WHERE uuid = ?1", [uuid.to_string()])?;
        Ok(())
    }

    /// Writes a port.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when another port has its address.
    pub fn save_port(&self, port: &Port) -> Result<(), StoreError> {
        self.connection()
            .execute(
                "INSERT INTO ports (uuid, node_uuid, address, document) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT(uuid) DO UPDATE SET address = ?3, document = ?4",
                params![
                    port.uuid.to_string(),
                    port.node_uuid.to_string(),
                    port.address.as_str(),
                    serde_json::to_string(port)?
                ],
            )
            .map_err(|error| taken(error, || format!("A port with MAC address {} already exists.", port.address)))?;
        Ok(())
    }

    /// The port with this UUID or address.
    ///
    /// # Errors
    /// When the database fails.
    pub fn port(&self, ident: &str) -> Result<Option<Port>, StoreError> {
        self.one("SELECT document FROM ports WHERE uuid = ?1 OR address = lower(?1)", ident)
    }

    /// All ports.
    ///
    /// # Errors
    /// When the database fails.
    pub fn ports(&self) -> Result<Vec<Port>, StoreError> {
        self.many("SELECT document FROM ports WHERE ?1 = ?1 ORDER BY rowid", "")
    }

    /// The ports of one node.
    ///
    /// # Errors
    /// When the database fails.
    pub fn ports_of(&self, node: Uuid) -> Result<Vec<Port>, StoreError> {
        self.many("SELECT document FROM ports WHERE node_uuid = ?1 ORDER BY rowid", &node.to_string())
    }

    /// Removes a port.
    ///
    /// # Errors
    /// When the database fails.
    pub fn delete_port(&self, uuid: Uuid) -> Result<(), StoreError> {
        self.connection().execute("DELETE FROM ports WHERE uuid = ?1", [uuid.to_string()])?;
        Ok(())
    }

    /// Keeps what inspection brought.
    ///
    /// # Errors
    /// When the database fails.
    pub fn save_inventory(&self, node: Uuid, document: &Value) -> Result<(), StoreError> {
        self.connection().execute(
            "INSERT OR REPLACE INTO inventories (node_uuid, document) VALUES (?1, ?2)",
            params![node.to_string(), document.to_string()],
        )?;
        Ok(())
    }

    /// What inspection brought.
    ///
    /// # Errors
    /// When the database fails.
    pub fn inventory(&self, node: Uuid) -> Result<Option<Value>, StoreError> {
        self.one("SELECT document FROM inventories WHERE node_uuid = ?1", &node.to_string())
    }

    /// Notes that something happened to `node`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn record(&self, node: &Node, kind: &str, text: &str, detail: Value) -> Result<(), StoreError> {
        let happening = Happening {
            at: clock::seconds(),
            state: node.provision_state.to_string(),
            kind: kind.to_owned(),
            text: text.to_owned(),
            detail,
        };
        let connection = self.connection();
        let node = node.uuid.to_string();
        connection.execute(
            "INSERT INTO history (node_uuid, document) VALUES (?1, ?2)",
            params![node, serde_json::to_string(&happening)?],
        )?;
        connection.execute(
            "DELETE FROM history WHERE node_uuid = ?1 AND id <=
                (SELECT id FROM history WHERE node_uuid = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
            params![node, self.history_entries],
        )?;
        Ok(())
    }

    /// What happened to a node, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn history(&self, node: Uuid) -> Result<Vec<Happening>, StoreError> {
        self.many("SELECT document FROM history WHERE node_uuid = ?1 ORDER BY id", &node.to_string())
    }

    /// Publishes `path` as `name` of a node under a secret of its own; a known name keeps its secret.
    ///
    /// # Errors
    /// When the database fails.
    pub fn save_artefact(&self, node: Uuid, name: &str, secret: &str, path: &Path) -> Result<String, StoreError> {
        let connection = self.connection();
        connection.execute(
            "INSERT INTO artefacts (node_uuid, name, secret, path) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT(node_uuid, name) DO UPDATE SET path = ?4",
            params![node.to_string(), name, secret, path.to_string_lossy()],
        )?;
        Ok(connection.query_row(
            "SELECT secret FROM artefacts WHERE node_uuid = ?1 AND name = ?2",
            params![node.to_string(), name],
            |row| row.get(0),
        )?)
    }

    /// The file published under `secret` as `name`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn artefact(&self, secret: &str, name: &str) -> Result<Option<std::path::PathBuf>, StoreError> {
        let path: Option<String> = self
            .connection()
            .query_row("SELECT path FROM artefacts WHERE secret = ?1 AND name = ?2", params![secret, name], |row| {
                row.get(0)
            })
            .optional()?;
        Ok(path.map(Into::into))
    }

    /// Takes back everything published for a node.
    ///
    /// # Errors
    /// When the database fails.
    pub fn delete_artefacts(&self, node: Uuid) -> Result<(), StoreError> {
        self.connection().execute("DELETE FROM artefacts WHERE node_uuid = ?1", [node.to_string()])?;
        Ok(())
    }

    /// Takes back what was published as `name` of a node and returns its file.
    ///
    /// # Errors
    /// When the database fails.
    pub fn delete_artefact(&self, node: Uuid, name: &str) -> Result<Option<std::path::PathBuf>, StoreError> {
        let path: Option<String> = self
            .connection()
            .query_row(
                "DELETE FROM artefacts WHERE node_uuid = ?1 AND name = ?2 RETURNING path",
                params![node.to_string(), name],
                |row| row.get(0),
            )
            .optional()?;
        Ok(path.map(Into::into))
    }

    fn one<T: DeserializeOwned>(&self, sql: &str, key: &str) -> Result<Option<T>, StoreError> {
        let text: Option<String> = self.connection().query_row(sql, [key], |row| row.get(0)).optional()?;
        text.map(|text| serde_json::from_str(&text)).transpose().map_err(Into::into)
    }

    fn many<T: DeserializeOwned>(&self, sql: &str, key: &str) -> Result<Vec<T>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(sql)?;
        let texts = statement.query_map([key], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        texts.iter().map(|text| serde_json::from_str(text)).collect::<Result<_, _>>().map_err(Into::into)
    }
}

fn taken(error: rusqlite::Error, text: impl FnOnce() -> String) -> StoreError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::ConstraintViolation) => StoreError::Taken(text()),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Spec;

    #[test]
    fn records_survive_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("db");
        let node = Node::new(Uuid::new_v4(), Spec { name: Some("n1".into()), ..Spec::default() });
        Store::open(&file).unwrap().save_node(&node).unwrap();
        let found = Store::open(&file).unwrap().node("n1").unwrap().unwrap();
        assert_eq!(found.uuid, node.uuid);
    }

    #[test]
    fn names_are_unique() {
        let store = Store::in_memory().unwrap();
        let spec = Spec { name: Some("n1".into()), ..Spec::default() };
        store.save_node(&Node::new(Uuid::new_v4(), spec.clone())).unwrap();
        let error = store.save_node(&Node::new(Uuid::new_v4(), spec)).unwrap_err();
        assert!(matches!(error, StoreError::Taken(_)), "{error}");
    }
}
