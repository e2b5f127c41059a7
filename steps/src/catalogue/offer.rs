//! One step as one hardware manager offers it for one family of steps.

use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::manager::Manager;
use crate::step::{Arguments, Kind, Step};
use crate::{StepError, python};

/// A step on offer.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Who offers it.
    pub manager: Arc<Manager>,
    /// For which family.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Ironic's interface: `deploy`, `raid`, `bios`…
    pub interface: String,
    /// 0 means only on request.
    pub priority: i64,
    /// Whether Ironic may abort it; deploy steps do not say.
    pub abortable: Option<bool>,
    /// Whether Ironic is to reboot the machine afterwards.
    pub reboot_requested: bool,
    /// What it accepts; nothing when it accepts anything.
    pub arguments: Option<Vec<Argument>>,
    /// Whether the arguments are announced. Ironic refuses arguments that are not.
    pub argsinfo: bool,
    /// What runs.
    pub action: Action,
}

/// One argument of a step.
#[derive(Debug, Clone)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// What it is, for people.
    pub description: String,
    /// Whether the step fails without it.
    pub required: bool,
}

/// The result of a step that is under way.
pub type Running = Pin<Box<dyn Future<Output = Result<Value, StepError>> + Send>>;

/// The function of a built-in step.
pub type BuiltIn = fn(Step, Arguments) -> Running;

/// Work that runs on a thread of its own.
pub type BlockingWork = dyn Fn(&Step, &Arguments) -> Result<Value, StepError> + Send + Sync;

/// What a step does.
#[derive(Clone)]
pub enum Action {
    /// A built-in step.
    BuiltIn(BuiltIn),
    /// One that was found at run time (plugins, containers); it blocks.
    Found(Arc<BlockingWork>),
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::BuiltIn(_) => "BuiltIn",
            Self::Found(_) => "Found",
        })
    }
}

impl Action {
    /// Runs it; blocking work goes to a thread of its own.
    pub(super) fn run(&self, step: Step, arguments: Arguments) -> Running {
        match self.clone() {
            Self::BuiltIn(work) => work(step, arguments),
            Self::Found(work) => Box::pin(super::blocking(move || work(&step, &arguments))),
        }
    }
}

impl Offer {
    /// The step as Ironic is told about it.
    pub fn announcement(&self) -> Value {
        let mut step = json!({
            "step": self.name,
            "priority": self.priority,
            "interface": self.interface,
            "reboot_requested": self.reboot_requested,
        });
        if let Some(abortable) = self.abortable {
            step["abortable"] = abortable.into();
        }
        if let (true, Some(arguments)) = (self.argsinfo, &self.arguments) {
            step["argsinfo"] = arguments
                .iter()
                .map(|one| (one.name.clone(), json!({ "description": one.description, "required": one.required })))
                .collect::<Map<_, _>>()
                .into();
        }
        step
    }

    /// Refuses arguments that the step does not know and calls without those it needs, in the Python agent's words.
    pub(super) fn check(&self, arguments: &Arguments) -> Result<(), StepError> {
        let Some(known) = &self.arguments else { return Ok(()) };
        let method = format!("{}.{}()", self.manager.class, self.name);
        if let Some(unknown) = arguments.keys().find(|name| known.iter().all(|one| one.name != **name)) {
            return Err(self.type_error(&python::unexpected_argument(&method, unknown)));
        }
        let missing: Vec<&str> = known
            .iter()
            .filter(|one| one.required && !arguments.contains_key(&one.name))
            .map(|one| one.name.as_str())
            .collect();
        if !missing.is_empty() {
            return Err(self.type_error(&python::missing_arguments(&method, &missing)));
        }
        Ok(())
    }

    fn type_error(&self, text: &str) -> StepError {
        let kind = self.kind.as_str();
        self.kind.error(format!("Unexpected exception performing {kind} step {}. TypeError: {text}", self.name))
    }
}
