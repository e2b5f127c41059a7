//! The life of the agent: inspect, look up, serve, send heartbeats, end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ferric_hardware::bring_up;
use ferric_hardware::nic::Interface;
use ferric_steps::{clock, lockdown};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustls::ServerConfig;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::agent::{Agent, Ending};
use crate::ironic::{self, Ironic, JsonClient};
use crate::lookup::Admission;
use crate::tls::{self, Certificate};
use crate::{VERSION, address, api, discovery, disks, heartbeat, inspection, inventory, lookup, server, vlans};

/// Left by a rescue: the machine belongs to an operator.
const RESCUED: &str = "/etc/.rescued";

/// How long the network may take to show an interface.
const NETWORK_WAIT: Duration = Duration::from_secs(60);

/// As many files as the agent may have open where it is permitted.
const OPEN_FILES: u64 = 65536;

/// How often it is looked at.
const NETWORK_POLL: Duration = Duration::from_millis(200);

/// How often somebody who looks at the console is told what is missing.
const ASKING: Duration = Duration::from_secs(30);

/// Runs the agent until it is told to end.
///
/// # Errors
/// It cannot start, deliver its inspection data or find its node.
pub async fn run(agent: Arc<Agent>) -> Result<()> {
    info!(version = VERSION, "agent starts");
    raise_open_files();
    // As the first process of a container it is not ended by a signal that it does not handle.
    let role = tokio::select! {
        role = prepare(&agent) => role?,
        () = terminated() => {
            info!("agent ends before it has found its node");
            return Ok(());
        }
    };
    match role {
        Role::Serve(ironic) => serve(agent, ironic).await,
        Role::Stay => stopped().await,
    }
}

/// Every connection is an open file; the usual soft limit is for programs that cannot count further.
fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let wanted = hard.min(OPEN_FILES).max(soft);
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)
    });
    if let Err(error) = raised {
        warn!(%error, "the limit of open files stays");
    }
}

/// What the agent is to be on this machine.
enum Role {
    /// It serves; with an Ironic, that is told where.
    Serve(Option<(Arc<Ironic>, Vec<Interface>)>),
    /// It does nothing, and must not be started again.
    Stay,
}

/// Everything that comes before serving: clock, hardware, inspection, look-up.
async fn prepare(agent: &Arc<Agent>) -> Result<Role> {
    if !agent.settings().standalone {
        discovery::configure(agent).await?;
    }
    let (settings, site) = (agent.settings(), agent.site());
    let options = site.options.clone();
    if options.clock.ntp_server.is_some() {
        tokio::task::spawn_blocking(move || clock::set(&site)).await??;
    }
    agent.listen_for_lldp();
    if !agent.site().is_local_run() {
        let site = agent.site();
        tokio::task::spawn_blocking(move || bring_up::devices(&site.machine, &site.tools)).await?;
    }
    tokio::time::sleep(settings.hardware_initialization_delay).await;
    if settings.standalone {
        return Ok(Role::Serve(None));
    }
    let urls = settings.conductor.urls.list();
    let restored = agent.restore();
    if restored {
        info!("going on where the agent before this one stopped");
    }
    let mut interfaces = interfaces(agent).await;
    if vlans::create(agent).await? {
        interfaces = inventory::interfaces(agent).await;
    }
    let targets = if restored { Vec::new() } else { inspection::targets(&settings.inspection, urls) };
    let mut inspected = None;
    if !targets.is_empty() {
        disks::wait(agent).await;
        let client = JsonClient::new(&settings.conductor, &options.tls)?;
        inspected = inspection::run(agent, &client, &targets).await?;
    }
    if urls.is_empty() {
        tokio::spawn(ask_for_api_url());
        return Ok(Role::Serve(None));
    }
    let ironic = Arc::new(Ironic::new(&settings.conductor, &options.tls)?);
    agent.set_ironic(ironic.clone());
    let macs: Vec<String> = interfaces.iter().map(|interface| interface.mac_address.clone()).collect();
    let admission = lookup::run(agent, &ironic, &macs, inspected.as_deref()).await?;
    if agent.machine.path(RESCUED).exists() {
        info!("this machine is being rescued, leaving it alone");
        return Ok(Role::Stay);
    }
    if admission == Admission::Refused {
        warn!("Ironic has given the token of this node away; without it nothing can be done until the next boot");
        return Ok(Role::Stay);
    }
    disks::wait(agent).await;
    Ok(Role::Serve(Some((ironic, interfaces))))
}

/// Says for as long as the agent runs that nobody can find this machine, and what to do about it.
async fn ask_for_api_url() {
    loop {
        warn!(
            "no api_url is set: this machine does not know its conductor, and does nothing. Boot it with the kernel \
             argument ipa-api-url=http://CONDUCTOR:6385 (into an ISO: `ferric-ignition iso kargs append ISO \
             ipa-api-url=...`), or give it configuration by virtual media (boot_method=vmedia)"
        );
        tokio::time::sleep(ASKING).await;
    }
}

/// The interfaces with an address, as soon as there are any.
async fn interfaces(agent: &Arc<Agent>) -> Vec<Interface> {
    let started = Instant::now();
    loop {
        let interfaces = inventory::interfaces(agent).await;
        if !interfaces.is_empty() {
            return interfaces;
        }
        if started.elapsed() >= NETWORK_WAIT {
            warn!("no network interface with an address was found");
            return interfaces;
        }
        tokio::time::sleep(NETWORK_POLL).await;
    }
}

/// Serves the API, tells Ironic (when there is one) where, and ends as asked.
async fn serve(agent: Arc<Agent>, ironic: Option<(Arc<Ironic>, Vec<Interface>)>) -> Result<()> {
    let (settings, options) = (agent.settings(), agent.site().options);
    let (listen, advertise) = (&settings.listen, &settings.advertise);
    let mut protocol = advertise.protocol.as_str();
    let mut host = None;
    let mut tls = None;
    if listen.tls {
        tls = Some(tls::configured_server(listen, &options.tls)?);
    }
    if let Some((ironic, interfaces)) = &ironic {
        let found = address::find(advertise, &ironic.urls(), interfaces).await?;
        let auto = listen.auto_tls && ironic.version().await >= ironic::AGENT_VERIFY_CA;
        if tls.is_none() && auto {
            tls = Some(self_signed(&agent, &found)?);
            protocol = "https";
        }
        host = Some(found);
    }
    let port = listen.port;
    let listener =
        server::listen(listen.host.as_deref(), port).await.with_context(|| format!("cannot listen on port {port}"))?;
    info!(port, tls = tls.is_some(), "serving");
    let ended = wait_for_end(agent.clone());
    let service = tokio::spawn(server::serve(listener, tls, api::router(agent.clone()), ended));
    let heartbeats = ironic.zip(host).map(|((ironic, _), host)| {
        let url = address::callback_url(protocol, &host, advertise.port);
        tokio::spawn(heartbeat::run(agent.clone(), ironic, url))
    });
    let ending = tokio::select! {
        ending = agent.ended() => ending,
        () = terminated() => Ending::Exit,
    };
    if let Some(heartbeats) = heartbeats {
        heartbeats.abort();
    }
    agent.end(ending);
    service.await?;
    if ending == Ending::Lockdown {
        let site = agent.site();
        let local = site.is_local_run();
        tokio::task::spawn_blocking(move || lockdown::links_down(&site)).await?;
        if !local {
            info!("locked down");
            return stopped().await;
        }
        info!("local run: ending instead of locking down");
    }
    info!("agent ends");
    Ok(())
}

async fn wait_for_end(agent: Arc<Agent>) {
    agent.ended().await;
}

/// The certificate that the conductor gets with the heartbeat; within one boot it stays the same.
fn self_signed(agent: &Agent, host: &str) -> Result<Arc<ServerConfig>> {
    let options = agent.site().options;
    let certificate = match agent.certificate().filter(|certificate| certificate.is_for(host)) {
        Some(certificate) => certificate,
        None => {
            let hostname = agent.machine.read("/proc/sys/kernel/hostname").unwrap_or_else(|| "localhost".to_string());
            let certificate = Certificate::generate(&agent.settings().listen.self_signed, &hostname, host)?;
            agent.set_certificate(certificate.clone());
            agent.save();
            certificate
        }
    };
    Ok(certificate.server_config(&options.tls)?)
}

/// Stays without doing anything, so that no supervisor starts the agent again.
async fn stopped() -> Result<()> {
    terminated().await;
    Ok(())
}

/// SIGTERM or SIGINT.
async fn terminated() {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
