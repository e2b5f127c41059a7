//! Something that can be switched on and off.

use std::io;
use std::path::PathBuf;

use super::definition::{Definition, Kind};
use super::process::ProcessState;
use super::qemu::QemuState;
use super::start::{Loaded, Start};

/// A machine of either kind, running or not.
#[derive(Debug)]
pub struct Machine(Running);

#[derive(Debug)]
enum Running {
    Process(ProcessState),
    Qemu(Box<QemuState>),
}

impl Machine {
    /// The machine that `definition` describes, off.
    pub fn new(definition: &Definition) -> Self {
        Self(match &definition.kind {
            Kind::Process(machine) => Running::Process(ProcessState::new(machine.clone())),
            Kind::Qemu(machine) => Running::Qemu(Box::new(QemuState::new(machine.clone(), definition))),
        })
    }

    /// Switches it on.
    ///
    /// # Errors
    /// When its program cannot be started.
    pub fn start(&mut self, start: &Start<'_>) -> io::Result<()> {
        match &mut self.0 {
            Running::Process(machine) => machine.start(&start.source),
            Running::Qemu(machine) => machine.start(start),
        }
    }

    /// Takes the power away at once.
    pub fn stop(&mut self) {
        match &mut self.0 {
            Running::Process(machine) => machine.stop(),
            Running::Qemu(machine) => machine.stop(),
        }
    }

    /// Asks the machine to shut itself down.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn shut_down(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Running::Process(machine) => machine.shut_down(),
            Running::Qemu(machine) => machine.shut_down(),
        }
    }

    /// Interrupts it (NMI).
    ///
    /// # Errors
    /// When it cannot be.
    pub fn interrupt(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Running::Process(_) => Ok(()),
            Running::Qemu(machine) => machine.interrupt(),
        }
    }

    /// Whether it has not switched itself off meanwhile.
    pub fn is_on(&mut self) -> bool {
        match &mut self.0 {
            Running::Process(machine) => machine.is_on(),
            Running::Qemu(machine) => machine.is_on(),
        }
    }

    /// Puts a file into a drive of a running machine, or empties it.
    ///
    /// # Errors
    /// When the running machine refuses.
    pub fn change(&mut self, drive: Loaded<'_>) -> io::Result<()> {
        match &mut self.0 {
            Running::Process(_) => Ok(()),
            Running::Qemu(machine) => machine.change(drive),
        }
    }

    /// Forgets the keys of Secure Boot.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub fn forget_keys(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Running::Process(_) => Ok(()),
            Running::Qemu(machine) => machine.forget_keys(),
        }
    }

    /// The folder for downloaded media; a process machine has no drive to put them in.
    pub fn media_dir(&self) -> Option<PathBuf> {
        match &self.0 {
            Running::Process(_) => None,
            Running::Qemu(machine) => Some(machine.media_dir()),
        }
    }
}
