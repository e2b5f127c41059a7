//! The emulator behind a socket: what `conductor-stub bmc` runs, and `serve` when its configuration has a `bmc`.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde::Deserialize;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::session::Account;
use super::{Bmc, Definition, router};
use crate::tls;

/// What is served, and to whom.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// Address and port to listen on.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// The one account; without it everybody is admitted.
    #[serde(default)]
    pub account: Option<Account>,
    /// The machines.
    pub machines: Vec<Definition>,
}

/// `127.0.0.1:8000`.
pub fn default_listen() -> SocketAddr {
    ([127, 0, 0, 1], 8000).into()
}

/// Why the emulator could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Two machines cannot be told apart.
    #[error("two machines have the uuid {0}")]
    Twins(Uuid),
    /// Its HTTP client, which fetches media.
    #[error("preparing the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// Its socket.
    #[error("the BMC cannot listen on {address}: {cause}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        cause: std::io::Error,
    },
}

/// A running emulator. Dropping it ends it; the machines lose their power with their BMC.
#[derive(Debug)]
pub struct BmcServer {
    /// Where it listens.
    pub address: SocketAddr,
    bmc: Bmc,
    task: tokio::task::JoinHandle<()>,
}

impl BmcServer {
    /// Listens; every machine is off.
    ///
    /// # Errors
    /// When two machines have one UUID or the address is taken.
    pub async fn start(setup: Setup) -> Result<Self, StartError> {
        let mut seen = BTreeSet::new();
        if let Some(twin) = setup.machines.iter().find(|machine| !seen.insert(machine.uuid)) {
            return Err(StartError::Twins(twin.uuid));
        }
        tls::use_ring();
        let bmc = Bmc::new(setup.machines, setup.account, reqwest::Client::builder().build()?);
        let listening = |cause| StartError::Listen { address: setup.listen, cause };
        let listener = TcpListener::bind(setup.listen).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        let router = router(bmc.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!("the BMC ended: {error}");
            }
        });
        Ok(Self { address, bmc, task })
    }

    /// Ends it and switches the machines off.
    pub async fn stop(self) {
        // Open keep-alive connections must not hold up the end, so there is no graceful shutdown of the server.
        self.task.abort();
        self.bmc.switch_off().await;
    }
}

impl Drop for BmcServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
