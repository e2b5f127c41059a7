//! Files that are published for machines.

use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension, params};
use serde::Serialize;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::clock;

/// What a secret and a name stand for.
#[derive(Debug)]
pub struct Stored {
    /// The file.
    pub path: PathBuf,
    /// What is different in it.
    pub overlay: Option<Vec<u8>>,
}

/// One file that is published.
#[derive(Debug, Serialize)]
pub struct Published {
    /// For this node.
    pub node: String,
    /// Under this name.
    pub name: String,
    /// Where it is here.
    pub path: PathBuf,
    /// Bytes that are kept of what is different in it for the node.
    pub overlay_bytes: u32,
    /// When it was first asked for, seconds since the epoch.
    pub fetched: Option<f64>,
}

impl Store {
    /// Publishes `path` as `name` of a node under a secret of its own; a known name keeps its secret. `overlay` is what is
    /// different in the file for this node.
    ///
    /// # Errors
    /// When the database fails.
    pub fn save_artefact(
        &self,
        node: Uuid,
        name: &str,
        secret: &str,
        path: &Path,
        overlay: Option<&[u8]>,
    ) -> Result<String, StoreError> {
        self.write(|connection| {
            connection.execute(
                "INSERT INTO artefacts (node_uuid, name, secret, path, overlay) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT(node_uuid, name) DO UPDATE SET path = ?4, overlay = ?5, fetched = NULL",
                params![node.to_string(), name, secret, path.to_string_lossy(), overlay],
            )?;
            Ok(connection.query_row(
                "SELECT secret FROM artefacts WHERE node_uuid = ?1 AND name = ?2",
                params![node.to_string(), name],
                |row| row.get(0),
            )?)
        })
    }

    /// The file published under `secret` as `name`, and its overlay.
    ///
    /// # Errors
    /// When the database fails.
    pub fn artefact(&self, secret: &str, name: &str) -> Result<Option<Stored>, StoreError> {
        let connection = self.connection();
        let found = connection.query_row(
            "SELECT path, overlay FROM artefacts WHERE secret = ?1 AND name = ?2",
            params![secret, name],
            |row| Ok(Stored { path: row.get::<_, String>(0)?.into(), overlay: row.get(1)? }),
        );
        Ok(found.optional()?)
    }

    /// Takes back everything published for a node.
    ///
    /// # Errors
    /// When the database fails.
    pub fn delete_artefacts(&self, node: Uuid) -> Result<(), StoreError> {
        self.write(|connection| {
            connection.execute("DELETE FROM artefacts WHERE node_uuid = ?1", [node.to_string()])?;
            Ok(())
        })
    }

    /// Takes back what was published as `name` of a node.
    ///
    /// # Errors
    /// When the database fails.
    pub fn delete_artefact(&self, node: Uuid, name: &str) -> Result<(), StoreError> {
        self.write(|connection| {
            connection
                .execute("DELETE FROM artefacts WHERE node_uuid = ?1 AND name = ?2", params![node.to_string(), name])?;
            Ok(())
        })
    }

    /// Notes that the file published under `secret` was asked for, the first time.
    ///
    /// # Errors
    /// When the database fails.
    pub fn note_fetch(&self, secret: &str) -> Result<(), StoreError> {
        self.connection().execute(
            "UPDATE artefacts SET fetched = ?2 WHERE secret = ?1 AND fetched IS NULL",
            params![secret, clock::seconds()],
        )?;
        Ok(())
    }

    /// The names published for a node, and when each was first asked for, seconds since the epoch.
    ///
    /// # Errors
    /// When the database fails.
    pub fn fetches(&self, node: Uuid) -> Result<Vec<(String, Option<f64>)>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("SELECT name, fetched FROM artefacts WHERE node_uuid = ?1")?;
        let rows = statement.query_map([node.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// All that is published.
    ///
    /// # Errors
    /// When the database fails.
    pub fn published(&self) -> Result<Vec<Published>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "SELECT node_uuid, name, path, coalesce(length(overlay), 0), fetched FROM artefacts ORDER BY rowid",
        )?;
        let rows = statement.query_map([], |row| {
            let path: String = row.get(2)?;
            Ok(Published {
                node: row.get(0)?,
                name: row.get(1)?,
                path: path.into(),
                overlay_bytes: row.get(3)?,
                fetched: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
