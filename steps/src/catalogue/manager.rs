//! Who offers steps. To Ironic each manager is a class name, a declared name and a version.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::offer::Offer;
use super::table;
use crate::container_step;
use crate::plugin;
use crate::site::Site;

/// A hardware manager.
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

impl Manager {
    fn new(class: &str, name: &str, version: &str, support: u32) -> Arc<Self> {
        Arc::new(Self { class: class.into(), name: name.into(), version: version.into(), support })
    }
}

/// All managers of this machine, most specific first, and all they offer.
#[derive(Debug)]
pub struct Roster {
    /// The managers.
    pub managers: Vec<Arc<Manager>>,
    /// Their steps of all families.
    pub offers: Vec<Offer>,
}

impl Roster {
    /// Asks who is there: it looks for programs and runs step plugins, so it blocks.
    pub fn of(site: &Site) -> Self {
        let mut roster = Self { managers: Vec::new(), offers: Vec::new() };
        let generic = Manager::new("GenericHardwareManager", "generic_hardware_manager", "1.2", 1);
        roster.add(generic.clone(), table::generic(&generic, site));
        if on_coreos(site) {
            let class = "CoreOSInstallHardwareManager";
            let coreos = Manager::new(class, class, "1", 3);
            roster.add(coreos.clone(), table::coreos(&coreos, site));
        }
        for (manager, offers) in container_step::all(site).into_iter().chain(plugin::all(site)) {
            roster.add(manager, offers);
        }
        roster.managers.sort_by_key(|manager| std::cmp::Reverse(manager.support));
        roster
    }

    /// To Ironic managers are their names: a second one of the same name is left out.
    fn add(&mut self, manager: Arc<Manager>, offers: Vec<Offer>) {
        if self.managers.iter().any(|other| other.class == manager.class || other.name == manager.name) {
            tracing::error!(manager = manager.class, "another hardware manager has this name, its steps are left out");
            return;
        }
        self.managers.push(manager);
        self.offers.extend(offers);
    }

    /// Version by declared name.
    pub fn versions(&self) -> Value {
        let pairs = self.managers.iter().map(|manager| (manager.name.clone(), manager.version.clone().into()));
        pairs.collect::<Map<String, Value>>().into()
    }
}

/// A CoreOS live system, or any other that has its installer.
fn on_coreos(site: &Site) -> bool {
    let release = std::fs::read_to_string(site.options.host_root.join("etc/os-release")).unwrap_or_default();
    let is_coreos = release.lines().filter_map(|line| line.split_once('=')).any(|(key, value)| {
        let value = value.trim_matches('"');
        (key == "VARIANT_ID" && value == "coreos") || (key == "ID" && ["rhcos", "scos"].contains(&value))
    });
    is_coreos || site.tools.find("coreos-installer").is_ok()
}
