//! Power, boot override, drives and firmware of one machine, and how they act together.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::definition::{Architecture, Definition, Kind, Slot};
use super::machine::Machine;
use super::settings::Settings;
use super::start::{BootSource, Loaded, Start};

/// Power as Redfish names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Power {
    /// Running.
    On,
    /// Not running.
    Off,
    /// On its way up.
    PoweringOn,
    /// On its way down.
    PoweringOff,
}

/// How long a boot override lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Enabled {
    /// Not at all.
    Disabled,
    /// For the next start.
    Once,
    /// Until it is changed.
    Continuous,
}

/// What a machine is told to boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// No override.
    None,
    /// Network boot.
    Pxe,
    /// Virtual CD.
    Cd,
    /// Virtual USB stick.
    Usb,
    /// Disk.
    Hdd,
    /// UEFI HTTP boot.
    UefiHttp,
}

/// The `Boot` object of a system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// How long it lasts.
    pub enabled: Enabled,
    /// What to boot.
    pub target: Target,
    /// URL for [`Target::UefiHttp`].
    pub http_boot_uri: Option<String>,
}

impl Override {
    const NONE: Self = Self { enabled: Enabled::Disabled, target: Target::None, http_boot_uri: None };
}

/// The medium in a virtual drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Medium {
    /// Where it came from.
    pub url: String,
    /// Our copy of it; process machines have none.
    pub file: Option<PathBuf>,
}

/// A virtual drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// `Cd`, `Cd2`, `Usb`…
    pub id: String,
    /// What it is.
    pub slot: Slot,
    /// What is in it.
    pub medium: Option<Medium>,
}

/// One machine with everything its BMC knows about it.
#[derive(Debug)]
pub struct System {
    /// What it is made of.
    pub definition: Definition,
    /// Its boot override.
    pub boot: Override,
    /// Its virtual drives.
    pub drives: Vec<Drive>,
    /// Its firmware settings.
    pub settings: Settings,
    /// Whether Secure Boot is wanted at the next start.
    pub secure_boot: bool,
    /// Whether it was at the last one.
    pub secure_boot_now: bool,
    /// The task of settings that wait for the next start.
    pub waiting: Option<u64>,
    /// The version of its firmware, and of one that waits for the next start.
    pub firmware: (String, Option<String>),
    transition: Option<Power>,
    machine: Machine,
}

impl System {
    /// A machine that is off, with empty drives and no override.
    pub fn new(definition: Definition) -> Self {
        let machine = Machine::new(&definition);
        let cores = match &definition.kind {
            Kind::Qemu(qemu) => qemu.cores,
            Kind::Process(_) => 1,
        };
        let mut drives: Vec<Drive> = Vec::new();
        for slot in &definition.media {
            let name = match slot {
                Slot::Cd => "Cd",
                Slot::Usb => "Usb",
                Slot::Floppy => "Floppy",
            };
            let id = match drives.iter().filter(|drive| drive.slot == *slot).count() {
                0 => name.to_owned(),
                before => format!("{name}{}", before + 1),
            };
            drives.push(Drive { id, slot: *slot, medium: None });
        }
        Self {
            boot: Override::NONE,
            drives,
            settings: Settings::new(cores),
            secure_boot: false,
            secure_boot_now: false,
            waiting: None,
            firmware: ("1.0.0".into(), None),
            transition: None,
            machine,
            definition,
        }
    }

    /// Power now; a machine that switched itself off is off.
    pub fn power(&mut self) -> Power {
        match self.transition {
            Some(power) => power,
            None if self.machine.is_on() => Power::On,
            None => Power::Off,
        }
    }

    /// Marks the machine as on its way (or, with none, as arrived).
    pub fn set_transition(&mut self, power: Option<Power>) {
        self.transition = power;
    }

    /// Whether it can boot by BIOS at all.
    pub fn knows_legacy(&self) -> bool {
        match &self.definition.kind {
            Kind::Qemu(qemu) => qemu.architecture == Architecture::X86_64,
            Kind::Process(_) => true,
        }
    }

    /// Switches on, booting what the override says; a one-time override is used up, and waiting settings and firmware come
    /// into force.
    ///
    /// # Errors
    /// When the machine cannot be started.
    pub fn switch_on(&mut self) -> io::Result<()> {
        let target = if self.boot.enabled == Enabled::Disabled { Target::None } else { self.boot.target };
        let source = match target {
            Target::None | Target::Hdd => BootSource::Disk,
            Target::Pxe => BootSource::Pxe,
            Target::Cd => BootSource::Cd,
            Target::Usb => BootSource::Usb,
            Target::UefiHttp => BootSource::UefiHttp(self.boot.http_boot_uri.clone()),
        };
        if self.boot.enabled == Enabled::Once {
            self.boot = Override::NONE;
        }
        self.transition = None;
        self.settings.apply();
        if let Some(version) = self.firmware.1.take() {
            self.firmware.0 = version;
        }
        let legacy = self.settings.is_legacy();
        self.secure_boot_now = self.secure_boot && !legacy;
        let (secure_boot, cores) = (self.secure_boot_now, self.settings.cores());
        let loaded = |(number, drive): (usize, &'_ Drive)| -> (usize, Slot, Option<PathBuf>) {
            (number, drive.slot, drive.medium.as_ref().and_then(|medium| medium.file.clone()))
        };
        let files: Vec<_> = self.drives.iter().enumerate().map(loaded).collect();
        let drives =
            files.iter().map(|(number, slot, file)| Loaded { number: *number, slot: *slot, file: file.as_deref() });
        self.machine.start(&Start { source, drives: drives.collect(), legacy, secure_boot, cores })
    }

    /// Takes the power away.
    pub fn switch_off(&mut self) {
        self.machine.stop();
        self.transition = None;
    }

    /// Asks the machine to shut down.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn shut_down(&mut self) -> io::Result<()> {
        self.machine.shut_down()
    }

    /// Interrupts it (NMI).
    ///
    /// # Errors
    /// When it cannot be.
    pub fn interrupt(&mut self) -> io::Result<()> {
        self.machine.interrupt()
    }

    /// Forgets the keys of Secure Boot: they are the factory's at its next start.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub fn forget_keys(&mut self) -> io::Result<()> {
        self.machine.forget_keys()
    }

    /// The number of a drive.
    pub fn drive(&self, id: &str) -> Option<usize> {
        self.drives.iter().position(|drive| drive.id == id)
    }

    /// Where the medium of a drive is to be stored before it is inserted.
    pub fn media_file(&self, number: usize) -> Option<PathBuf> {
        Some(self.machine.media_dir()?.join(format!("{}.img", self.drives[number].id.to_lowercase())))
    }

    /// Inserts `medium` into a drive, or ejects with none.
    ///
    /// # Errors
    /// When a running machine refuses the change.
    pub fn change_medium(&mut self, number: usize, medium: Option<Medium>) -> io::Result<()> {
        let drive = &self.drives[number];
        if medium.is_some() || drive.medium.is_some() || drive.slot == Slot::Cd {
            let file = medium.as_ref().and_then(|medium| medium.file.as_deref());
            self.machine.change(Loaded { number, slot: drive.slot, file })?;
        }
        self.drives[number].medium = medium;
        Ok(())
    }
}
