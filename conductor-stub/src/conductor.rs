//! The conductor: everything that requests and flows share.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::agent_client::{Agent, AgentError, Patience};
use crate::config::Config;
use crate::dhcp::Dhcp;
use crate::driver::fake::Fake;
use crate::driver::local_process::LocalProcess;
use crate::driver::redfish::Redfish;
use crate::driver::{Driver, DriverError};
use crate::error::ApiError;
use crate::fault::Faults;
use crate::flow;
use crate::journal::Journal;
use crate::node::Node;
use crate::state::{Event, ProvisionState};
use crate::store::{Store, StoreError};
use crate::token;

/// A handle that requests and flows hold.
pub type Shared = Arc<Conductor>;

/// The conductor.
#[derive(Debug)]
pub struct Conductor {
    /// Its options.
    pub config: Config,
    /// Its records.
    pub store: Store,
    /// What it saw and said.
    pub journal: Journal,
    /// What it is told to do wrong.
    pub faults: Faults,
    /// Where it may write files.
    pub state_dir: PathBuf,
    drivers: BTreeMap<&'static str, Arc<dyn Driver>>,
    processes: Arc<LocalProcess>,
    url: OnceLock<String>,
    dhcp: OnceLock<Dhcp>,
    /// Locked nodes, and whether a heartbeat came meanwhile.
    locks: Mutex<HashMap<Uuid, bool>>,
    progress: Mutex<HashMap<Uuid, Value>>,
}

/// The right to change one node; others get 409 meanwhile.
/// When it is dropped, a heartbeat that came meanwhile is handled.
#[derive(Debug)]
pub struct Lock {
    conductor: Shared,
    node: Uuid,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let heartbeat_waits = guard(&self.conductor.locks).remove(&self.node).unwrap_or_default();
        if heartbeat_waits {
            flow::heartbeat(&self.conductor, self.node);
        }
    }
}

impl Conductor {
    /// A conductor whose records are in `state_dir`. Operations that were cut off by the end of the last one fail.
    ///
    /// # Errors
    /// When the directory or the database cannot be used.
    pub fn open(config: Config, state_dir: &Path) -> Result<Shared, StoreError> {
        let store = Store::open(&state_dir.join("conductor.sqlite"))?;
        let processes = Arc::new(LocalProcess::default());
        let redfish = Redfish {
            power_limit: Duration::from_secs(config.power_state_change_timeout_seconds),
            pause: Duration::from_secs_f64(config.redfish_retry_interval_seconds),
        };
        let drivers: BTreeMap<&'static str, Arc<dyn Driver>> = BTreeMap::from([
            ("fake-hardware", Arc::new(Fake) as Arc<dyn Driver>),
            ("local-process", Arc::clone(&processes) as _),
            ("redfish", Arc::new(redfish) as _),
        ]);
        let conductor = Self {
            config,
            store,
            journal: Journal::default(),
            faults: Faults::default(),
            state_dir: state_dir.to_owned(),
            drivers,
            processes,
            url: OnceLock::new(),
            dhcp: OnceLock::new(),
            locks: Mutex::default(),
            progress: Mutex::default(),
        };
        for mut node in conductor.store.nodes()? {
            if node.provision_state.is_lost_on_restart() {
                let text = format!("The conductor was restarted during {}.", node.provision_state);
                conductor.step_to(&mut node, Event::Fail)?;
                node.last_error = Some(text);
                conductor.save(&mut node)?;
            }
        }
        Ok(Arc::new(conductor))
    }

    /// Says under which URL agents reach us. Only the first call counts.
    pub fn announce(&self, url: &str) {
        let url = self.config.public_url.as_deref().unwrap_or(url);
        let _ = self.url.set(url.trim_end_matches('/').to_owned());
    }

    /// The URL under which agents reach us, without a slash at the end.
    pub fn url(&self) -> &str {
        self.url.get().map_or("", String::as_str)
    }

    /// Takes the DHCP server into service. Only the first call counts.
    pub fn serve_dhcp(&self, dhcp: Dhcp) {
        let _ = self.dhcp.set(dhcp);
    }

    /// The DHCP server, when the configuration has one.
    pub fn dhcp(&self) -> Option<&Dhcp> {
        self.dhcp.get()
    }

    /// Ends every process that was started.
    pub async fn end_processes(&self) {
        self.processes.end_all().await;
        if let Some(dhcp) = self.dhcp() {
            dhcp.stop().await;
        }
    }

    /// The names of the hardware types.
    pub fn driver_names(&self) -> impl Iterator<Item = &'static str> {
        self.drivers.keys().copied()
    }

    /// The hardware type of a node.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn driver(&self, node: &Node) -> Result<Arc<dyn Driver>, DriverError> {
        self.drivers.get(node.spec.driver.as_str()).cloned().ok_or_else(|| {
            DriverError(format!(
                "No valid host was found. Reason: No conductor service registered which supports driver {}.",
                node.spec.driver
            ))
        })
    }

    /// The node with this UUID or name.
    ///
    /// # Errors
    /// 404 when there is none.
    pub fn find(&self, ident: &str) -> Result<Node, ApiError> {
        self.store.node(ident)?.ok_or_else(|| ApiError::Missing { kind: "Node", ident: ident.to_owned() })
    }

    /// Writes a node.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn save(&self, node: &mut Node) -> Result<(), StoreError> {
        node.updated_at = Some(crate::clock::now());
        self.store.save_node(node)
    }

    /// Moves a node along `event`, notes it and writes it.
    ///
    /// # Errors
    /// When the database refuses. An event that does not exist here leaves the node where it is.
    pub fn step_to(&self, node: &mut Node, event: Event) -> Result<(), StoreError> {
        let Some(next) = node.provision_state.after(event) else {
            tracing::error!(node = %node.label(), state = %node.provision_state, %event, "no such transition");
            return Ok(());
        };
        tracing::info!(node = %node.label(), "{} -> {next}", node.provision_state);
        let text = format!("{} -> {next}", node.provision_state);
        node.enter(next);
        self.save(node)?;
        self.store.record(node, "state", &text, Value::Null)
    }

    /// Takes the lock of a node, or nothing when another operation has it.
    pub fn try_lock(self: &Arc<Self>, node: Uuid) -> Option<Lock> {
        match guard(&self.locks).entry(node) {
            Entry::Occupied(_) => None,
            Entry::Vacant(free) => {
                free.insert(false);
                Some(Lock { conductor: Arc::clone(self), node })
            }
        }
    }

    /// As [`Conductor::try_lock`]; the holder of the lock handles the heartbeat afterwards.
    pub fn lock_for_heartbeat(self: &Arc<Self>, node: Uuid) -> Option<Lock> {
        match guard(&self.locks).entry(node) {
            Entry::Occupied(mut taken) => {
                taken.insert(true);
                None
            }
            Entry::Vacant(free) => {
                free.insert(false);
                Some(Lock { conductor: Arc::clone(self), node })
            }
        }
    }

    /// Takes the lock of a node.
    ///
    /// # Errors
    /// 409 when another operation has it.
    pub fn lock(self: &Arc<Self>, node: &Node) -> Result<Lock, ApiError> {
        self.try_lock(node.uuid).ok_or_else(|| ApiError::Locked(node.uuid.to_string()))
    }

    /// Whether an operation has the node's lock.
    pub fn is_locked(&self, node: Uuid) -> bool {
        guard(&self.locks).contains_key(&node)
    }

    /// The agent of a node.
    ///
    /// # Errors
    /// When none has been heard.
    pub fn agent(&self, node: &Node) -> Result<Agent<'_>, AgentError> {
        let patience = Patience {
            timeout: Duration::from_secs(self.config.command_timeout_seconds),
            attempts: self.config.max_command_attempts,
        };
        Agent::of(node, patience, &self.journal)
    }

    /// How far the running step of a node is, as its agent says.
    pub fn progress(&self, node: Uuid) -> Value {
        guard(&self.progress).get(&node).cloned().unwrap_or_default()
    }

    /// Publishes a file for one node under a URL that cannot be guessed.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn publish(&self, node: Uuid, name: &str, file: &Path) -> Result<String, StoreError> {
        let secret = self.store.save_artefact(node, name, &token::generate(), file)?;
        Ok(format!("{}/artefacts/{secret}/{name}", self.url()))
    }

    /// A URL of ours as BMCs, which may be in another network than the machines, have to write it.
    pub fn seen_by_bmc(&self, url: &str) -> String {
        match (&self.config.external_http_url, url.strip_prefix(self.url())) {
            (Some(external), Some(path)) => format!("{}{path}", external.trim_end_matches('/')),
            _ => url.to_owned(),
        }
    }

    /// Looks after waiting nodes until the conductor is dropped: timeouts and progress.
    pub fn watch(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        let pause = Duration::from_secs_f64(self.config.check_interval_seconds.max(0.05));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                let Some(conductor) = weak.upgrade() else { return };
                flow::timeout::sweep(&conductor);
            }
        });
        if self.config.progress_interval_seconds > 0.0 {
            let weak = Arc::downgrade(self);
            let pause = Duration::from_secs_f64(self.config.progress_interval_seconds);
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(pause).await;
                    let Some(conductor) = weak.upgrade() else { return };
                    conductor.look_at_progress().await;
                }
            });
        }
    }

    async fn look_at_progress(&self) {
        for node in self.store.nodes().unwrap_or_default() {
            let waiting = matches!(
                node.provision_state,
                ProvisionState::CleanWait | ProvisionState::WaitCallBack | ProvisionState::ServiceWait
            );
            let running = node.clean_step.is_some() || node.deploy_step.is_some() || node.service_step.is_some();
            let last = match self.agent(&node) {
                Ok(agent) if waiting && running => agent.commands().await.ok().and_then(|list| list.last().cloned()),
                _ => None,
            };
            let mut progress = guard(&self.progress);
            match last {
                Some(last) => progress
                    .insert(node.uuid, json!({"command": last.name, "status": last.status, "progress": last.progress})),
                None => progress.remove(&node.uuid),
            };
        }
    }
}

fn guard<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
