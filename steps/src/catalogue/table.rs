//! The built-in steps, one value each.

use std::sync::Arc;

use super::manager::Manager;
use super::offer::{Action, Argument, BuiltIn, Offer};
use crate::clean;
use crate::deploy;
use crate::options::Options;
use crate::site::Site;
use crate::step::Kind;

/// A step, its priority in each family that has it, and what runs.
struct Entry {
    name: &'static str,
    interface: &'static str,
    /// Priority as a clean step.
    clean: Option<i64>,
    /// Priority as a deploy step.
    deploy: Option<i64>,
    /// Priority as a service step.
    service: Option<i64>,
    /// Whether Ironic may abort it as a service step; every clean step may be aborted, no deploy step says.
    abortable_service: bool,
    /// The option that holds its priority in place of those above.
    priority_option: Option<fn(&Options) -> i64>,
    /// Name, description, whether it is required.
    arguments: &'static [(&'static str, &'static str, bool)],
    /// Whether Ironic is told of the arguments. It then refuses others, so steps that take what it sends on its own
    /// (`write_image`) keep silent, as those of the Python agent do.
    argsinfo: bool,
    action: BuiltIn,
}

/// What runs, from the function of a step.
macro_rules! run {
    ($function:path) => {
        |step, arguments| Box::pin(async move { $function(&step, &arguments).await })
    };
}

/// A deploy-interface step without arguments in no family yet.
const fn step(name: &'static str, action: BuiltIn) -> Entry {
    Entry {
        name,
        interface: "deploy",
        clean: None,
        deploy: None,
        service: None,
        abortable_service: false,
        priority_option: None,
        arguments: &[],
        argsinfo: false,
        action,
    }
}

const RAID_CONFIG: (&str, &str, bool) = ("raid_config", "The RAID configuration to apply.", true);

const GENERIC: &[Entry] = &[
    Entry { clean: Some(10), ..step("erase_devices", run!(clean::erase::erase_devices)) },
    Entry {
        clean: Some(99),
        deploy: Some(0),
        ..step("erase_devices_metadata", run!(clean::metadata::erase_devices_metadata))
    },
    Entry { clean: Some(0), ..step("erase_devices_express", run!(clean::express::erase_devices_express)) },
    Entry { clean: Some(0), ..step("erase_pstore", run!(clean::pstore::erase_pstore)) },
    Entry {
        clean: Some(0),
        deploy: Some(0),
        arguments: &[(
            "match_patterns",
            "Regular expressions; boot entries whose device path matches one of them are deleted. \
             Default: hard disk paths, shim and GRUB.",
            false,
        )],
        argsinfo: true,
        ..step("clean_uefi_nvram", run!(clean::uefi_nvram::clean_uefi_nvram))
    },
    Entry {
        interface: "raid",
        clean: Some(0),
        service: Some(0),
        abortable_service: true,
        ..step("delete_configuration", run!(clean::raid::delete_configuration))
    },
    Entry {
        interface: "raid",
        deploy: Some(0),
        service: Some(0),
        arguments: &[
            RAID_CONFIG,
            ("delete_existing", "Whether existing software RAID is deleted first. Default: true.", false),
        ],
        argsinfo: true,
        ..step("apply_configuration", run!(clean::raid::apply_configuration))
    },
    Entry {
        interface: "raid",
        clean: Some(0),
        service: Some(0),
        abortable_service: true,
        ..step("create_configuration", run!(clean::raid::create_configuration))
    },
    Entry {
        clean: Some(0),
        service: Some(0),
        abortable_service: true,
        ..step("burnin_cpu", run!(clean::burnin::burnin_cpu))
    },
    Entry {
        clean: Some(0),
        service: Some(0),
        abortable_service: true,
        ..step("burnin_gpu", run!(clean::burnin::burnin_gpu))
    },
    Entry { clean: Some(0), ..step("burnin_disk", run!(clean::burnin::burnin_disk)) },
    Entry {
        clean: Some(0),
        service: Some(0),
        abortable_service: true,
        ..step("burnin_memory", run!(clean::burnin::burnin_memory))
    },
    Entry {
        clean: Some(0),
        service: Some(0),
        abortable_service: true,
        ..step("burnin_network", run!(clean::burnin::burnin_network))
    },
    Entry {
        deploy: Some(0),
        service: Some(0),
        arguments: &[
            ("image_info", "The image: URLs, checksum, format.", true),
            ("configdrive", "Config drive, base64 of gzip, or its URL.", false),
        ],
        ..step("write_image", run!(deploy::write_image::write_image))
    },
    Entry {
        deploy: Some(0),
        service: Some(0),
        priority_option: Some(|options| options.inject_files_priority),
        arguments: &[
            ("files", "Files to inject, after those of the node property inject_files.", false),
            ("verify_ca", "Whether certificates of file URLs are verified. Default: true.", false),
        ],
        argsinfo: true,
        ..step("inject_files", run!(deploy::inject_files::inject_files))
    },
    Entry {
        deploy: Some(0),
        service: Some(0),
        arguments: &[
            ("image_source", "The container image to install.", true),
            ("configdrive", "Config drive, base64 of gzip, or its URL.", false),
            ("oci_pull_secret", "Credentials of the registry.", false),
            ("pull_secret", "The same, as the command execute_bootc_install calls it.", false),
            ("instance_info", "That of the node, unless given.", false),
        ],
        ..step("execute_bootc_install", run!(deploy::bootc::execute_bootc_install))
    },
];

const COREOS: &[Entry] = &[
    Entry {
        deploy: Some(0),
        arguments: &[(
            "ignition",
            "Ignition configuration 3.x, as an object or JSON text. Default: user_data of the config drive.",
            false,
        )],
        argsinfo: true,
        ..step("install_coreos", run!(deploy::install_coreos::install_coreos))
    },
    Entry {
        deploy: Some(0),
        argsinfo: true,
        ..step("start_assisted_install", run!(deploy::assisted_install::start_assisted_install))
    },
];

/// The steps of the generic manager.
pub(super) fn generic(manager: &Arc<Manager>, site: &Site) -> Vec<Offer> {
    offers(GENERIC, manager, site)
}

/// The steps of the CoreOS manager.
pub(super) fn coreos(manager: &Arc<Manager>, site: &Site) -> Vec<Offer> {
    offers(COREOS, manager, site)
}

fn offers(entries: &[Entry], manager: &Arc<Manager>, site: &Site) -> Vec<Offer> {
    let families =
        |entry: &Entry| [(Kind::Clean, entry.clean), (Kind::Deploy, entry.deploy), (Kind::Service, entry.service)];
    entries
        .iter()
        .flat_map(|entry| families(entry).map(|(kind, priority)| (entry, kind, priority)))
        .filter_map(|(entry, kind, priority)| Some(entry.offer(kind, priority?, manager, site)))
        .collect()
}

impl Entry {
    fn offer(&self, kind: Kind, priority: i64, manager: &Arc<Manager>, site: &Site) -> Offer {
        let from_option = self.priority_option.map(|read| read(&site.options));
        Offer {
            manager: manager.clone(),
            kind,
            name: self.name.into(),
            interface: self.interface.into(),
            priority: from_option.unwrap_or(priority),
            abortable: match kind {
                Kind::Clean => Some(true),
                Kind::Deploy => None,
                Kind::Service => self.abortable_service.then_some(true),
            },
            reboot_requested: false,
            arguments: Some(self.arguments.iter().map(argument).collect()),
            argsinfo: self.argsinfo,
            action: Action::BuiltIn(self.action),
        }
    }
}

fn argument(&(name, description, required): &(&str, &str, bool)) -> Argument {
    Argument { name: name.into(), description: description.into(), required }
}
