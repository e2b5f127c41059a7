//! `local-process`: a machine that is an agent process here. Power on starts it, power off ends it, by its id.
//!
//! `driver_info.command` is the program and its arguments; the ramdisk's kernel parameters follow as options
//! (`ipa-api-url` as `--api-url`). `driver_info.log` is the file for its output, `driver_info.memory` a directory
//! that is emptied at each power-on, as memory is. A machine that boots its disk is on without any process.
//! Agents end with the conductor, however that ends.

use std::collections::HashMap;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{Connection, Driver, DriverError, DriverFuture};
use crate::files::AllowedFolders;
use crate::node::Node;
use crate::ramdisk::Parameters;
use crate::state::PowerState;
use crate::state_dir::private_folder;

/// How long an agent may take to end when told to.
const END_WAIT: Duration = Duration::from_secs(5);

/// The running agents; every copy means the same ones.
#[derive(Debug, Clone)]
pub struct LocalProcess {
    agents: Arc<Mutex<HashMap<Uuid, Child>>>,
    /// Where logs and memory may be.
    allowed: AllowedFolders,
}

impl LocalProcess {
    /// No agent yet.
    pub fn new(allowed: AllowedFolders) -> Self {
        Self { agents: Arc::default(), allowed }
    }

    /// Ends every agent.
    pub async fn end_all(&self) {
        for (_, child) in self.agents.lock().await.drain() {
            end(child).await;
        }
    }

    async fn start(&self, node: &Node) -> Result<(), DriverError> {
        let Some(parameters) = &node.internal.ramdisk_parameters else { return Ok(()) };
        let words = command(node)?;
        if let Some(memory) = self.path(node, "memory")? {
            empty(&memory).map_err(|error| DriverError(format!("emptying {}: {error}", memory.display())))?;
        }
        // setpriv makes the kernel end the agent with us, also when we are killed; the process id stays the same.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).args(&words);
        for (name, value) in parameters {
            command.arg(format!("--{}", name.trim_start_matches("ipa-"))).arg(value);
        }
        command.stdin(Stdio::null()).kill_on_drop(true);
        if let Some(log) = self.path(node, "log")? {
            let failed = |error| DriverError(format!("opening the log {}: {error}", log.display()));
            let file = std::fs::File::options().create(true).append(true).mode(0o600).open(&log).map_err(failed)?;
            let again = file.try_clone().map_err(failed)?;
            command.stdout(file).stderr(again);
        }
        let child = command.spawn().map_err(|error| DriverError(format!("starting {}: {error}", words.join(" "))))?;
        self.agents.lock().await.insert(node.uuid, child);
        Ok(())
    }
}

impl LocalProcess {
    /// A path in `driver_info`, below the allowed folders.
    fn path(&self, node: &Node, key: &str) -> Result<Option<PathBuf>, DriverError> {
        let Some(named) = node.spec.driver_info.get(key) else { return Ok(None) };
        let path =
            named.as_str().map(Path::new).ok_or_else(|| DriverError(format!("driver_info/{key} must be a path")))?;
        let path = self.allowed.new_file(path).map_err(|error| DriverError(format!("driver_info/{key}: {error}")))?;
        Ok(Some(path))
    }
}

fn empty(directory: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => private_folder(directory),
    }
}

async fn end(mut child: Child) {
    let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) else { return };
    if kill(Pid::from_raw(id), Signal::SIGTERM).is_err() || tokio::time::timeout(END_WAIT, child.wait()).await.is_err()
    {
        let _ = child.kill().await;
    }
}

fn command(node: &Node) -> Result<Vec<String>, DriverError> {
    let words: Option<Vec<String>> = node
        .spec
        .driver_info
        .get("command")
        .and_then(Value::as_array)
        .map(|words| words.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect());
    match words {
        Some(words) if !words.is_empty() => Ok(words),
        _ => Err(DriverError("driver_info/command must be a list: the agent program and its arguments".into())),
    }
}

impl Driver for LocalProcess {
    fn validate(&self, node: &Node) -> Result<(), DriverError> {
        command(node)?;
        self.path(node, "log")?;
        self.path(node, "memory").map(drop)
    }

    fn connect(&self, _node: &Node) -> Result<Box<dyn Connection>, DriverError> {
        Ok(Box::new(self.clone()))
    }

    /// The firmware and the power switch that such an agent sees are those of the machine we all run on.
    fn is_machine(&self) -> bool {
        false
    }
}

impl Connection for LocalProcess {
    fn power_state<'a>(&'a mut self, node: &'a Node) -> DriverFuture<'a, PowerState> {
        Box::pin(async {
            let mut children = self.agents.lock().await;
            let ended =
                children.get_mut(&node.uuid).is_some_and(|child| matches!(child.try_wait(), Ok(Some(_)) | Err(_)));
            if ended {
                children.remove(&node.uuid);
                return Ok(PowerState::Off);
            }
            if children.contains_key(&node.uuid) {
                return Ok(PowerState::On);
            }
            // No process: off while it should run the ramdisk, else as it was last switched.
            let ramdisk = node.internal.ramdisk_parameters.is_some();
            Ok(node.power_state.filter(|_| !ramdisk).unwrap_or(PowerState::Off))
        })
    }

    fn set_power<'a>(&'a mut self, node: &'a mut Node, to: PowerState) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            if let Some(child) = self.agents.lock().await.remove(&node.uuid) {
                end(child).await;
            }
            if to == PowerState::On {
                self.start(node).await?;
            }
            node.power_state = Some(to);
            Ok(())
        })
    }

    fn prepare_ramdisk<'a>(&'a mut self, node: &'a mut Node, parameters: &'a Parameters) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            node.internal.ramdisk_parameters = Some(parameters.clone());
            Ok(())
        })
    }

    fn prepare_instance<'a>(&'a mut self, node: &'a mut Node) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            node.internal.ramdisk_parameters = None;
            Ok(())
        })
    }
}
