//! A program that runs for one test, and where the project's own programs are found.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::wait::limit_the_program;

/// The path of one of our programs (`ferric-agent`, `conductor-stub`, `ferric-ignition`), built beside this test.
///
/// # Panics
/// When it has not been built: `cargo build --workspace --bins` does that.
pub fn program(name: &str) -> PathBuf {
    limit_the_program();
    let test = std::env::current_exe().expect("a test knows its own path");
    let path = test.parent().and_then(Path::parent).expect("target/<profile>/deps/test").join(name);
    assert!(path.exists(), "{} is missing: run `cargo build --workspace --bins` first", path.display());
    path
}

/// A child process that is killed, by its id, when this is dropped. Its output goes to a file.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: tempfile::NamedTempFile,
}

impl Process {
    /// Starts `command`; standard output and error go to one log.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        limit_the_program();
        let name = command.get_program().to_string_lossy().into_owned();
        let log = tempfile::Builder::new().prefix("ferric-log-").tempfile()?;
        // One description, one position: neither overwrites the other.
        let output = log.reopen()?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self { name, child, log })
    }

    /// Everything the program has printed so far.
    pub fn log(&self) -> String {
        std::fs::read(self.log.path()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// How it ended, once it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it and what it has started at once (SIGKILL), and waits until all of it is gone.
    pub fn kill(&mut self) {
        let started = descendants(self.child.id());
        // Itself first: a supervisor would start its workers anew. Each only fails when the process has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for id in &started {
            let _ = Command::new("kill").args(["-9", id]).stderr(Stdio::null()).status();
        }
        // One that hangs in the kernel is the next test's trouble, not the end of them all.
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until && started.iter().any(|id| is_running(id)) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for its end and returns the exit code (none when a signal ended it).
    ///
    /// # Errors
    /// When it still runs after `limit`; the error holds its output.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<i32>> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("{} still runs after {limit:?}; it printed:\n{}", self.name, self.log())
    }

    /// Waits until the output contains `text`.
    ///
    /// # Errors
    /// When the program ends or `limit` passes before; the error holds its output.
    pub fn wait_for(&mut self, text: &str, limit: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            if self.log().contains(text) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                if self.log().contains(text) {
                    return Ok(());
                }
                bail!("{} ended ({status}) without printing `{text}`:\n{}", self.name, self.log());
            }
            if start.elapsed() > limit {
                bail!("{} did not print `{text}` within {limit:?}:\n{}", self.name, self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The ids of the processes that `id` has started, and of those that they have.
fn descendants(id: u32) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let mut all = Vec::new();
    for thread in threads {
        for child in std::fs::read_to_string(thread.path().join("children")).unwrap_or_default().split_whitespace() {
            all.push(child.to_string());
            all.extend(child.parse().map(descendants).unwrap_or_default());
        }
    }
    all
}

/// Whether the process exists and is no zombie, whose parent has only not looked yet.
fn is_running(id: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

impl Drop for Process {
    /// Asks first (SIGTERM), so that the program can clean up what it made; insists after five seconds.
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).stderr(Stdio::null()).status();
        if self.wait(Duration::from_secs(5)).is_err() {
            self.kill();
        }
    }
}
