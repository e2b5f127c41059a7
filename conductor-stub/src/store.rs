//! The database: one SQLite file that survives a restart.
//!
//! - [`nodes`], [`inspection`], [`settings`], [`firmware`], [`ports`], [`allocations`], [`history`], [`artefacts`]: what is in it; [`listing`]: parts of long lists
//! - `checkpoint`: what was written gets from the log into the file, while nobody waits for it

pub mod allocations;
pub mod artefacts;
mod checkpoint;
pub mod firmware;
pub mod history;
pub mod inspection;
pub mod listing;
pub mod nodes;
pub mod ports;
pub mod settings;

use std::fs::{File, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use serde::de::DeserializeOwned;

use crate::crash;
use crate::events::{Events, Kind};
use crate::node::{Node, Summary};
use checkpoint::Checkpoints;
use history::HistoryEntry;

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

/// The open database. Calls are short and may be made from async code. What they change is told.
#[derive(Debug)]
pub struct Store {
    connection: Mutex<Connection>,
    /// Reads long lists while others write; a database in memory has but one connection.
    reader: Option<Mutex<Connection>>,
    _checkpoints: Option<Checkpoints>,
    /// Entries of history that are kept of each node.
    history_entries: u32,
    events: Arc<Events>,
}

/// What makes a database of the last version one of this; the first step is also taken on those from before versions.
const MIGRATIONS: [&str; 9] = [
    "CREATE TABLE IF NOT EXISTS nodes (
        uuid TEXT PRIMARY KEY, name TEXT UNIQUE, provision_state TEXT NOT NULL, document TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS ports (
        uuid TEXT PRIMARY KEY, node_uuid TEXT NOT NULL REFERENCES nodes(uuid) ON DELETE CASCADE,
        address TEXT UNIQUE NOT NULL, document TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS inventories (
        node_uuid TEXT PRIMARY KEY REFERENCES nodes(uuid) ON DELETE CASCADE, document TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS history (
        id INTEGER PRIMARY KEY, node_uuid TEXT NOT NULL REFERENCES nodes(uuid) ON DELETE CASCADE, document TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS artefacts (
        node_uuid TEXT NOT NULL, name TEXT NOT NULL, secret TEXT NOT NULL UNIQUE, path TEXT NOT NULL,
        PRIMARY KEY (node_uuid, name));",
    "CREATE INDEX IF NOT EXISTS nodes_in_state ON nodes (provision_state);
    CREATE INDEX IF NOT EXISTS history_of_node ON history (node_uuid, id);
    CREATE INDEX IF NOT EXISTS ports_of_node ON ports (node_uuid);
    CREATE TABLE received (
        node_uuid TEXT PRIMARY KEY REFERENCES nodes(uuid) ON DELETE CASCADE, document TEXT NOT NULL);
    ALTER TABLE artefacts ADD COLUMN fetched REAL;",
    "UPDATE nodes SET document = json_set(document, '$.spec.chassis_uuid', NULL,
        '$.spec.conductor_group', lower(coalesce(json_extract(document, '$.spec.conductor_group'), '')));",
    "CREATE INDEX nodes_heard ON nodes (provision_state, json_extract(document, '$.provision_touched'));",
    "CREATE TABLE allocations (
        uuid TEXT PRIMARY KEY, name TEXT UNIQUE, node_uuid TEXT REFERENCES nodes(uuid) ON DELETE CASCADE,
        document TEXT NOT NULL);",
    "ALTER TABLE artefacts ADD COLUMN overlay BLOB;",
    "CREATE TABLE settings (
        node_uuid TEXT PRIMARY KEY REFERENCES nodes(uuid) ON DELETE CASCADE, document TEXT NOT NULL);",
    "CREATE INDEX nodes_detached ON nodes (json_extract(document, '$.internal.detach_at'))
        WHERE json_extract(document, '$.internal.detach_at') IS NOT NULL;",
    "CREATE TABLE firmware (
        node_uuid TEXT PRIMARY KEY REFERENCES nodes(uuid) ON DELETE CASCADE, document TEXT NOT NULL);",
];

/// Statements that are kept ready.
const STATEMENTS: usize = 64;

// Not at every thousandth page, by whoever happens to write it: that waits for the disk.
const SETTINGS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA foreign_keys = ON;
    PRAGMA wal_autocheckpoint = 0;
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
        let store = Self::prepare(Connection::open(file)?)?;
        let reader = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        reader.set_prepared_statement_cache_capacity(STATEMENTS);
        let checkpoints = Checkpoints::start(Connection::open(file)?)?;
        Ok(Self { reader: Some(Mutex::new(reader)), _checkpoints: Some(checkpoints), ..store })
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
        connection.execute_batch(SETTINGS)?;
        let done: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        for (version, migration) in (1..).zip(MIGRATIONS).filter(|(version, _)| *version > done) {
            connection.execute_batch(&format!("BEGIN; {migration} PRAGMA user_version = {version}; COMMIT;"))?;
        }
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(Self {
            connection: Mutex::new(connection),
            reader: None,
            _checkpoints: None,
            history_entries: 300,
            events: Arc::default(),
        })
    }

    /// What changes in here.
    pub fn events(&self) -> &Arc<Events> {
        &self.events
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Sees what is written, and is in nobody's way.
    fn reader(&self) -> MutexGuard<'_, Connection> {
        self.reader.as_ref().unwrap_or(&self.connection).lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Does `work` wholly or not at all.
    fn write<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        crash::point();
        let connection = self.connection();
        let transaction = connection.unchecked_transaction()?;
        let outcome = work(&transaction)?;
        transaction.commit()?;
        drop(connection);
        crash::point();
        Ok(outcome)
    }

    /// Tells what was written.
    fn tell(&self, node: &Node, entries: &[HistoryEntry]) {
        self.events.add(Kind::Node, node.uuid, &Summary::of(node));
        for entry in entries {
            self.events.add(Kind::History, node.uuid, &entry.view(node.uuid));
        }
    }

    fn one<T: DeserializeOwned>(&self, sql: &str, key: &str) -> Result<Option<T>, StoreError> {
        let text: Option<String> =
            self.connection().prepare_cached(sql)?.query_row([key], |row| row.get(0)).optional()?;
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
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;
    use crate::node::Spec;

    #[test]
    fn records_survive_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("db");
        let node = Node::new(Uuid::new_v4(), Spec { name: Some("n1".into()), ..Spec::default() });
        Store::open(&file).unwrap().save_node(&node, &[]).unwrap();
        let found = Store::open(&file).unwrap().node("n1").unwrap().unwrap();
        assert_eq!(found.uuid, node.uuid);
    }

    #[test]
    fn a_database_from_before_versions_is_used_on() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("db");
        Connection::open(&file).unwrap().execute_batch(MIGRATIONS[0]).unwrap();
        let node = Node::new(Uuid::new_v4(), Spec::default());
        for _ in 0..2 {
            let store = Store::open(&file).unwrap();
            store.save_node(&node, &[HistoryEntry::now(&node, "state", "x", Value::Null)]).unwrap();
            store.save_artefact(node.uuid, "a", "s", Path::new("/x"), None).unwrap();
            assert_eq!(store.fetches(node.uuid).unwrap(), [("a".to_owned(), None)]);
        }
        assert_eq!(Store::open(&file).unwrap().history(node.uuid).unwrap().len(), 2);
    }

    #[test]
    fn what_is_asked_for_often_is_found_by_an_index() {
        let store = Store::in_memory().unwrap();
        for sql in [
            "SELECT document FROM nodes WHERE uuid = ?1 OR name = ?1",
            "SELECT document FROM nodes WHERE provision_state = ?1 ORDER BY rowid",
            "SELECT document FROM nodes WHERE 1 AND rowid > (SELECT rowid FROM nodes WHERE uuid = ?1) ORDER BY rowid LIMIT 9",
            "SELECT document FROM ports WHERE uuid = ?1 OR address = lower(?1)",
            "SELECT document FROM ports WHERE node_uuid = ?1 ORDER BY rowid",
            "SELECT document FROM history WHERE node_uuid = ?1 ORDER BY id",
            "SELECT document FROM nodes WHERE json_extract(document, '$.internal.detach_at') <= ?1",
            "UPDATE artefacts SET fetched = 1 WHERE secret = ?1 AND fetched IS NULL",
        ] {
            let connection = store.connection();
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let rows = plan.query_map(["x"], |row| row.get::<_, String>(3)).unwrap();
            let words: Vec<String> = rows.collect::<Result<_, _>>().unwrap();
            assert!(words.iter().all(|word| !word.starts_with("SCAN")), "{sql}: {words:?}");
        }
    }
}
