//! A conductor, put together and behind a socket; usable in-process by tests.
//!
//! - [`connections`]: how many there may be and how slow; [`tls`]: the conductor's certificate

pub mod connections;
mod stall;
pub mod tls;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::api;
use crate::api::access::Access;
use crate::api::auth::{HttpBasic, UsersError};
use crate::api::fault::Faults;
use crate::artefacts::Artefacts;
use crate::clock;
use crate::conductor::{Conductor, Running, Shared};
use crate::config::{AuthStrategy, Config, IMAGES};
use crate::consoles::Consoles;
use crate::coreos::agent::{CoreosIpaError, Site};
use crate::dhcp::{Dhcp, DhcpError};
use crate::driver::fake::Fake;
use crate::driver::local_process::LocalProcess;
use crate::driver::redfish::Redfish;
use crate::driver::{Driver, Drivers};
use crate::files::AllowedFolders;
use crate::flow::recovery::{self, RecoveryError};
use crate::flow::watch;
use crate::journal::Journal;
use crate::lock::Locks;
use crate::media::shelf::{Shelf, ShelfError};
use crate::media::source::SourceError;
use crate::media::{self, Media, Wanted};
use crate::metrics::Metrics;
use crate::ramdisk::sources::Sources;
use crate::ramdisk::{ByConfiguration, Ramdisks};
use crate::services::BootServices;
use crate::state_dir::{StateDir, StateDirError};
use crate::store::{Store, StoreError};
use crate::tls::identity::TlsError;
use crate::tls::use_ring;
use crate::urls::Urls;

use connections::{Limits, serve};
use tls::Tls;

/// How long a client may take for the head of a request, or say nothing.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// How long a client may take nothing of an answer.
const STALL_LIMIT: Duration = Duration::from_secs(60);

/// Why a conductor could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its records.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its state directory.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// Its certificate.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// Its users.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// Everybody could come in.
    #[error(
        "listening on {0} without asking for passwords would let everybody in who reaches it: set auth_strategy to \
         http_basic, or allow_unauthenticated_access_from_the_network"
    )]
    Unauthenticated(SocketAddr),
    /// One without the other.
    #[error("ssl_cert_file and ssl_key_file belong together")]
    HalfATls,
    /// A hardware type that there is not.
    #[error("enabled_hardware_types: there is no hardware type {0}")]
    HardwareType(String),
    /// What the last conductor left.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// Its DHCP server.
    #[error(transparent)]
    Dhcp(#[from] DhcpError),
    /// The agent on CoreOS.
    #[error(transparent)]
    Coreos(#[from] CoreosIpaError),
    /// Its files for machines.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// A ramdisk that is named wrongly.
    #[error("ramdisk {0}")]
    Ramdisk(#[from] SourceError),
    /// Whom it is to believe.
    #[error("webserver_verify_ca {}: {cause}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// It has nobody to believe, as a rule.
    #[error("no client for files of servers (is ca-certificates installed?)")]
    Client(#[source] reqwest::Error),
    /// Its socket.
    #[error("listening on {address}: {cause}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        cause: std::io::Error,
    },
    /// A socket that it was handed.
    #[error("no listening socket: {0}")]
    Socket(std::io::Error),
}

/// A running conductor. Dropping it ends the server.
#[derive(Debug)]
pub struct Server {
    /// What it serves.
    pub conductor: Shared,
    /// Where it listens.
    pub address: SocketAddr,
    /// The same as a URL.
    pub url: String,
    services: Arc<BootServices>,
    processes: LocalProcess,
    /// Ours as long as we run.
    _state_dir: StateDir,
    /// Ended when this is dropped.
    tasks: JoinSet<()>,
}

impl Server {
    /// Opens the records in `state_dir` and listens on `address` (port 0: any).
    ///
    /// # Errors
    /// When the records cannot be opened or the address is taken.
    pub async fn start(config: Config, state_dir: &Path, address: SocketAddr) -> Result<Self, StartError> {
        check_access(&config, address)?;
        let state_dir = StateDir::open(state_dir)?;
        let (listener, address) = listen(address).await?;
        Self::serve(config, state_dir, listener, address).await
    }

    /// As [`Server::start`], on a socket that listens already.
    ///
    /// # Errors
    /// When the records cannot be opened or the socket is none.
    pub async fn start_on(
        config: Config,
        state_dir: &Path,
        listener: std::net::TcpListener,
    ) -> Result<Self, StartError> {
        let address = listener.local_addr().map_err(StartError::Socket)?;
        check_access(&config, address)?;
        let state_dir = StateDir::open(state_dir)?;
        listener.set_nonblocking(true).map_err(StartError::Socket)?;
        let listener = TcpListener::from_std(listener).map_err(StartError::Socket)?;
        Self::serve(config, state_dir, listener, address).await
    }

    async fn serve(
        config: Config,
        state_dir: StateDir,
        listener: TcpListener,
        address: SocketAddr,
    ) -> Result<Self, StartError> {
        use_ring();
        let is_open = config.auth_strategy == AuthStrategy::Noauth;
        let scheme = if config.enable_ssl_api { "https" } else { "http" };
        let own = format!("{scheme}://{address}");
        let files = match config.http_listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let files_url = files.as_ref().map(|(_, address)| format!("http://{address}"));
        let urls = Urls::new(
            config.public_url.as_deref().unwrap_or(&own),
            config.http_url.as_deref().or(files_url.as_deref()),
            config.external_http_url.as_deref(),
        );
        let hosts = hosts(&urls, &config, address);
        let tls = tls(&config, &state_dir, &hosts)?;
        let users = match config.auth_strategy {
            AuthStrategy::Noauth => None,
            AuthStrategy::HttpBasic => Some(HttpBasic::new(&config.http_basic_auth_user_file)?),
        };
        let access = Arc::new(Access::new(hosts, &config.allowed_origins, users));
        let store = Store::open(&state_dir.join("conductor.sqlite"))?;
        let store = Arc::new(store.with_history(config.node_history_max_entries));
        let artefacts = Arc::new(Artefacts::new(Arc::clone(&store), urls.clone()));
        let allowed = allowed_folders(&config, &state_dir, is_open && address.ip().is_loopback());
        let dhcp = match config.dhcp.clone() {
            Some(settings) => Some(Dhcp::start(settings, &state_dir.join("dhcp"), &store.ports()?).await?),
            None => None,
        };
        let media = Arc::new(media(&config, &state_dir, &store, &allowed)?);
        let ramdisks = Arc::new(Ramdisks {
            sources: Sources {
                named: ByConfiguration {
                    efi: configured(&config.ramdisk_efi)?,
                    iso: configured(&config.ramdisk_iso)?,
                    kernel: configured(&config.deploy_kernel)?,
                    initramfs: configured(&config.deploy_ramdisk)?,
                    boot_loader: configured(&config.bootloader)?,
                    coreos: config.coreos_ipa.enabled,
                },
                coreos: config.coreos_ipa.enabled.then(|| config.coreos_ipa.images.clone()),
                media: Arc::clone(&media),
            },
            arguments: config.kernel_append_params.clone(),
            coreos: coreos(&config, &urls, tls.as_ref())?,
            artefacts: Arc::clone(&artefacts),
        });
        let services = Arc::new(BootServices {
            ramdisks: Arc::clone(&ramdisks),
            artefacts: Arc::clone(&artefacts),
            allowed: allowed.clone(),
            dhcp,
            urls: urls.clone(),
            store: Arc::clone(&store),
        });
        let processes = LocalProcess::new(allowed.clone());
        let (locks, released) = Locks::new();
        let journal_bytes = config.journal_kib << 10;
        let metrics = Metrics::default();
        let conductor = Arc::new(Conductor {
            drivers: drivers(&config, &services, &processes, &metrics)?,
            running: Running::new(Arc::clone(store.events())),
            metrics,
            consoles: Consoles::new(config.bmc.as_ref(), allowed.clone()),
            allowed,
            config,
            store,
            journal: Arc::new(Journal::new(journal_bytes)),
            locks,
            urls,
            authority: tls.as_ref().and_then(|tls| tls.authority.clone()),
            artefacts,
            media,
            ramdisks,
            started_at: clock::now(),
        });
        recovery::recover(&conductor)?;
        watch::start(&conductor, released);
        let config = &conductor.config;
        let limits = Limits {
            together: config.max_connections,
            per_peer: config.max_connections_per_peer,
            head: HEAD_LIMIT,
            stall: STALL_LIMIT,
        };
        let faults = Arc::new(Faults::default());
        let mut tasks = JoinSet::new();
        if let Some((listener, _)) = files {
            let router = api::files(&conductor, Arc::clone(&access), Arc::clone(&faults));
            tasks.spawn(serve(listener, None, router, limits));
        }
        let router = api::router(Arc::clone(&conductor), access, faults);
        tasks.spawn(serve(listener, tls.map(|tls| tls.acceptor), router, limits));
        let url = format!("{scheme}://{address}");
        Ok(Self { conductor, address, url, services, processes, _state_dir: state_dir, tasks })
    }

    /// Ends the server and every process it started.
    pub async fn stop(mut self) {
        self.conductor.store.events().end();
        self.tasks.shutdown().await;
        self.processes.end_all().await;
        if let Some(dhcp) = &self.services.dhcp {
            dhcp.stop().await;
        }
    }
}

/// Nobody comes in from a network who is not asked for a password, unless that was said in so many words.
fn check_access(config: &Config, address: SocketAddr) -> Result<(), StartError> {
    let is_open = config.auth_strategy == AuthStrategy::Noauth;
    match is_open && !address.ip().is_loopback() && !config.allow_unauthenticated_access_from_the_network {
        true => Err(StartError::Unauthenticated(address)),
        false => Ok(()),
    }
}

/// What the configuration names is used wherever it is.
fn configured(ramdisk: &Option<String>) -> Result<Option<Wanted>, StartError> {
    Ok(ramdisk.as_deref().filter(|text| !text.is_empty()).map(|text| Wanted::new(text, None)).transpose()?)
}

/// CoreOS' live system, where it is asked for; what is wrong with its Ignition config is said now.
fn coreos(config: &Config, urls: &Urls, tls: Option<&Tls>) -> Result<Option<Site>, StartError> {
    let ipa = &config.coreos_ipa;
    if !ipa.enabled {
        return Ok(None);
    }
    let decoded = tls.and_then(|tls| STANDARD.decode(tls.authority.as_ref()?).ok());
    let authority = decoded.and_then(|pem| String::from_utf8(pem).ok());
    Ok(Some(ipa.site(urls.public(), authority.as_deref())?))
}

fn media(
    config: &Config,
    state_dir: &StateDir,
    store: &Arc<Store>,
    allowed: &AllowedFolders,
) -> Result<Media, StartError> {
    let shelf = Shelf::open(&state_dir.join("media"), config.media_cache_size << 20, Arc::clone(store))?;
    let failed = |path: &PathBuf, cause: String| StartError::Authorities { path: path.clone(), cause };
    let authorities = match &config.webserver_verify_ca {
        Some(path) => Some((path, std::fs::read(path).map_err(|error| failed(path, error.to_string()))?)),
        None => None,
    };
    let pem = authorities.as_ref().map(|(_, pem)| pem.as_slice());
    let client = media::client(pem).map_err(|error| match &config.webserver_verify_ca {
        Some(path) => failed(path, error.to_string()),
        None => StartError::Client(error),
    })?;
    Ok(Media::new(shelf, client, allowed.clone()))
}

/// `is_for_trials`: whoever is on this host is admitted, and nobody else.
fn allowed_folders(config: &Config, state_dir: &StateDir, is_for_trials: bool) -> AllowedFolders {
    match &config.file_url_allowed_paths {
        Some(folders) => AllowedFolders::new(folders, state_dir.path()),
        None => {
            let usual = AllowedFolders::new(&[IMAGES.into()], state_dir.path());
            if is_for_trials { usual.with_public(std::env::temp_dir()) } else { usual }
        }
    }
}

/// The hardware types.
fn drivers(
    config: &Config,
    services: &Arc<BootServices>,
    processes: &LocalProcess,
    metrics: &Metrics,
) -> Result<Drivers, StartError> {
    let redfish = Redfish {
        services: Arc::clone(services),
        power_limit: Duration::from_secs(config.power_state_change_timeout_seconds),
        pause: Duration::from_secs_f64(config.redfish_retry_interval_seconds),
        requests: metrics.redfish.clone(),
    };
    let known = [
        ("fake-hardware", Arc::new(Fake) as Arc<dyn Driver>),
        ("local-process", Arc::new(processes.clone())),
        ("redfish", Arc::new(redfish)),
    ];
    let enabled = &config.enabled_hardware_types;
    if let Some(name) = enabled.iter().find(|name| !known.iter().any(|(known, _)| known == name)) {
        return Err(StartError::HardwareType(name.clone()));
    }
    Ok(Drivers::new(known.into_iter().filter(|(name, _)| enabled.iter().any(|wanted| wanted == name))))
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |cause| StartError::Listen { address, cause };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Whom clients mean when they mean us.
fn hosts(urls: &Urls, config: &Config, address: SocketAddr) -> Vec<String> {
    let own = Some(address.ip()).filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string());
    urls.hosts().chain(own).chain(config.allowed_hosts.clone()).collect()
}

fn tls(config: &Config, state_dir: &StateDir, hosts: &[String]) -> Result<Option<Tls>, StartError> {
    if !config.enable_ssl_api {
        return Ok(None);
    }
    let loopback = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let plain = |host: &String| host.trim_matches(['[', ']']).to_owned();
    Ok(Some(match (&config.ssl_cert_file, &config.ssl_key_file) {
        (Some(certificates), Some(key)) => Tls::of_files(certificates, key)?,
        (None, None) => Tls::self_made(&state_dir.join("tls"), hosts.iter().map(plain).chain(loopback))?,
        _ => return Err(StartError::HalfATls),
    }))
}
