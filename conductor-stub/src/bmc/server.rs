//! The emulator behind a socket: what `conductor-stub bmc` runs, and `serve` when its configuration has a `bmc`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::account::Account;
use super::tls::{Tls, TlsListener};
use super::{Bmc, Definition, router};
use crate::tls;
use crate::tls::identity::TlsError;

const CONNECT_LIMIT: Duration = Duration::from_secs(30);

/// What is served, and to whom.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// Address and port to listen on.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// The first account; without it everybody is admitted.
    #[serde(default)]
    pub account: Option<Account>,
    /// TLS; without it, HTTP.
    #[serde(default)]
    pub tls: Option<Tls>,
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
    /// Its certificate.
    #[error("TLS of the BMC: {0}")]
    Tls(#[from] TlsError),
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
    /// `http` or `https`.
    pub scheme: &'static str,
    bmc: Bmc,
    task: tokio::task::JoinHandle<()>,
}

impl BmcServer {
    /// Listens; every machine is off.
    ///
    /// # Errors
    /// When two machines have one UUID, the address is taken or the certificate is wrong.
    pub async fn start(setup: Setup) -> Result<Self, StartError> {
        let mut seen = BTreeSet::new();
        if let Some(twin) = setup.machines.iter().find(|machine| !seen.insert(machine.uuid)) {
            return Err(StartError::Twins(twin.uuid));
        }
        tls::use_ring();
        let client = reqwest::Client::builder().connect_timeout(CONNECT_LIMIT).referer(false).build()?;
        let bmc = Bmc::new(setup.machines, setup.account, client);
        let listening = |cause| StartError::Listen { address: setup.listen, cause };
        let listener = TcpListener::bind(setup.listen).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        bmc.set_served(setup.tls.is_some(), address.port());
        let router = router(bmc.clone());
        let (scheme, task) = match setup.tls {
            Some(tls) => {
                let listener = TlsListener::new(listener, tls.server(address)?).map_err(listening)?;
                ("https", tokio::spawn(async move { report(axum::serve(listener, router).await) }))
            }
            None => ("http", tokio::spawn(async move { report(axum::serve(listener, router).await) })),
        };
        Ok(Self { address, scheme, bmc, task })
    }

    /// Ends it and switches the machines off.
    pub async fn stop(self) {
        // Open keep-alive connections must not hold up the end, so there is no graceful shutdown of the server.
        self.task.abort();
        self.bmc.switch_off().await;
    }
}

fn report(ended: std::io::Result<()>) {
    if let Err(error) = ended {
        tracing::error!("the BMC ended: {error}");
    }
}

impl Drop for BmcServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
