//! A conductor that is a process, so that it can be measured, and killed.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// One conductor after the other, on the same records and the same port.
#[derive(Debug)]
pub(crate) struct Conductor {
    /// Where it is reached.
    pub(crate) url: String,
    folder: tempfile::TempDir,
    child: Child,
}

impl Conductor {
    /// Starts it with these options.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) async fn start(options: &Value) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("conductor-load-").tempdir()?;
        std::fs::write(folder.path().join("config.json"), options.to_string())?;
        let (child, url) = spawn(folder.path(), "127.0.0.1:0").await?;
        Ok(Self { url, folder, child })
    }

    /// Kills it as a power switch does, and starts the next one.
    ///
    /// # Errors
    /// When that does not start.
    pub(crate) async fn kill_and_start(&mut self) -> Result<()> {
        self.child.kill().await?;
        let (_, address) = self.url.split_once("://").context("a URL")?;
        (self.child, _) = spawn(self.folder.path(), address).await?;
        Ok(())
    }

    /// The memory that it has now, MiB.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn memory_mib(&self) -> Result<u64> {
        self.memory("VmRSS:")
    }

    /// The most memory that it had, MiB.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn peak_mib(&self) -> Result<u64> {
        self.memory("VmHWM:")
    }

    /// From now on the peak is counted anew.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn forget_peak(&self) -> Result<()> {
        Ok(std::fs::write(self.process()?.join("clear_refs"), "5")?)
    }

    /// The processor time that it has taken, seconds.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(self.process()?.join("stat"))?;
        let (_, fields) = stat.rsplit_once(") ").context("/proc/PID/stat")?;
        // User and system time, in ticks of 10 ms.
        let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u32>).sum::<Result<u32, _>>()?;
        Ok(f64::from(ticks) / 100.0)
    }

    fn memory(&self, field: &str) -> Result<u64> {
        let status = std::fs::read_to_string(self.process()?.join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)).context("/proc/PID/status")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib / 1024)
    }

    fn process(&self) -> Result<PathBuf> {
        let id = self.child.id().context("the conductor has ended")?;
        Ok(Path::new("/proc").join(id.to_string()))
    }
}

async fn spawn(folder: &Path, listen: &str) -> Result<(Child, String)> {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log"))?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_conductor-stub"));
    command.args(["serve", "--listen", listen, "--state-dir"]).arg(folder.join("state"));
    command.arg("--config").arg(folder.join("config.json")).env("RUST_LOG", "warn");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
    let mut child = command.spawn()?;
    let output = child.stdout.take().context("its output")?;
    let url = BufReader::new(output).lines().next_line().await?;
    let said = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    let url = url.with_context(|| format!("the conductor did not start: {}", said()))?;
    Ok((child, url))
}
