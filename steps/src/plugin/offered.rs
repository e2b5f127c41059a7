//! What `list` prints.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::arguments::Parameter;
use crate::offer::{Action, Manager, Offer};
use crate::step::Kind;

/// A step that says nothing else may take this long.
const DEFAULT_LIMIT_SECONDS: u64 = 3600;
/// Support of a plugin that says nothing else: exactly this machine.
const DEFAULT_SUPPORT: u32 = 3;

/// The whole listing of one plugin.
#[derive(Debug, Deserialize)]
pub(super) struct Listing {
    manager: Option<String>,
    version: Option<String>,
    support: Option<u32>,
    /// Steps by family.
    #[serde(default)]
    pub(super) steps: BTreeMap<Family, Vec<Step>>,
}

/// A family of steps, as plugins write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Family {
    Clean,
    Deploy,
    Service,
}

impl From<Family> for Kind {
    fn from(family: Family) -> Self {
        match family {
            Family::Clean => Self::Clean,
            Family::Deploy => Self::Deploy,
            Family::Service => Self::Service,
        }
    }
}

/// One step. Keys are those of Ironic, and the time limit.
#[derive(Debug, Deserialize)]
pub(super) struct Step {
    pub(super) step: String,
    #[serde(default)]
    priority: i64,
    interface: Option<String>,
    abortable: Option<bool>,
    #[serde(default)]
    reboot_requested: bool,
    argsinfo: Option<BTreeMap<String, Info>>,
    timeout_seconds: Option<u64>,
}

/// One argument in `argsinfo`.
#[derive(Debug, Deserialize)]
struct Info {
    #[serde(default)]
    description: String,
    #[serde(default)]
    required: bool,
}

impl Listing {
    /// The plugin as a hardware manager; its file name when it does not say its own.
    pub(super) fn manager(&self, file_name: &str) -> Arc<Manager> {
        let class = self.manager.clone().unwrap_or_else(|| file_name.to_string());
        let version = self.version.clone().unwrap_or_else(|| "1".to_string());
        Arc::new(Manager { name: class.clone(), class, version, support: self.support.unwrap_or(DEFAULT_SUPPORT) })
    }
}

impl Step {
    /// How long it may take.
    pub(super) fn limit(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.unwrap_or(DEFAULT_LIMIT_SECONDS))
    }

    /// The step as the catalogue knows it. Without `argsinfo` it takes no arguments.
    pub(super) fn offer(&self, manager: &Arc<Manager>, kind: Kind, action: Action) -> Offer {
        let parameters = self.argsinfo.iter().flatten().map(|(name, info)| Parameter {
            name: name.clone().into(),
            description: info.description.clone().into(),
            required: info.required,
        });
        Offer {
            manager: manager.clone(),
            kind,
            name: self.step.clone(),
            interface: self.interface.clone().unwrap_or_else(|| "deploy".to_string()),
            priority: self.priority,
            abortable: self.abortable.or((kind != Kind::Deploy).then_some(true)),
            reboot_requested: self.reboot_requested,
            parameters: parameters.collect(),
            argsinfo: self.argsinfo.is_some(),
            action,
        }
    }
}
