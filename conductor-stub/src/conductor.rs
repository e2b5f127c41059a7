//! The conductor: everything that requests and flows share.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use crate::agent_client::{Agent, AgentError, Patience};
use crate::artefacts::Artefacts;
use crate::config::Config;
use crate::driver::Drivers;
use crate::error::ApiError;
use crate::files::AllowedFolders;
use crate::journal::Journal;
use crate::lock::{Lock, Locks};
use crate::node::Node;
use crate::store::history::Happening;
use crate::store::{Store, StoreError};
use crate::urls::Urls;

/// A handle that requests and flows hold.
pub type Shared = Arc<Conductor>;

/// The conductor.
#[derive(Debug)]
pub struct Conductor {
    /// Its options.
    pub config: Config,
    /// Its records.
    pub store: Arc<Store>,
    /// What it saw and said.
    pub journal: Arc<Journal>,
    /// Who may change which node.
    pub locks: Arc<Locks>,
    /// Where machines and BMCs reach it.
    pub urls: Urls,
    /// The certificate of its own authority, base64, that agents are given.
    pub authority: Option<String>,
    /// Its files for machines.
    pub artefacts: Arc<Artefacts>,
    /// Where files of this host may be that nodes name.
    pub allowed: AllowedFolders,
    /// The hardware types.
    pub drivers: Drivers,
    /// How far the running steps are.
    pub progress: Progress,
    /// When it was started, ISO 8601.
    pub started_at: String,
}

impl Conductor {
    /// The node with this UUID or name.
    ///
    /// # Errors
    /// 404 when there is none.
    pub fn find(&self, ident: &str) -> Result<Node, ApiError> {
        self.store.node(ident)?.ok_or_else(|| ApiError::Missing { kind: "Node", ident: ident.to_owned() })
    }

    /// Enrols a node.
    ///
    /// # Errors
    /// When another node has its name.
    pub fn enrol(&self, node: &Node) -> Result<(), StoreError> {
        self.store.save_node(node, &[Happening::now(node, "state", "enrolled", Value::Null)])
    }

    /// Takes the lock of a node.
    ///
    /// # Errors
    /// 409 when another operation has it.
    pub fn lock(&self, node: Uuid) -> Result<Lock, ApiError> {
        self.locks.take(node).ok_or_else(|| ApiError::Locked(node.to_string()))
    }

    /// The agent of a node.
    ///
    /// # Errors
    /// When none has been heard.
    pub fn agent(&self, node: &Node) -> Result<Agent, AgentError> {
        let patience = Patience {
            timeout: Duration::from_secs(self.config.command_timeout_seconds),
            attempts: self.config.max_command_attempts,
        };
        Agent::of(node, patience, Arc::clone(&self.journal))
    }
}

/// How far the running steps are, as their agents say.
#[derive(Debug, Default)]
pub struct Progress(Mutex<HashMap<Uuid, Value>>);

impl Progress {
    /// What is known of a node.
    pub fn of(&self, node: Uuid) -> Value {
        self.nodes().get(&node).cloned().unwrap_or_default()
    }

    /// Keeps what the agent of a node said.
    pub fn set(&self, node: Uuid, progress: Value) {
        self.nodes().insert(node, progress);
    }

    /// Nothing runs there any more.
    pub fn forget(&self, node: Uuid) {
        self.nodes().remove(&node);
    }

    /// Forgets all nodes but these.
    pub fn keep(&self, running: impl IntoIterator<Item = Uuid>) {
        let running: HashSet<Uuid> = running.into_iter().collect();
        self.nodes().retain(|node, _| running.contains(node));
    }

    fn nodes(&self) -> MutexGuard<'_, HashMap<Uuid, Value>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
