//! A conductor, put together and behind a socket; usable in-process by tests.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::api;
use crate::api::fault::Faults;
use crate::artefacts::Artefacts;
use crate::conductor::{Conductor, Progress, Shared};
use crate::config::Config;
use crate::dhcp::{Dhcp, DhcpError};
use crate::driver::fake::Fake;
use crate::driver::local_process::LocalProcess;
use crate::driver::redfish::Redfish;
use crate::driver::{Driver, Drivers};
use crate::flow::recovery::{self, RecoveryError};
use crate::flow::watch;
use crate::journal::Journal;
use crate::lock::Locks;
use crate::ramdisk::Ramdisks;
use crate::services::BootServices;
use crate::store::{Store, StoreError};
use crate::tls;
use crate::urls::Urls;

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
    /// What the last conductor left.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
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
    services: Arc<BootServices>,
    processes: LocalProcess,
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
        let listener = TcpListener::bind(address).await.map_err(|cause| StartError::Listen { address, cause })?;
        let address = listener.local_addr().map_err(|cause| StartError::Listen { address, cause })?;
        let store = Arc::new(Store::open(&state_dir.join("conductor.sqlite"))?);
        let own = format!("http://{address}");
        let urls = Urls::new(config.public_url.as_deref().unwrap_or(&own), config.external_http_url.as_deref());
        let artefacts = Arc::new(Artefacts::new(Arc::clone(&store), urls.clone()));
        let dhcp = match config.dhcp.clone() {
            Some(settings) => Some(Dhcp::start(settings, &state_dir.join("dhcp"), &store.ports()?).await?),
            None => None,
        };
        let services = Arc::new(BootServices {
            ramdisks: Ramdisks {
                efi: config.ramdisk_efi.clone(),
                iso: config.ramdisk_iso.clone(),
                folder: state_dir.join("ramdisks"),
                artefacts: Arc::clone(&artefacts),
            },
            artefacts: Arc::clone(&artefacts),
            dhcp,
            urls: urls.clone(),
            store: Arc::clone(&store),
        });
        let processes = LocalProcess::default();
        let (locks, released) = Locks::new();
        let conductor = Arc::new(Conductor {
            drivers: drivers(&config, &services, &processes),
            config,
            store,
            journal: Arc::new(Journal::default()),
            locks,
            urls,
            artefacts,
            progress: Progress::default(),
        });
        recovery::recover(&conductor)?;
        watch::start(&conductor, released);
        let router = api::router(Arc::clone(&conductor), Arc::new(Faults::default()));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!("the server ended: {error}");
            }
        });
        Ok(Self { conductor, address, services, processes, task })
    }

    /// Ends the server and every process it started.
    pub async fn stop(self) {
        self.task.abort();
        self.processes.end_all().await;
        if let Some(dhcp) = &self.services.dhcp {
            dhcp.stop().await;
        }
    }
}

/// The hardware types.
fn drivers(config: &Config, services: &Arc<BootServices>, processes: &LocalProcess) -> Drivers {
    let redfish = Redfish {
        services: Arc::clone(services),
        power_limit: Duration::from_secs(config.power_state_change_timeout_seconds),
        pause: Duration::from_secs_f64(config.redfish_retry_interval_seconds),
    };
    Drivers::new([
        ("fake-hardware", Arc::new(Fake) as Arc<dyn Driver>),
        ("local-process", Arc::new(processes.clone())),
        ("redfish", Arc::new(redfish)),
    ])
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
