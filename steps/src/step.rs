//! What a step is, what it gets and what it answers.

use std::sync::{Arc, Mutex};

use ferric_hardware::block::DevicePolicy;
use ferric_hardware::machine::Machine;
use ferric_hardware::tool::Tools;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::StepError;
use crate::options::Options;
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
    pub options: Arc<Options>,
    /// Where it finds external programs.
    pub tools: Tools,
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
    /// A context without a node, as at the start of an agent. Programs are looked for in the directories of `PATH`, then
    /// in the host root.
    pub fn new(machine: Machine, options: Arc<Options>) -> Self {
        Self {
            tools: Tools::of_environment(Some(&options.host_root)),
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

    /// The node's UUID, or `local` when no node is known.
    pub fn node_uuid(&self) -> &str {
        self.node["uuid"].as_str().unwrap_or("local")
    }
}

/// Named arguments of a step.
pub type Arguments = Map<String, Value>;
