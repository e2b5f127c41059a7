//! The DHCP server of the machines' network: a dnsmasq that is configured, watched and started again here.
//!
//! Only ports of nodes are answered. UEFI HTTP boot (vendor class `HTTPClient`, UEFI specification 24.7.3) gets its class
//! back in option 60 and the URL of the node's own boot file in option 67, as long as the node is to boot it: firmware
//! that has its URL from the BMC does not take an address that comes with the class and without a URL.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Deserialize;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
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
    #[error("DHCP server: {}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
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
    program: Program,
    /// URL of the boot file of every node that is to boot one.
    boots: tokio::sync::Mutex<BTreeMap<Uuid, String>>,
    process: Process,
    renewals: mpsc::Sender<oneshot::Sender<Result<(), DhcpError>>>,
    watch: JoinHandle<()>,
}

/// Process id, while there is a process.
type Process = Arc<Mutex<Option<u32>>>;

impl Dhcp {
    /// Starts dnsmasq with its files in `folder`, and returns when it answers for `ports`.
    ///
    /// # Errors
    /// When it cannot be started, or refuses its configuration.
    pub async fn start(settings: Settings, folder: &Path, ports: &[Port]) -> Result<Self, DhcpError> {
        std::fs::create_dir_all(folder).map_err(|cause| DhcpError::File { path: folder.into(), cause })?;
        let program = Program { settings, folder: folder.to_owned() };
        program.configure(ports, &BTreeMap::new())?;
        let child = program.start().await?;
        let process = Process::default();
        let (renewals, requests) = mpsc::channel(1);
        let watch = tokio::spawn(watch(program.clone(), child, Arc::clone(&process), requests));
        Ok(Self { program, boots: Default::default(), process, renewals, watch })
    }

    /// From now on `ports` get addresses.
    ///
    /// # Errors
    /// When dnsmasq does not take that.
    pub async fn admit(&self, ports: &[Port]) -> Result<(), DhcpError> {
        self.renew(ports, &*self.boots.lock().await).await
    }

    /// From now on the machine of `node` is told to boot `url`.
    ///
    /// # Errors
    /// When dnsmasq does not take that.
    pub async fn offer(&self, node: Uuid, url: &str, ports: &[Port]) -> Result<(), DhcpError> {
        let mut boots = self.boots.lock().await;
        boots.insert(node, url.to_owned());
        self.renew(ports, &boots).await
    }

    /// From now on the machine of `node` gets an address and nothing to boot.
    ///
    /// # Errors
    /// When dnsmasq does not take that.
    pub async fn withdraw(&self, node: Uuid, ports: &[Port]) -> Result<(), DhcpError> {
        let mut boots = self.boots.lock().await;
        boots.remove(&node);
        self.renew(ports, &boots).await
    }

    /// Every other machine notices nothing: leases are in a file, and a question without an answer is asked again.
    /// (dnsmasq can read parts of its configuration anew while it runs; 2.90 crashes at options that have gone.)
    async fn renew(&self, ports: &[Port], boots: &BTreeMap<Uuid, String>) -> Result<(), DhcpError> {
        if !self.program.configure(ports, boots)? {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        // Both only fail after `stop`.
        let _ = self.renewals.send(reply).await;
        answer.await.unwrap_or(Ok(()))
    }

    /// dnsmasq's process id; none while it is started again.
    pub fn process(&self) -> Option<u32> {
        *guard(&self.process)
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

/// Starts dnsmasq again when it is to read a new configuration; and whenever it ends, and says so.
async fn watch(
    program: Program,
    mut child: Child,
    process: Process,
    mut requests: mpsc::Receiver<oneshot::Sender<Result<(), DhcpError>>>,
) {
    loop {
        *guard(&process) = child.id();
        let status = tokio::select! {
            ended = child.wait() => ended.map_or_else(|error| error.to_string(), |status| status.to_string()),
            request = requests.recv() => {
                let Some(reply) = request else { return };
                // Fails when it has just ended by itself.
                let _ = child.kill().await;
                match program.start().await {
                    Ok(renewed) => {
                        child = renewed;
                        let _ = reply.send(Ok(()));
                        continue;
                    }
                    Err(error) => {
                        let text = error.to_string();
                        let _ = reply.send(Err(error));
                        text
                    }
                }
            }
        };
        *guard(&process) = None;
        tracing::warn!(status, last_words = program.last_words(), "dnsmasq ended; it is started again");
        child = loop {
            tokio::time::sleep(PAUSE).await;
            match program.start().await {
                Ok(child) => break child,
                Err(error) => tracing::error!("{error}"),
            }
        };
    }
}

/// dnsmasq and its files.
#[derive(Debug, Clone)]
struct Program {
    settings: Settings,
    folder: PathBuf,
}

impl Program {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes the configuration; false when it was the same before.
    fn configure(&self, ports: &[Port], boots: &BTreeMap<Uuid, String>) -> Result<bool, DhcpError> {
        let path = self.file("dnsmasq.conf");
        let content = configuration(&self.settings, &self.file("leases"), ports, boots);
        if std::fs::read_to_string(&path).is_ok_and(|now| now == content) {
            return Ok(false);
        }
        std::fs::write(&path, content).map_err(|cause| DhcpError::File { path, cause })?;
        Ok(true)
    }

    /// Starts it and returns when it has bound its sockets.
    async fn start(&self) -> Result<Child, DhcpError> {
        let failed = |path: PathBuf| move |cause| DhcpError::File { path, cause };
        let path = self.file("log");
        let log = std::fs::File::options().create(true).append(true).open(&path);
        let log = log.map_err(failed(path.clone()))?;
        let earlier = log.metadata().map_err(failed(path.clone()))?.len() as usize;
        let again = log.try_clone().map_err(failed(path))?;
        // setpriv makes the kernel end it with us, also when we are killed; the process id stays the same.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]);
        if let Some(namespace) = &self.settings.namespace {
            command.args(["ip", "netns", "exec", namespace]);
        }
        command.args(["dnsmasq", "--keep-in-foreground"]);
        command.arg(format!("--conf-file={}", self.file("dnsmasq.conf").display()));
        // Debian keeps it where a plain user's PATH does not look.
        command.env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()));
        command.stdin(Stdio::null()).stdout(log).stderr(again).kill_on_drop(true);
        let mut child = command.spawn().map_err(failed("dnsmasq".into()))?;
        let start = tokio::time::Instant::now();
        while !self.log().get(earlier..).is_some_and(|log| log.contains(READY)) {
            if let Ok(Some(_)) = child.try_wait() {
                return Err(DhcpError::Refused(self.last_words()));
            }
            if start.elapsed() > START_LIMIT {
                return Err(DhcpError::Silent { seconds: START_LIMIT.as_secs(), last_words: self.last_words() });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(child)
    }

    fn log(&self) -> String {
        std::fs::read(self.file("log")).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// What dnsmasq said last.
    fn last_words(&self) -> String {
        let log = self.log();
        log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim().to_owned()
    }
}

fn configuration(settings: &Settings, leases: &Path, ports: &[Port], boots: &BTreeMap<Uuid, String>) -> String {
    let Settings { interface, range: (first, last), .. } = settings;
    let leases = leases.display();
    let mut text = format!(
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
"
    );
    for port in ports {
        text += &format!("dhcp-host={},set:{}\n", port.address, tag(port.node_uuid));
    }
    for (node, url) in boots {
        let firmware = format!("tag:{},tag:httpclient", tag(*node));
        text += &format!("dhcp-option-force={firmware},option:vendor-class,HTTPClient\n");
        text += &format!("dhcp-option-force={firmware},option:bootfile-name,{url}\n");
    }
    text
}

fn tag(node: Uuid) -> String {
    format!("node-{}", node.simple())
}

fn guard<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
