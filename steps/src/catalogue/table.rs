//! The built-in steps, one value each.

use std::sync::Arc;

use crate::arguments::{Arguments, FromArguments, Parameter};
use crate::clean::{burnin, erase, express, metadata, pstore, raid, uefi_nvram};
use crate::deploy::{assisted_install, bootc, inject_files, install_coreos, write_image};
use crate::offer::{Action, Manager, Offer, Running};
use crate::options::Options;
use crate::site::Site;
use crate::step::{Kind, Step};

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
    /// What it takes.
    parameters: &'static [Parameter],
    /// Whether Ironic is told of the arguments. It then refuses others, so steps that take what it sends on its own
    /// (`write_image`) keep silent, as those of the Python agent do.
    argsinfo: bool,
    run: fn(Step, Arguments) -> Running,
}

/// A step of this name in no family yet: what it takes comes from the type of its function's arguments.
macro_rules! step {
    ($name:literal, $function:path) => {
        step!($name, |step: Step, ()| async move { $function(&step).await }, ())
    };
    ($name:literal, $function:path, $arguments:ty) => {
        step!($name, |step: Step, arguments| async move { $function(&step, arguments).await }, $arguments)
    };
    ($name:literal, $work:expr, $arguments:ty) => {
        Entry {
            name: $name,
            interface: "deploy",
            clean: None,
            deploy: None,
            service: None,
            abortable_service: false,
            priority_option: None,
            parameters: <$arguments as FromArguments>::PARAMETERS,
            argsinfo: false,
            run: |step, arguments| {
                Box::pin(async move {
                    let arguments = <$arguments as FromArguments>::from_arguments(&arguments, &step)?;
                    ($work)(step, arguments).await
                })
            },
        }
    };
}

const GENERIC: &[Entry] = &[
    Entry { clean: Some(10), ..step!("erase_devices", erase::erase_devices) },
    Entry { clean: Some(99), deploy: Some(0), ..step!("erase_devices_metadata", metadata::erase_devices_metadata) },
    Entry { clean: Some(0), ..step!("erase_devices_express", express::erase_devices_express) },
    Entry { clean: Some(0), ..step!("erase_pstore", pstore::erase_pstore) },
    Entry {
        clean: Some(0),
        deploy: Some(0),
        argsinfo: true,
        ..step!("clean_uefi_nvram", uefi_nvram::clean_uefi_nvram, uefi_nvram::CleanUefiNvram)
    },
    Entry {
        interface: "raid",
        clean: Some(0),
        service: Some(0),
        abortable_service: true,
        ..step!("delete_configuration", raid::delete_configuration)
    },
    Entry {
        interface: "raid",
        deploy: Some(0),
        service: Some(0),
        argsinfo: true,
        ..step!("apply_configuration", raid::apply_configuration, raid::ApplyConfiguration)
    },
    Entry {
        interface: "raid",
        clean: Some(0),
        service: Some(0),
        abortable_service: true,
        ..step!("create_configuration", raid::create_configuration)
    },
    Entry { clean: Some(0), service: Some(0), abortable_service: true, ..step!("burnin_cpu", burnin::burnin_cpu) },
    Entry { clean: Some(0), service: Some(0), abortable_service: true, ..step!("burnin_gpu", burnin::burnin_gpu) },
    Entry { clean: Some(0), ..step!("burnin_disk", burnin::burnin_disk) },
    Entry {
        clean: Some(0),
        service: Some(0),
        abortable_service: true,
        ..step!("burnin_memory", burnin::burnin_memory)
    },
    Entry {
        clean: Some(0),
        service: Some(0),
        abortable_service: true,
        ..step!("burnin_network", burnin::burnin_network)
    },
    Entry {
        deploy: Some(0),
        service: Some(0),
        ..step!("write_image", write_image::write_image, write_image::WriteImage)
    },
    Entry {
        deploy: Some(0),
        service: Some(0),
        priority_option: Some(|options| options.inject_files_priority),
        argsinfo: true,
        ..step!("inject_files", inject_files::inject_files, inject_files::InjectFiles)
    },
    Entry {
        deploy: Some(0),
        service: Some(0),
        ..step!("execute_bootc_install", bootc::execute_bootc_install, bootc::ExecuteBootcInstall)
    },
];

const COREOS: &[Entry] = &[
    Entry {
        deploy: Some(0),
        argsinfo: true,
        ..step!("install_coreos", install_coreos::install_coreos, install_coreos::InstallCoreos)
    },
    Entry {
        deploy: Some(0),
        argsinfo: true,
        ..step!("start_assisted_install", assisted_install::start_assisted_install)
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
            parameters: self.parameters.to_vec(),
            argsinfo: self.argsinfo,
            action: Action::new(self.run),
        }
    }
}
