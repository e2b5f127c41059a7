//! A conductor behind a socket; usable in-process by tests.

use std::net::SocketAddr;
use std::path::Path;

use tokio::net::TcpListener;

use crate::api;
use crate::conductor::{Conductor, Shared};
use crate::config::Config;
use crate::dhcp::{Dhcp, DhcpError};
use crate::store::StoreError;
use crate::tls;

/// Why a conductor could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its records.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its state directory.
    #[error("{directory}: {cause}")]
    Directory {
        /// The directory.
        directory: String,
        /// Why it cannot be made.
        cause: std::io::Error,
    },
    /// Its DHCP server.
    #[error(transparent)]
    Dhcp(#[from] DhcpError),
    /// Its socket.
    #[error("listening on {address}: {cause}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        cause: std::io::Error,
    },
}

/// A running conductor. Dropping it ends the server.
#[derive(Debug)]
pub struct Server {
    /// What it serves.
    pub conductor: Shared,
    /// Where it listens.
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Opens the records in `state_dir` and listens on `address` (port 0: any).
    ///
    /// # Errors
    /// When the records cannot be opened or the address is taken.
    pub async fn start(config: Config, state_dir: &Path, address: SocketAddr) -> Result<Self, StartError> {
        tls::use_ring();
        std::fs::create_dir_all(state_dir)
            .map_err(|cause| StartError::Directory { directory: state_dir.display().to_string(), cause })?;
        let conductor = Conductor::open(config, state_dir)?;
        let listener = TcpListener::bind(address).await.map_err(|cause| StartError::Listen { address, cause })?;
        let address = listener.local_addr().map_err(|cause| StartError::Listen { address, cause })?;
        conductor.announce(&format!("http://{address}"));
        if let Some(settings) = conductor.config.dhcp.clone() {
            conductor.serve_dhcp(Dhcp::start(settings, &state_dir.join("dhcp"), &conductor.store.ports()?).await?);
        }
        conductor.watch();
        let router = api::router(conductor.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!("the server ended: {error}");
            }
        });
        Ok(Self { conductor, address, task })
    }

    /// Ends the server and every process it started.
    pub async fn stop(self) {
        self.task.abort();
        self.conductor.end_processes().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
