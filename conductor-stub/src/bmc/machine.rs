//! Something that can be switched on and off.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::definition::{Definition, Kind};
use super::process::ProcessState;
use super::qemu::QemuState;

/// What the machine boots this time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootSource {
    /// What firmware and disk have agreed on.
    Disk,
    /// The CD of the virtual media.
    Cd,
    /// Network boot by the NIC.
    Pxe,
    /// UEFI HTTP boot of this URL; without one, DHCP says what to fetch.
    UefiHttp(Option<String>),
}

/// A machine of either kind, running or not.
#[derive(Debug)]
pub struct Machine(Running);

#[derive(Debug)]
enum Running {
    Process(ProcessState),
    Qemu(QemuState),
}

impl Machine {
    /// The machine that `definition` describes, off.
    pub fn new(definition: &Definition) -> Self {
        Self(match &definition.kind {
            Kind::Process(machine) => Running::Process(ProcessState::new(machine.clone())),
            Kind::Qemu(machine) => Running::Qemu(QemuState::new(machine.clone(), definition)),
        })
    }

    /// Switches it on, with `cd` (an image file) in the drive.
    ///
    /// # Errors
    /// When its program cannot be started.
    pub fn start(&mut self, boot: &BootSource, cd: Option<&Path>) -> io::Result<()> {
        match &mut self.0 {
            Running::Process(machine) => machine.start(boot),
            Running::Qemu(machine) => machine.start(boot, cd),
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

    /// Whether it has not switched itself off meanwhile.
    pub fn is_on(&mut self) -> bool {
        match &mut self.0 {
            Running::Process(machine) => machine.is_on(),
            Running::Qemu(machine) => machine.is_on(),
        }
    }

    /// Puts `cd` into the drive of a running machine, or empties the drive.
    ///
    /// # Errors
    /// When the running machine refuses.
    pub fn change_cd(&mut self, cd: Option<&Path>) -> io::Result<()> {
        match &mut self.0 {
            Running::Process(_) => Ok(()),
            Running::Qemu(machine) => machine.change_cd(cd),
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

/// A command that does not outlive the BMC, even if that is killed.
pub(super) fn mortal(words: &[String]) -> io::Result<Command> {
    if words.is_empty() {
        return Err(io::Error::other("the machine's command is empty"));
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).args(words);
    Ok(command)
}
