//! The DHCP server of the machines' network: a dnsmasq that is configured, watched and started again here.
//!
//! Only ports of nodes are answered. UEFI HTTP boot (vendor class `HTTPClient`) gets its class back and the URL of the node's
//! own boot file, as long as the node is to boot it: firmware that has its URL from the BMC does not take an address that comes
//! with the class and without a URL. PXE gets iPXE by TFTP, and iPXE its node's script.
//!
//! - `daemon`: one dnsmasq; `configuration`: what it is told; `settings`: what we are told; `loader`: iPXE's programs;
//!   `error`: why there is none

mod configuration;
mod daemon;
mod error;
mod loader;
mod settings;

use std::io::Write;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::node::Port;
use crate::state_dir::{private_file, private_folder};
use configuration::Offers;
use daemon::Daemon;

pub use configuration::Offer;
pub use error::DhcpError;
pub use loader::Loader;
pub use settings::Settings;

/// A running DHCP server, and the TFTP server beside it.
#[derive(Debug)]
pub struct Dhcp {
    settings: Settings,
    folder: PathBuf,
    server: Daemon,
    /// From the first offer on that needs it.
    tftp: tokio::sync::Mutex<Option<Daemon>>,
    /// What every node that is to boot something is told.
    offers: tokio::sync::Mutex<Offers>,
}

impl Dhcp {
    /// Starts dnsmasq with its files in `folder`, and returns when it answers for `ports`.
    ///
    /// # Errors
    /// When it cannot be started, or refuses its configuration.
    pub async fn start(settings: Settings, folder: &Path, ports: &[Port]) -> Result<Self, DhcpError> {
        settings.check()?;
        private_folder(folder).map_err(|cause| DhcpError::File { path: folder.to_owned(), cause })?;
        // Machines may be waiting for what the last conductor offered.
        let offers = kept(folder);
        let configuration = configuration::dhcp(&settings, ports, &offers);
        let server = Daemon::start(&settings, folder, "dnsmasq", &configuration).await?;
        let needs_tftp = offers.values().any(Offer::needs_tftp);
        let offers = tokio::sync::Mutex::new(offers);
        let dhcp = Self { settings, folder: folder.to_owned(), server, tftp: tokio::sync::Mutex::default(), offers };
        if needs_tftp {
            dhcp.start_tftp().await?;
        }
        Ok(dhcp)
    }

    async fn start_tftp(&self) -> Result<(), DhcpError> {
        let mut tftp = self.tftp.lock().await;
        if tftp.is_none() {
            let path = &self.settings.ipxe_folder;
            if !path.is_dir() {
                return Err(DhcpError::NoLoader { path: path.clone() });
            }
            let configuration = configuration::tftp(&self.settings);
            *tftp = Some(Daemon::start(&self.settings, &self.folder, "tftp", &configuration).await?);
        }
        Ok(())
    }

    /// From now on `ports` get addresses.
    ///
    /// # Errors
    /// When dnsmasq does not take that.
    pub async fn admit(&self, ports: &[Port]) -> Result<(), DhcpError> {
        self.renew(ports, &*self.offers.lock().await).await
    }

    /// From now on the machine of `node` is told to boot `offer`.
    ///
    /// # Errors
    /// When dnsmasq does not take that, or has nobody to say it to.
    pub async fn offer(&self, node: Uuid, offer: Offer, ports: &[Port]) -> Result<(), DhcpError> {
        if !offer.needs_tftp() && self.settings.proxy.is_some() && self.settings.ipv6_range.is_none() {
            return Err(DhcpError::Settings("with `proxy`, machines can only boot by PXE (boot interface ipxe)"));
        }
        if offer.needs_tftp() {
            self.start_tftp().await?;
        }
        let mut offers = self.offers.lock().await;
        offers.insert(node, offer);
        self.renew(ports, &offers).await
    }

    /// From now on the machine of `node` gets an address and nothing to boot.
    ///
    /// # Errors
    /// When dnsmasq does not take that.
    pub async fn withdraw(&self, node: Uuid, ports: &[Port]) -> Result<(), DhcpError> {
        let mut offers = self.offers.lock().await;
        offers.remove(&node);
        self.renew(ports, &offers).await
    }

    async fn renew(&self, ports: &[Port], offers: &Offers) -> Result<(), DhcpError> {
        keep(&self.folder, offers)?;
        self.server.renew(&configuration::dhcp(&self.settings, ports, offers)).await
    }

    /// iPXE as a file, for UEFI HTTP boot.
    ///
    /// # Errors
    /// [`DhcpError::NoLoader`].
    pub fn loader(&self, loader: Loader) -> Result<PathBuf, DhcpError> {
        loader.path(&self.settings)
    }

    /// The process id of the dnsmasq that gives out addresses; none while it is started again.
    pub fn process(&self) -> Option<u32> {
        self.server.process()
    }

    /// Ends it.
    pub async fn stop(&self) {
        self.server.stop().await;
        if let Some(tftp) = &*self.tftp.lock().await {
            tftp.stop().await;
        }
    }
}

/// What was offered last.
fn kept(folder: &Path) -> Offers {
    let written = std::fs::read(folder.join("offers.json")).unwrap_or_default();
    serde_json::from_slice(&written).unwrap_or_default()
}

/// Keeps what is offered, for a conductor that is started again.
fn keep(folder: &Path, offers: &Offers) -> Result<(), DhcpError> {
    let (new, path) = (folder.join("offers.new"), folder.join("offers.json"));
    let written = serde_json::to_vec(offers).map_err(std::io::Error::other);
    let written = written.and_then(|bytes| private_file(&new)?.write_all(&bytes));
    written.and_then(|()| std::fs::rename(new, &path)).map_err(|cause| DhcpError::File { path, cause })
}
