//! Files that are published for machines.

use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

use super::{Store, StoreError};
use crate::clock;

impl Store {
    /// Publishes `path` as `name` of a node under a secret of its own; a known name keeps its secret.
    ///
    /// # Errors
    /// When the database fails.
    pub fn save_artefact(&self, node: Uuid, name: &str, secret: &str, path: &Path) -> Result<String, StoreError> {
        self.write(|connection| {
            connection.execute(
                "INSERT INTO artefacts (node_uuid, name, secret, path) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT(node_uuid, name) DO UPDATE SET path = ?4, fetched = NULL",
                params![node.to_string(), name, secret, path.to_string_lossy()],
            )?;
            Ok(connection.query_row(
                "SELECT secret FROM artefacts WHERE node_uuid = ?1 AND name = ?2",
                params![node.to_string(), name],
                |row| row.get(0),
            )?)
        })
    }

    /// The file published under `secret` as `name`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn artefact(&self, secret: &str, name: &str) -> Result<Option<PathBuf>, StoreError> {
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
        self.write(|connection| {
            connection.execute("DELETE FROM artefacts WHERE node_uuid = ?1", [node.to_string()])?;
            Ok(())
        })
    }

    /// Takes back what was published as `name` of a node and returns its file.
    ///
    /// # Errors
    /// When the database fails.
    pub fn delete_artefact(&self, node: Uuid, name: &str) -> Result<Option<PathBuf>, StoreError> {
        self.write(|connection| {
            let path: Option<String> = connection
                .query_row(
                    "DELETE FROM artefacts WHERE node_uuid = ?1 AND name = ?2 RETURNING path",
                    params![node.to_string(), name],
                    |row| row.get(0),
                )
                .optional()?;
            Ok(path.map(Into::into))
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
}
