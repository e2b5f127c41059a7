//! The DHCP server of the machines' network: a dnsmasq that is configured, watched and started again here.
//!
//! Only ports of nodes are answered. UEFI HTTP boot (vendor class `HTTPClient`, UEFI specification 24.7.3) gets its class
//! back in option 60 and the URL of the node's own boot file in option 67, as long as the node is to boot it.
//! Addresses and options of nodes are in two files that dnsmasq reads again when told to.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::node::Port;

/// How long dnsmasq may take to answer for its configuration.
const START_LIMIT: Duration = Duration::from_secs(10);
/// Pause before a dnsmasq that has ended is started again.
const PAUSE: Duration = Duration::from_secs(1);
/// What dnsmasq says when it has bound its sockets.
const READY: &str = "started, version";

/// Where addresses are given out.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The interface of the machines' network; no other one is answered.
    pub interface: String,
    /// First and last address for machines.
    pub range: (Ipv4Addr, Ipv4Addr),
    /// The network namespace that has the interface; by default the conductor's own.
    #[serde(default)]
    pub namespace: Option<String>,
}

/// Why there is no DHCP server.
#[derive(Debug, thiserror::Error)]
pub enum DhcpError {
    /// Its folder, program or files.
    #[error("DHCP server: {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// dnsmasq does not take its configuration.
    #[error("dnsmasq ended at once: {0}")]
    Refused(String),
    /// It says nothing.
    #[error("dnsmasq was not ready after {seconds} s: {last_words}")]
    Silent {
        /// How long was waited.
        seconds: u64,
        /// Its last line.
        last_words: String,
    },
}

/// A running DHCP server.
#[derive(Debug)]
pub struct Dhcp {
    files: Files,
    /// URL of the boot file of every node that is to boot one.
    boots: Mutex<BTreeMap<Uuid, String>>,
    /// Process id, while there is a process.
    process: Arc<Mutex<Option<Pid>>>,
    watch: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Files {
    folder: PathBuf,
}

impl Files {
    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Never seen half-written.
    fn write(&self, name: &str, content: &str) -> Result<(), DhcpError> {
        let (path, draft) = (self.at(name), self.at(&format!("{name}.new")));
        let written = std::fs::write(&draft, content).and_then(|()| std::fs::rename(&draft, &path));
        written.map_err(|source| DhcpError::File { path, source })
    }

    /// What dnsmasq said last.
    fn last_words(&self) -> String {
        let log = std::fs::read(self.at("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim().to_owned()
    }
}

impl Dhcp {
    /// Starts dnsmasq with its files in `folder`, and returns when it answers for `ports`.
    ///
    /// # Errors
    /// When it cannot be started, or refuses its configuration.
    pub async fn start(settings: Settings, folder: &Path, ports: &[Port]) -> Result<Self, DhcpError> {
        std::fs::create_dir_all(folder).map_err(|source| DhcpError::File { path: folder.into(), source })?;
        let files = Files { folder: folder.to_owned() };
        files.write("dnsmasq.conf", &configuration(&settings, &files))?;
        files.write("hosts", &hosts(ports))?;
        files.write("options", "")?;
        let mut child = spawn(&settings, &files)?;
        let start = tokio::time::Instant::now();
        while !std::fs::read_to_string(files.at("log")).is_ok_and(|log| log.contains(READY)) {
            if let Ok(Some(_)) = child.try_wait() {
                return Err(DhcpError::Refused(files.last_words()));
            }
            if start.elapsed() > START_LIMIT {
                return Err(DhcpError::Silent { seconds: START_LIMIT.as_secs(), last_words: files.last_words() });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let process = Arc::new(Mutex::new(id(&child)));
        let watch = tokio::spawn(watch(settings, files.clone(), child, Arc::clone(&process)));
        Ok(Self { files, boots: Mutex::default(), process, watch })
    }

    /// From now on the machine of `node` is told to boot `url`.
    ///
    /// # Errors
    /// When dnsmasq's files cannot be written.
    pub fn offer(&self, node: Uuid, url: &str, ports: &[Port]) -> Result<(), DhcpError> {
        guard(&self.boots).insert(node, url.to_owned());
        self.tell(ports)
    }

    /// From now on the machine of `node` gets an address and nothing to boot.
    ///
    /// # Errors
    /// When dnsmasq's files cannot be written.
    pub fn withdraw(&self, node: Uuid, ports: &[Port]) -> Result<(), DhcpError> {
        guard(&self.boots).remove(&node);
        self.tell(ports)
    }

    fn tell(&self, ports: &[Port]) -> Result<(), DhcpError> {
        self.files.write("hosts", &hosts(ports))?;
        self.files.write("options", &options(&guard(&self.boots)))?;
        if let Some(process) = *guard(&self.process) {
            // Fails when it has just ended; it reads the files when it is started again.
            let _ = kill(process, Signal::SIGHUP);
        }
        Ok(())
    }

    /// Ends dnsmasq.
    pub async fn stop(&self) {
        // With the task goes the process: it is killed on drop.
        self.watch.abort();
        while !self.watch.is_finished() {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Dhcp {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// Starts dnsmasq again whenever it ends, and says so.
async fn watch(settings: Settings, files: Files, mut child: Child, process: Arc<Mutex<Option<Pid>>>) {
    loop {
        let ended = child.wait().await;
        *guard(&process) = None;
        let status = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
        tracing::warn!(status, last_words = files.last_words(), "dnsmasq ended; it is started again");
        child = loop {
            tokio::time::sleep(PAUSE).await;
            match spawn(&settings, &files) {
                Ok(child) => break child,
                Err(error) => tracing::error!("{error}"),
            }
        };
        *guard(&process) = id(&child);
    }
}

fn spawn(settings: &Settings, files: &Files) -> Result<Child, DhcpError> {
    let failed = |path: PathBuf| move |source| DhcpError::File { path, source };
    let log = std::fs::File::create(files.at("log")).map_err(failed(files.at("log")))?;
    let again = log.try_clone().map_err(failed(files.at("log")))?;
    // setpriv makes the kernel end it with us, also when we are killed; the process id stays the same.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]);
    if let Some(namespace) = &settings.namespace {
        command.args(["ip", "netns", "exec", namespace]);
    }
    command.args(["dnsmasq", "--keep-in-foreground"]);
    command.arg(format!("--conf-file={}", files.at("dnsmasq.conf").display()));
    // Debian keeps it where a plain user's PATH does not look.
    command.env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()));
    command.stdin(Stdio::null()).stdout(log).stderr(again).kill_on_drop(true);
    command.spawn().map_err(failed("dnsmasq".into()))
}

fn id(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw)
}

fn configuration(settings: &Settings, files: &Files) -> String {
    let Settings { interface, range: (first, last), .. } = settings;
    let file = |name| files.at(name).display().to_string();
    let (leases, hosts, options) = (file("leases"), file("hosts"), file("options"));
    format!(
        "# No name service.
port=0
interface={interface}
bind-interfaces
# As another user it would outlive a conductor that is killed.
user=root
log-facility=-
log-dhcp
dhcp-range={first},{last},12h
dhcp-leasefile={leases}
# Only we give out these addresses: nobody has to be asked first.
dhcp-authoritative
no-ping
dhcp-ignore=tag:!known
dhcp-vendorclass=set:httpclient,HTTPClient
dhcp-option-force=tag:httpclient,option:vendor-class,HTTPClient
dhcp-hostsfile={hosts}
dhcp-optsfile={options}
"
    )
}

/// A line for each port: which node it belongs to.
fn hosts(ports: &[Port]) -> String {
    ports.iter().map(|port| format!("{},set:{}\n", port.address, tag(port.node_uuid))).collect()
}

/// A line for each node that boots: where from.
fn options(boots: &BTreeMap<Uuid, String>) -> String {
    boots.iter().map(|(node, url)| format!("tag:{},tag:httpclient,option:bootfile-name,{url}\n", tag(*node))).collect()
}

fn tag(node: Uuid) -> String {
    format!("node-{}", node.simple())
}

fn guard<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
