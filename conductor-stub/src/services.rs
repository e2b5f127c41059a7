//! What drivers need of a conductor to have a machine boot something.

use std::sync::Arc;

use uuid::Uuid;

use crate::artefacts::Artefacts;
use crate::dhcp::Dhcp;
use crate::files::AllowedFolders;
use crate::node::{MacAddress, Port};
use crate::ramdisk::Ramdisks;
use crate::store::{Store, StoreError};
use crate::urls::Urls;

/// The services behind a boot.
#[derive(Debug)]
pub struct BootServices {
    /// Files under URLs.
    pub artefacts: Arc<Artefacts>,
    /// What nodes boot that do not name a ramdisk of their own.
    pub ramdisks: Arc<Ramdisks>,
    /// The DHCP server, when the configuration has one.
    pub dhcp: Option<Dhcp>,
    /// Where machines and BMCs reach us.
    pub urls: Urls,
    /// Where files of this host may be that nodes name.
    pub allowed: AllowedFolders,
    /// The records.
    pub store: Arc<Store>,
}

impl BootServices {
    /// Every port of every node.
    ///
    /// # Errors
    /// When the database fails.
    pub fn ports(&self) -> Result<Vec<Port>, StoreError> {
        self.store.ports()
    }

    /// The MAC address that a node boots from.
    ///
    /// # Errors
    /// When the database fails.
    pub fn boot_address(&self, node: Uuid) -> Result<Option<MacAddress>, StoreError> {
        let ports = self.store.ports_of(node)?;
        Ok(ports.into_iter().find(|port| port.pxe_enabled).map(|port| port.address))
    }
}
