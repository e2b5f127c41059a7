//! What a step is, what it gets and what it answers.

use std::sync::{Arc, Mutex};

use ferric_hardware::block::DevicePolicy;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::progress::Progress;
use crate::site::Site;
use crate::{ErrorKind, StepError};

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
            Self::Clean => ErrorKind::Cleaning.error(text),
            Self::Deploy => ErrorKind::Deployment.error(text),
            Self::Service => ErrorKind::Servicing.error(text),
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

/// One step under way: where it works, for which node, and how it is watched and stopped.
#[derive(Debug, Clone)]
pub struct Step {
    /// Where it works.
    pub site: Site,
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

impl Step {
    /// A step for no node, as at the start of an agent.
    pub fn new(site: Site) -> Self {
        Self {
            site,
            node: Arc::default(),
            ports: Arc::default(),
            progress: Progress::default(),
            cancel: CancellationToken::new(),
            memory: Memory::default(),
        }
    }

    /// Which devices may be touched for its node.
    pub fn device_policy(&self) -> DevicePolicy {
        self.site.device_policy(&self.node)
    }

    /// Runs its work, which blocks, on a thread of its own.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StepError> + Send + 'static,
    ) -> Result<T, StepError> {
        let step = self.clone();
        blocking(move || work(&step)).await
    }

    /// The node's UUID, or `local` when no node is known.
    pub fn node_uuid(&self) -> &str {
        self.node["uuid"].as_str().unwrap_or("local")
    }
}

/// Runs work that blocks on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(ErrorKind::Execution.error("the step's thread ended abnormally").because(error)),
    }
}
