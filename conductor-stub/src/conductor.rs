//! The conductor: everything that requests and flows share.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::agent_client::{Agent, AgentError, RequestLimits};
use crate::artefacts::Artefacts;
use crate::config::Config;
use crate::consoles::Consoles;
use crate::driver::Drivers;
use crate::error::ApiError;
use crate::events::{Events, Kind};
use crate::files::AllowedFolders;
use crate::journal::Journal;
use crate::lock::{Lock, Locks};
use crate::media::Media;
use crate::metrics::Metrics;
use crate::node::{Node, Progress};
use crate::ramdisk::Ramdisks;
use crate::store::history::HistoryEntry;
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
    /// Files of others and of this host, for machines.
    pub media: Arc<Media>,
    /// What becomes bootable of them.
    pub ramdisks: Arc<Ramdisks>,
    /// Where files of this host may be that nodes name.
    pub allowed: AllowedFolders,
    /// The hardware types.
    pub drivers: Drivers,
    /// How far the running steps are.
    pub running: Running,
    /// When it was started, ISO 8601.
    pub started_at: String,
    /// What its machines print.
    pub consoles: Consoles,
    /// What was counted.
    pub metrics: Metrics,
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
        self.store.save_node(node, &[HistoryEntry::now(node, "state", "enrolled", Value::Null)])
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
        let limits = RequestLimits {
            timeout: Duration::from_secs(self.config.command_timeout_seconds),
            attempts: self.config.max_command_attempts,
        };
        Agent::of(node, limits, Arc::clone(&self.journal))
    }
}

/// How far the running steps are, as their agents say. Told, and not kept in the database.
#[derive(Debug)]
pub struct Running {
    steps: Mutex<HashMap<Uuid, Progress>>,
    events: Arc<Events>,
}

impl Running {
    /// Nothing runs; what will is told to `events`.
    pub fn new(events: Arc<Events>) -> Self {
        Self { steps: Mutex::default(), events }
    }

    /// What is known of a node.
    pub fn of(&self, node: Uuid) -> Option<Progress> {
        self.steps().get(&node).cloned()
    }

    /// Forgets all nodes but these.
    pub fn keep(&self, running: impl IntoIterator<Item = Uuid>) {
        let running: HashSet<Uuid> = running.into_iter().collect();
        let over: Vec<Uuid> = self.steps().keys().copied().filter(|node| !running.contains(node)).collect();
        for node in over {
            self.set(node, None);
        }
    }

    /// Keeps what the agent of a node said, or that nothing runs there.
    pub fn set(&self, node: Uuid, progress: Option<Progress>) {
        let before = match progress.clone() {
            Some(progress) => self.steps().insert(node, progress),
            None => self.steps().remove(&node),
        };
        if before != progress {
            self.events.add(Kind::Progress, node, &json!({ "uuid": node, "progress": progress }));
        }
    }

    fn steps(&self) -> MutexGuard<'_, HashMap<Uuid, Progress>> {
        self.steps.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
