//! Power, boot override and virtual media of one machine, and how they act together.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::machine::{BootSource, Machine};

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

/// The medium in the virtual CD drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Medium {
    /// Where it came from.
    pub url: String,
    /// Our copy of it; process machines have none.
    pub file: Option<PathBuf>,
}

/// One machine with everything its BMC knows about it.
#[derive(Debug)]
pub struct System {
    /// What it is made of.
    pub definition: Definition,
    /// Its boot override.
    pub boot: Override,
    /// What is in the drive.
    pub medium: Option<Medium>,
    /// Counts changes; makes the ETag.
    pub revision: u64,
    transition: Option<Power>,
    machine: Machine,
}

impl System {
    /// A machine that is off, with an empty drive and no override.
    pub fn new(definition: Definition) -> Self {
        let machine = Machine::new(&definition);
        let boot = Override { enabled: Enabled::Disabled, target: Target::None, http_boot_uri: None };
        Self { definition, boot, medium: None, revision: 0, transition: None, machine }
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
        self.revision += 1;
    }

    /// Switches on, booting what the override says; a one-time override is used up.
    ///
    /// # Errors
    /// When the machine cannot be started.
    pub fn switch_on(&mut self) -> io::Result<()> {
        let target = if self.boot.enabled == Enabled::Disabled { Target::None } else { self.boot.target };
        let source = match target {
            Target::None | Target::Hdd => BootSource::Disk,
            Target::Pxe => BootSource::Pxe,
            Target::Cd => BootSource::Cd,
            Target::UefiHttp => BootSource::UefiHttp(self.boot.http_boot_uri.clone()),
        };
        if self.boot.enabled == Enabled::Once {
            self.boot = Override { enabled: Enabled::Disabled, target: Target::None, http_boot_uri: None };
        }
        self.transition = None;
        self.revision += 1;
        let cd = self.medium.as_ref().and_then(|medium| medium.file.as_deref());
        self.machine.start(&source, cd)
    }

    /// Takes the power away.
    pub fn switch_off(&mut self) {
        self.machine.stop();
        self.transition = None;
        self.revision += 1;
    }

    /// Asks the machine to shut down.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn shut_down(&mut self) -> io::Result<()> {
        self.revision += 1;
        self.machine.shut_down()
    }

    /// Where a medium is to be stored before it is inserted.
    pub fn media_dir(&self) -> Option<PathBuf> {
        self.machine.media_dir()
    }

    /// Inserts `medium`, or ejects with none.
    ///
    /// # Errors
    /// When a running machine refuses the change.
    pub fn change_medium(&mut self, medium: Option<Medium>) -> io::Result<()> {
        self.machine.change_cd(medium.as_ref().and_then(|medium| medium.file.as_deref()))?;
        self.medium = medium;
        self.revision += 1;
        Ok(())
    }
}
