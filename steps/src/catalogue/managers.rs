//! Who offers steps on this machine.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::table;
use crate::offer::{Manager, Offer};
use crate::plugin::{self, Unusable};
use crate::site::Site;
use crate::{StepError, container_step};

/// All managers of this machine, most specific first, and all they offer.
#[derive(Debug)]
pub(super) struct Managers {
    /// The managers.
    pub(super) all: Vec<Arc<Manager>>,
    /// Their steps of all families.
    pub(super) offers: Vec<Offer>,
    /// Why the steps file of the container manager cannot be used.
    pub(super) unusable: Option<StepError>,
    /// What else brings no steps, and why.
    pub(super) left_out: Vec<LeftOut>,
}

/// Why some steps are not in the catalogue.
#[derive(Debug, thiserror::Error)]
pub enum LeftOut {
    /// A plugin that cannot be used.
    #[error(transparent)]
    Plugin(#[from] Unusable),
    /// To Ironic managers are their names.
    #[error("another hardware manager has the name {0}, its steps are left out")]
    Twin(String),
}

impl Managers {
    /// Asks who is there: it looks for programs and runs step plugins, so it blocks.
    pub(super) fn of(site: &Site) -> Self {
        let mut found = Self { all: Vec::new(), offers: Vec::new(), unusable: None, left_out: Vec::new() };
        let generic = manager("GenericHardwareManager", "generic_hardware_manager", "1.2", 1);
        found.add(generic.clone(), table::generic(&generic, site));
        if on_coreos(site) {
            let class = "CoreOSInstallHardwareManager";
            let coreos = manager(class, class, "1", 3);
            found.add(coreos.clone(), table::coreos(&coreos, site));
        }
        let containers = container_step::generic_steps(site);
        let container_manager = containers.as_ref().map(|(manager, _)| manager.clone());
        let (plugins, unusable) = plugin::all(site);
        found.left_out.extend(unusable.into_iter().map(LeftOut::from));
        for (manager, offers) in containers.into_iter().chain(plugins) {
            found.add(manager, offers);
        }
        if let Some(manager) = container_manager {
            let taken = |name: &str| found.offers.iter().any(|offer| offer.name == name);
            match container_step::declared_steps(site, &manager, taken) {
                Ok(offers) => found.offers.extend(offers),
                Err(error) => found.unusable = Some(error),
            }
        }
        found.all.sort_by_key(|manager| std::cmp::Reverse(manager.support));
        for reason in &found.left_out {
            tracing::error!(%reason, "these steps cannot be used");
        }
        found
    }

    fn add(&mut self, manager: Arc<Manager>, offers: Vec<Offer>) {
        if self.all.iter().any(|other| other.class == manager.class || other.name == manager.name) {
            self.left_out.push(LeftOut::Twin(manager.class.clone()));
            return;
        }
        self.all.push(manager);
        self.offers.extend(offers);
    }

    /// Version by declared name.
    pub(super) fn versions(&self) -> Value {
        let pairs = self.all.iter().map(|manager| (manager.name.clone(), manager.version.clone().into()));
        pairs.collect::<Map<String, Value>>().into()
    }
}

fn manager(class: &str, name: &str, version: &str, support: u32) -> Arc<Manager> {
    Arc::new(Manager { class: class.into(), name: name.into(), version: version.into(), support })
}

/// A CoreOS live system, or any other that has its installer or can do without.
fn on_coreos(site: &Site) -> bool {
    let release = std::fs::read_to_string(site.options.host_root.join("etc/os-release")).unwrap_or_default();
    let is_coreos = release.lines().filter_map(|line| line.split_once('=')).any(|(key, value)| {
        let value = value.trim_matches('"');
        (key == "VARIANT_ID" && value == "coreos") || (key == "ID" && ["rhcos", "scos"].contains(&value))
    });
    is_coreos || site.options.core_os.native || site.tools.find("coreos-installer").is_ok()
}
