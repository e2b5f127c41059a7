//! The steps of an operation, and how far it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::spec::Object;
use super::update::Update;

/// One step: the agent's description of it, or the user's order of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// `deploy`, `raid`, `management`…
    pub interface: String,
    /// Its name.
    pub step: String,
    /// Higher runs first; 0 only when asked for.
    #[serde(default)]
    pub priority: i64,
    /// Whether the conductor does it itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub conductor: bool,
    /// Everything else it came with: `args`, `argsinfo`, `abortable`, `reboot_requested`.
    #[serde(flatten)]
    pub more: Object,
}

impl Step {
    /// A step that the conductor does itself.
    pub fn of_conductor(step: &str, priority: i64) -> Self {
        Self { interface: "deploy".into(), step: step.into(), priority, conductor: true, more: Object::new() }
    }

    /// Whether both have the same name.
    pub fn is(&self, other: &Self) -> bool {
        self.interface == other.interface && self.step == other.step
    }

    /// Whether the machine is to be started anew after it.
    pub fn wants_reboot(&self) -> bool {
        self.more.get("reboot_requested").and_then(Value::as_bool).unwrap_or_default()
    }
}

/// Which of the three step families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Cleaning.
    Clean,
    /// Deployment.
    Deploy,
    /// Servicing.
    Service,
}

impl Family {
    /// `clean`, `deploy`, `service`: the word in command names and keys.
    pub fn word(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Deploy => "deploy",
            Self::Service => "service",
        }
    }

    fn reboot_key(self) -> &'static str {
        match self {
            Self::Clean => "cleaning_reboot",
            Self::Deploy => "deployment_reboot",
            Self::Service => "servicing_reboot",
        }
    }
}

/// The steps of one operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Whose steps they are.
    pub family: Family,
    /// The user's steps.
    pub asked: Option<Vec<Step>>,
    /// What the agent can do, by interface.
    pub offered: BTreeMap<String, Vec<Step>>,
    /// When it said so, ISO 8601.
    pub refreshed: Option<String>,
    /// The agent's managers, as they came; they go back with every step.
    pub hardware_manager_version: Option<Value>,
    /// The steps in order; none before the agent has been asked.
    pub steps: Option<Vec<Step>>,
    /// Which of them runs.
    pub index: usize,
    /// The step that runs.
    pub current: Option<Step>,
    /// When it was started, seconds since the epoch.
    pub started: Option<f64>,
    /// Set while the machine starts anew at the wish of a step.
    pub rebooting: bool,
    /// Set while the current step has to be started, now or again: the agent was too busy, or could not be reached.
    pub to_start: bool,
    /// Steps that this agent was given since it booted, and has done.
    pub sent: usize,
    /// Set before the current step is sent.
    pub is_sending: bool,
    /// Set after a restart of the conductor: whether the current step was sent is for the agent to say.
    pub in_doubt: bool,
    /// The machine was started anew for a step of the conductor's, which is to see then what became of it.
    #[serde(default)]
    pub is_second_look: bool,
    /// The updates of firmware that the current step is at.
    #[serde(default)]
    pub updates: Vec<Update>,
}

impl Plan {
    /// A plan without steps yet, beside those that the user asked for.
    pub fn new(family: Family, asked: Option<Vec<Step>>) -> Self {
        Self {
            family,
            asked,
            offered: BTreeMap::new(),
            refreshed: None,
            hardware_manager_version: None,
            steps: None,
            index: 0,
            current: None,
            started: None,
            rebooting: false,
            to_start: false,
            sent: 0,
            is_sending: false,
            in_doubt: false,
            is_second_look: false,
            updates: Vec::new(),
        }
    }

    /// The agent is a new one.
    pub fn forget_agent(&mut self) {
        self.sent = 0;
        self.is_sending = false;
    }

    /// With the keys that Ironic has in `driver_internal_info`.
    pub fn view(&self) -> Object {
        let word = self.family.word();
        let mut view = Object::new();
        if let Some(asked) = &self.asked {
            view.insert(format!("user_{word}_steps"), json!(asked));
        }
        if let Some(steps) = &self.steps {
            view.insert("hardware_manager_version".into(), self.hardware_manager_version.clone().unwrap_or_default());
            view.insert(format!("agent_cached_{word}_steps"), json!(self.offered));
            view.insert(format!("agent_cached_{word}_steps_refreshed"), json!(self.refreshed));
            view.insert(format!("{word}_steps"), json!(steps));
            view.insert(format!("{word}_step_index"), self.index.into());
        }
        if self.rebooting {
            view.insert(self.family.reboot_key().into(), true.into());
        }
        view
    }
}
