//! A dnsmasq that is configured, watched and started again here, with no right that it does not need.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::unistd::{User, geteuid};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::error::DhcpError;
use super::settings::Settings;
use crate::state_dir::{private_file, private_folder};

/// How long dnsmasq may take to answer for its configuration.
const START_LIMIT: Duration = Duration::from_secs(10);
/// Pause before a dnsmasq that has ended is started again.
const PAUSE: Duration = Duration::from_secs(1);
/// What dnsmasq says when it has bound its sockets.
const READY: &str = "started, version";
/// A log that is larger is begun anew; one older one is kept.
const LOG_LIMIT_BYTES: u64 = 4 << 20;

/// A dnsmasq that runs.
#[derive(Debug)]
pub(super) struct Daemon {
    program: Program,
    process: Process,
    renewals: mpsc::Sender<oneshot::Sender<Result<(), DhcpError>>>,
    watch: JoinHandle<()>,
}

/// Process id, while there is a process.
type Process = Arc<Mutex<Option<u32>>>;

impl Daemon {
    /// Starts one with its files in `folder`, called `name`, and returns when it has bound its sockets.
    ///
    /// # Errors
    /// When it cannot be started, or refuses its configuration.
    pub(super) async fn start(
        settings: &Settings,
        folder: &Path,
        name: &'static str,
        configuration: &str,
    ) -> Result<Self, DhcpError> {
        let program = Program::new(settings, folder, name)?;
        program.configure(configuration)?;
        let child = program.start().await?;
        let process = Process::default();
        let (renewals, requests) = mpsc::channel(1);
        let watch = tokio::spawn(watch(program.clone(), child, Arc::clone(&process), requests));
        Ok(Self { program, process, renewals, watch })
    }

    /// Has it go by another configuration. Every other machine notices nothing: leases are in a file, and a question without
    /// an answer is asked again. (dnsmasq can read parts of its configuration anew while it runs; 2.90 crashes at options
    /// that have gone.)
    ///
    /// # Errors
    /// When dnsmasq does not take it.
    pub(super) async fn renew(&self, configuration: &str) -> Result<(), DhcpError> {
        if !self.program.configure(configuration)? {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        // Both only fail after `stop`.
        let _ = self.renewals.send(reply).await;
        answer.await.unwrap_or(Ok(()))
    }

    /// Its process id; none while it is started again.
    pub(super) fn process(&self) -> Option<u32> {
        *guard(&self.process)
    }

    /// Ends it.
    pub(super) async fn stop(&self) {
        // With the task goes the process: it is killed on drop.
        self.watch.abort();
        while !self.watch.is_finished() {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Daemon {
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
        tracing::warn!(status, last_words = *guard(&program.last_words), "dnsmasq ended; it is started again");
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
    namespace: Option<String>,
    folder: PathBuf,
    name: &'static str,
    /// Who it runs as, when that is not us.
    user: Option<User>,
    last_words: Arc<Mutex<String>>,
}

impl Program {
    /// Makes its folders. dnsmasq writes into one that is its own, and no file of ours is there.
    fn new(settings: &Settings, folder: &Path, name: &'static str) -> Result<Self, DhcpError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |cause| DhcpError::File { path, cause }
        };
        let user = match (geteuid().is_root(), User::from_name(&settings.user)) {
            (false, _) => None,
            (true, Ok(Some(user))) => Some(user),
            (true, _) => return Err(DhcpError::User { name: settings.user.clone() }),
        };
        let leases = folder.join("leases");
        private_folder(&leases).map_err(failed(&leases))?;
        if let Some(user) = &user {
            std::os::unix::fs::chown(&leases, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .map_err(failed(&leases))?;
        }
        let namespace = settings.namespace.clone();
        Ok(Self { namespace, folder: folder.to_owned(), name, user, last_words: Arc::default() })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes the configuration; false when it was the same before.
    fn configure(&self, content: &str) -> Result<bool, DhcpError> {
        let path = self.configuration();
        if std::fs::read_to_string(&path).is_ok_and(|now| now == content) {
            return Ok(false);
        }
        let written = private_file(&path).and_then(|mut file| file.write_all(content.as_bytes()));
        written.map_err(|cause| DhcpError::File { path, cause })?;
        Ok(true)
    }

    fn configuration(&self) -> PathBuf {
        self.file(&format!("{}.conf", self.name))
    }

    /// Starts it and returns when it has bound its sockets.
    async fn start(&self) -> Result<Child, DhcpError> {
        let failed = |path: PathBuf| move |cause| DhcpError::File { path, cause };
        let configuration = self.configuration();
        let configuration = std::fs::File::open(&configuration).map_err(failed(configuration))?;
        let mut command = self.command();
        // It cannot look into our folders: it gets its configuration as input, and its leases where it stands.
        command.current_dir(self.file("leases")).stdin(configuration).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().map_err(failed("dnsmasq".into()))?;
        let (ready, is_ready) = oneshot::channel();
        if let Some(output) = child.stderr.take() {
            tokio::spawn(keep_log(
                output,
                self.file(&format!("{}.log", self.name)),
                Arc::clone(&self.last_words),
                ready,
            ));
        }
        let outcome = tokio::time::timeout(START_LIMIT, is_ready).await;
        let last_words = || match guard(&self.last_words).as_str() {
            "" => "it said nothing".to_owned(),
            words => words.to_owned(),
        };
        match outcome {
            Ok(Ok(())) => Ok(child),
            // Its output ended.
            Ok(Err(_)) => Err(DhcpError::Refused(last_words())),
            Err(_) => Err(DhcpError::Silent { seconds: START_LIMIT.as_secs(), last_words: last_words() }),
        }
    }

    /// setpriv takes everything away that dnsmasq does not need, and makes the kernel end it with us, also when we are
    /// killed; the process id stays the same.
    fn command(&self) -> Command {
        let mut words: Vec<String> = Vec::new();
        if let Some(namespace) = &self.namespace {
            words.extend(["ip", "netns", "exec", namespace].map(str::to_owned));
        }
        words.extend(["setpriv", "--pdeathsig", "KILL", "--no-new-privs"].map(str::to_owned));
        if let Some(user) = &self.user {
            let needed = "-all,+net_admin,+net_raw,+net_bind_service";
            words.extend([format!("--reuid={}", user.uid), format!("--regid={}", user.gid), "--clear-groups".into()]);
            words.extend(["inh-caps", "ambient-caps", "bounding-set"].map(|set| format!("--{set}={needed}")));
        }
        words.extend(["--", "dnsmasq", "--keep-in-foreground", "--conf-file=-"].map(str::to_owned));
        let mut command = Command::new(&words[0]);
        // Debian keeps it where a plain user's PATH does not look.
        command.args(&words[1..]).env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()));
        command
    }
}

/// Writes what dnsmasq says into a file, of which there are two that are not too large, and says when it is ready.
async fn keep_log(output: ChildStderr, file: PathBuf, last_words: Arc<Mutex<String>>, ready: oneshot::Sender<()>) {
    let mut ready = Some(ready);
    let mut lines = BufReader::new(output).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line).trim().to_owned();
        if line.is_empty() {
            continue;
        }
        if let Err(error) = append(&file, &line) {
            tracing::warn!("{}: {error}", file.display());
        }
        let is_ready = line.contains(READY);
        *guard(&last_words) = line;
        if is_ready && let Some(ready) = ready.take() {
            // Fails when nobody waits any more.
            let _ = ready.send(());
        }
    }
}

fn append(file: &Path, line: &str) -> std::io::Result<()> {
    if std::fs::metadata(file).is_ok_and(|metadata| metadata.len() > LOG_LIMIT_BYTES) {
        std::fs::rename(file, file.with_extension("old"))?;
    }
    let mut log = std::fs::File::options().create(true).append(true).mode(0o600).open(file)?;
    writeln!(log, "{line}")
}

fn guard<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
