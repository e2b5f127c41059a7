//! What a step is, what it gets and what it answers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use ferric_hardware::block::DevicePolicy;
use ferric_hardware::machine::Machine;
use ferric_hardware::tool::Tools;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::StepError;
use crate::progress::Progress;

/// Which of the three step families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Cleaning.
    Clean,
    /// Deployment.
    Deploy,
    /// Servicing an active node.
    Service,
}

impl Kind {
    /// `clean`, `deploy` or `service`, as in command names and result keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Deploy => "deploy",
            Self::Service => "service",
        }
    }

    /// The error of a step of this family that failed for its own reason.
    pub fn error(self, text: String) -> StepError {
        match self {
            Self::Clean => StepError::Cleaning(text),
            Self::Deploy => StepError::Deployment(text),
            Self::Service => StepError::Servicing(text),
        }
    }
}

/// Options of the agent that change what steps do. Names are those of the options.
#[derive(Debug, Clone)]
pub struct StepOptions {
    /// Local restriction of the block devices (`allowed_devices`).
    pub allowed_devices: Option<Vec<PathBuf>>,
    /// Where the host's root file system is seen from the container.
    pub host_root: PathBuf,
    /// Directory of step plugins.
    pub steps_dir: PathBuf,
    /// Every other option by its name, as text (`image_download_connection_retries` → `9`).
    pub values: BTreeMap<String, String>,
}

impl StepOptions {
    /// No options: defaults everywhere, no local restriction.
    pub fn none() -> Self {
        Self {
            allowed_devices: None,
            host_root: PathBuf::from("/mnt/coreos"),
            steps_dir: PathBuf::from("/etc/ferric/steps.d"),
            values: BTreeMap::new(),
        }
    }

    /// The text of an option; an empty one counts as not set.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// A switch, in the words that configuration files use (`true`, `1`, `yes`, `on`, `t`, `y`); anything else is off.
    pub fn flag(&self, name: &str, default: bool) -> bool {
        self.text(name).map_or(default, |value| {
            ["true", "1", "yes", "on", "t", "y"].contains(&value.to_ascii_lowercase().as_str())
        })
    }

    /// A number; one that cannot be read is the default.
    pub fn number(&self, name: &str, default: u64) -> u64 {
        self.text(name).and_then(|value| value.parse().ok()).unwrap_or(default)
    }
}

/// What steps leave for later commands of the same agent process. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<Remembered>>);

#[derive(Debug, Default)]
struct Remembered {
    partition_uuids: Value,
    arrays: Vec<MadeArray>,
}

/// An array that was made with a word on whether it is to be installed to (`is_root_volume`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeArray {
    /// `/dev/md0`.
    pub device: String,
    /// The disks that it is on.
    pub disks: Vec<String>,
    /// Whether it is to be installed to; else neither it nor its disks are.
    pub is_root: bool,
}

impl Memory {
    /// Keeps the UUIDs of the last image written, for `standby.get_partition_uuids`.
    pub fn set_partition_uuids(&self, uuids: Value) {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).partition_uuids = uuids;
    }

    /// The UUIDs of the last image written; `{}` before that.
    pub fn partition_uuids(&self) -> Value {
        let uuids = self.0.lock().unwrap_or_else(|e| e.into_inner()).partition_uuids.clone();
        if uuids.is_null() { Value::Object(Map::new()) } else { uuids }
    }

    /// Keeps the arrays that were made, instead of those before.
    pub fn set_arrays(&self, arrays: Vec<MadeArray>) {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).arrays = arrays;
    }

    /// The arrays that were made.
    pub fn arrays(&self) -> Vec<MadeArray> {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).arrays.clone()
    }
}

/// What a step gets.
#[derive(Debug, Clone)]
pub struct Context {
    /// The machine it works on.
    pub machine: Machine,
    /// Options, after look-up.
    pub options: Arc<StepOptions>,
    /// Ironic's node object as last received; `null` when unknown.
    pub node: Arc<Value>,
    /// Ironic's ports as received with the step.
    pub ports: Arc<Value>,
    /// Where the step says how far it is.
    pub progress: Progress,
    /// Asks the step to stop.
    pub cancel: CancellationToken,
    /// What it leaves for later commands.
    pub memory: Memory,
}

impl Context {
    /// A context without a node, as at the start of an agent.
    pub fn new(machine: Machine, options: Arc<StepOptions>) -> Self {
        Self {
            machine,
            options,
            node: Arc::default(),
            ports: Arc::default(),
            progress: Progress::default(),
            cancel: CancellationToken::new(),
            memory: Memory::default(),
        }
    }

    /// The device policy of this node: the local allowlist and the node's `skip_block_devices`.
    pub fn device_policy(&self) -> DevicePolicy {
        let skip = self.node["properties"]["skip_block_devices"].as_array().cloned().unwrap_or_default();
        DevicePolicy { allowed: self.options.allowed_devices.clone(), skip }
    }

    /// True when an allowlist of devices makes this a local run: the machine itself (its power, links, clock and
    /// files) must then stay as it is.
    pub fn is_local_run(&self) -> bool {
        self.options.allowed_devices.is_some()
    }

    /// External programs: in the directories of the option `tool_path` (default: `PATH`), else in the host root.
    pub fn tools(&self) -> Tools {
        let host_root = Some(self.options.host_root.as_path());
        match self.options.text("tool_path") {
            Some(path) => Tools::in_directories(std::env::split_paths(path), host_root),
            None => Tools::of_environment(host_root),
        }
    }

    /// The node's UUID, or `local` when no node is known.
    pub fn node_uuid(&self) -> &str {
        self.node["uuid"].as_str().unwrap_or("local")
    }
}

/// Named arguments of a step.
pub type Arguments = Map<String, Value>;
