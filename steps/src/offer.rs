//! What hardware managers offer: one step of one manager for one family of steps.

use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::arguments::{Arguments, Parameter};
use crate::step::{Kind, Step};
use crate::{StepError, python};

/// A hardware manager. To Ironic it is a class name, a declared name and a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manager {
    /// Key of its steps in listings.
    pub class: String,
    /// Key of its version.
    pub name: String,
    /// Its version; opaque to Ironic.
    pub version: String,
    /// How specific it is: 1 generic, 2 for a class of hardware, 3 for exactly this machine; more is allowed.
    pub support: u32,
}

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
    /// What it takes.
    pub parameters: Vec<Parameter>,
    /// Whether the parameters are announced. Ironic refuses arguments that are not.
    pub argsinfo: bool,
    /// What runs.
    pub action: Action,
}

/// The result of a step that is under way.
pub type Running = Pin<Box<dyn Future<Output = Result<Value, StepError>> + Send>>;

/// What a step does.
#[derive(Clone)]
pub struct Action(Arc<dyn Fn(Step, Arguments) -> Running + Send + Sync>);

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Action")
    }
}

impl Action {
    /// Work that waits for others.
    pub fn new(work: impl Fn(Step, Arguments) -> Running + Send + Sync + 'static) -> Self {
        Self(Arc::new(work))
    }

    /// Work that blocks; it runs on a thread of its own.
    pub fn blocking(work: impl Fn(&Step, &Arguments) -> Result<Value, StepError> + Send + Sync + 'static) -> Self {
        let work = Arc::new(work);
        Self::new(move |step, arguments| {
            let work = Arc::clone(&work);
            Box::pin(async move { step.blocking(move |step| work(step, &arguments)).await })
        })
    }

    /// Runs it.
    pub fn run(&self, step: Step, arguments: Arguments) -> Running {
        self.0(step, arguments)
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
        if self.argsinfo {
            let info = |one: &Parameter| json!({ "description": one.description, "required": one.required });
            let pairs = self.parameters.iter().map(|one| (one.name.to_string(), info(one)));
            step["argsinfo"] = pairs.collect::<Map<_, _>>().into();
        }
        step
    }

    /// Refuses arguments that the step does not know and calls without those it needs, in the Python agent's words.
    pub(crate) fn check(&self, arguments: &Arguments) -> Result<(), StepError> {
        let method = format!("{}.{}()", self.manager.class, self.name);
        let known = |name: &str| self.parameters.iter().any(|one| one.name == name);
        if let Some(unknown) = arguments.keys().find(|name| !known(name)) {
            return Err(self.type_error(&python::unexpected_argument(&method, unknown)));
        }
        let missing: Vec<&str> = self
            .parameters
            .iter()
            .filter(|one| one.required && !arguments.contains_key(&*one.name))
            .map(|one| &*one.name)
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
