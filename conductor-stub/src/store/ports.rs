//! Ports.

use std::collections::BTreeSet;

use rusqlite::params;
use uuid::Uuid;

use super::{Store, StoreError, taken};
use crate::node::{MacAddress, Port};

impl Store {
    /// Writes a port.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when another port has its address.
    pub fn save_port(&self, port: &Port) -> Result<(), StoreError> {
        self.connection()
            .execute(
                "INSERT INTO ports (uuid, node_uuid, address, document) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT(uuid) DO UPDATE SET node_uuid = ?2, address = ?3, document = ?4",
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

    /// The nodes that have these addresses.
    ///
    /// # Errors
    /// When the database fails.
    pub fn owners<'a>(
        &self,
        addresses: impl IntoIterator<Item = &'a MacAddress>,
    ) -> Result<BTreeSet<Uuid>, StoreError> {
        let mut owners = BTreeSet::new();
        for address in addresses {
            owners.extend(self.port(address.as_str())?.map(|port| port.node_uuid));
        }
        Ok(owners)
    }
}
