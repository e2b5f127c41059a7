//! What all parts of the running agent share: configuration, node, token, commands, and how it ends.

use std::sync::{Arc, OnceLock, RwLock};
use std::time::SystemTime;

use ferric_hardware::bring_up;
use ferric_hardware::inventory::{InventoryOptions, Simulated, SimulatedError};
use ferric_hardware::lldp::Capture;
use ferric_hardware::machine::Machine;
use ferric_steps::options::Options;
use ferric_steps::site::Site;
use ferric_steps::step::{Memory, Step};
use serde_json::Value;
use tokio::sync::{Notify, watch};

use crate::config::{Config, Settings};
use crate::ironic::Ironic;
use crate::registry::{Registry, Running};
use crate::state::{State, Store};
use crate::token::Token;

/// How the agent ends, once its work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The process ends with exit code 0.
    Exit,
    /// Nothing is served any more, the links go down, and the process stays so that nobody restarts it.
    Lockdown,
}

/// The state that all parts share.
#[derive(Debug)]
pub struct Agent {
    /// Where it runs.
    pub machine: Machine,
    /// What was asked of it.
    pub commands: Registry,
    /// Who may ask.
    pub token: Token,
    /// When the process started.
    pub started_at: SystemTime,
    configuration: RwLock<Configuration>,
    node: RwLock<Arc<Value>>,
    memory: Memory,
    simulated: Option<Simulated>,
    heartbeat: Notify,
    ending: watch::Sender<Option<Ending>>,
    store: Store,
    session: RwLock<Session>,
    ironic: OnceLock<Arc<Ironic>>,
    lldp: OnceLock<Capture>,
}

/// The collector that wants LLDP whether or not the inventory has it.
const LLDP_COLLECTOR: &str = "lldp";

/// The configuration as text, which still changes, and what it says now.
#[derive(Debug)]
struct Configuration {
    config: Config,
    settings: Arc<Settings>,
    step_options: Arc<Options>,
}

impl Configuration {
    fn new(config: Config) -> Self {
        Self { settings: Arc::new(config.settings()), step_options: Arc::new(config.step_options()), config }
    }
}

/// What belongs to one look-up.
#[derive(Debug, Default, Clone)]
struct Session {
    lookup: Value,
    certificate: Option<crate::tls::Certificate>,
}

impl Agent {
    /// An agent that knows no node yet.
    ///
    /// # Errors
    /// The file of simulated hardware is not usable.
    pub fn new(machine: Machine, config: Config) -> Result<Arc<Self>, SimulatedError> {
        let configuration = Configuration::new(config);
        let settings = configuration.settings.clone();
        let simulated = settings.simulated_hardware.as_deref().map(Simulated::read).transpose()?;
        Ok(Arc::new(Self {
            store: Store::new(&settings.state_dir, &machine),
            machine,
            commands: Registry::default(),
            token: Token::new(settings.agent_token.as_deref()),
            started_at: SystemTime::now(),
            configuration: RwLock::new(configuration),
            node: RwLock::default(),
            memory: Memory::default(),
            simulated,
            heartbeat: Notify::new(),
            ending: watch::Sender::new(None),
            session: RwLock::default(),
            ironic: OnceLock::new(),
            lldp: OnceLock::new(),
        }))
    }

    /// What the agent is told now.
    pub fn settings(&self) -> Arc<Settings> {
        self.configuration.read().unwrap_or_else(|poisoned| poisoned.into_inner()).settings.clone()
    }

    /// Changes the configuration.
    pub fn configure(&self, change: impl FnOnce(&mut Config)) {
        let mut configuration = self.configuration.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut config = configuration.config.clone();
        change(&mut config);
        *configuration = Configuration::new(config);
    }

    /// Ironic's node object as last received; null before that.
    pub fn node(&self) -> Arc<Value> {
        self.node.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Keeps the node for commands that come without one.
    pub fn set_node(&self, node: Value) {
        *self.node.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(node);
    }

    /// UUID of the node, when one is known.
    pub fn node_uuid(&self) -> Option<String> {
        self.node()["uuid"].as_str().map(str::to_string)
    }

    /// The client of Ironic, when there is an Ironic.
    pub fn ironic(&self) -> Option<Arc<Ironic>> {
        self.ironic.get().cloned()
    }

    /// Keeps the client of Ironic; the first one stays.
    pub fn set_ironic(&self, ironic: Arc<Ironic>) {
        self.ironic.get_or_init(|| ironic);
    }

    /// Where work is done now.
    pub fn site(&self) -> Site {
        let configuration = self.configuration.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        Site::new(self.machine.clone(), configuration.step_options.clone())
    }

    /// A step for the node, with the ports that came with the request.
    pub fn step(&self, running: &Running, ports: Value) -> Step {
        Step {
            site: self.site(),
            node: self.node(),
            ports: Arc::new(ports),
            progress: running.progress.clone(),
            cancel: running.cancel.clone(),
            memory: self.memory.clone(),
        }
    }

    /// UUIDs of the last image that was written.
    pub fn partition_uuids(&self) -> Value {
        self.memory.partition_uuids()
    }

    /// Starts to listen for LLDP when anything will ask for it. It goes on beside everything else.
    pub fn listen_for_lldp(&self) {
        let settings = self.settings();
        let inspection = &settings.inspection;
        if inspection.collect_lldp || inspection.collectors.iter().any(|name| name == LLDP_COLLECTOR) {
            bring_up::lldp(&self.machine);
            self.lldp.get_or_init(|| Capture::start(&self.machine, inspection.lldp_timeout));
        }
    }

    /// The capture of LLDP, when there is one.
    pub fn lldp(&self) -> Option<Capture> {
        self.lldp.get().cloned()
    }

    /// What the inventory depends on.
    pub fn inventory_options(&self) -> InventoryOptions {
        let settings = self.settings();
        let inspection = &settings.inspection;
        InventoryOptions {
            policy: self.site().device_policy(&self.node()),
            boot_interface: inspection.boot_interface.clone(),
            lldp: self.lldp().filter(|_| inspection.collect_lldp),
            skip_bmc: self.lookup()["config"]["agent_skip_bmc_detect"].as_bool().unwrap_or(false),
            ignored_drivers: Vec::new(),
            simulated: self.simulated.clone(),
        }
    }

    /// The answer to the last look-up; null before that.
    pub fn lookup(&self) -> Value {
        self.session.read().unwrap_or_else(|poisoned| poisoned.into_inner()).lookup.clone()
    }

    /// Keeps the answer to a look-up.
    pub fn set_lookup(&self, answer: Value) {
        self.session.write().unwrap_or_else(|poisoned| poisoned.into_inner()).lookup = answer;
    }

    /// The certificate that is served, when it is self-signed.
    pub fn certificate(&self) -> Option<crate::tls::Certificate> {
        self.session.read().unwrap_or_else(|poisoned| poisoned.into_inner()).certificate.clone()
    }

    /// Keeps the self-signed certificate.
    pub fn set_certificate(&self, certificate: crate::tls::Certificate) {
        self.session.write().unwrap_or_else(|poisoned| poisoned.into_inner()).certificate = Some(certificate);
    }

    /// Has the conductor told at once that something changed.
    pub fn wake_heartbeat(&self) {
        self.heartbeat.notify_one();
    }

    /// Waits for [`Self::wake_heartbeat`].
    pub async fn heartbeat_wanted(&self) {
        self.heartbeat.notified().await;
    }

    /// Ends the agent once answers that are under way have been delivered.
    pub fn end(&self, ending: Ending) {
        self.ending.send_replace(Some(ending));
    }

    /// Waits for [`Self::end`].
    pub async fn ended(&self) -> Ending {
        let mut ending = self.ending.subscribe();
        match ending.wait_for(Option::is_some).await {
            Ok(ending) => ending.unwrap_or(Ending::Exit),
            Err(_) => Ending::Exit,
        }
    }

    /// Writes down what a restarted agent of the same boot needs. Nothing is kept before the first look-up.
    pub fn save(&self) {
        let Session { lookup, certificate } =
            self.session.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        if lookup.is_null() {
            return;
        }
        self.store.save(&State {
            token: self.token.text(),
            lookup,
            certificate,
            partition_uuids: self.memory.partition_uuids(),
            commands: self.commands.records(),
        });
    }

    /// Takes over what an agent that ran before in this boot left, and says whether there was something.
    pub fn restore(&self) -> bool {
        let Some(state) = self.store.load() else { return false };
        if let Some(token) = &state.token {
            self.token.adopt(token);
        }
        self.commands.restore(state.commands);
        self.memory.set_partition_uuids(state.partition_uuids);
        *self.session.write().unwrap_or_else(|poisoned| poisoned.into_inner()) =
            Session { lookup: state.lookup, certificate: state.certificate };
        true
    }

    /// Forgets what was kept: the conductor treats this machine as freshly booted.
    pub fn forget(&self) {
        self.commands.clear();
        self.memory.set_partition_uuids(Value::Null);
    }
}
