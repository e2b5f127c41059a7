//! A machine that is a local program: the agent of a ramdisk, without the ramdisk.

use std::fs::OpenOptions;
use std::io;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::definition::ProcessMachine;
use super::start::{BootSource, mortal};

/// A process machine and what runs in it.
#[derive(Debug)]
pub(super) struct ProcessState {
    machine: ProcessMachine,
    power: Power,
}

#[derive(Debug)]
enum Power {
    Off,
    /// On and running its disk, of which there is nothing to see.
    Disk,
    Ramdisk(Child),
}

impl ProcessState {
    pub(super) fn new(machine: ProcessMachine) -> Self {
        Self { machine, power: Power::Off }
    }

    pub(super) fn start(&mut self, boot: &BootSource) -> io::Result<()> {
        self.stop();
        if *boot == BootSource::Disk {
            self.power = Power::Disk;
            return Ok(());
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.machine.log)?;
        let child = mortal(&self.machine.command)?
            .envs(&self.machine.environment)
            .envs(boot.url().map(|url| ("BOOT_URL", url)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.power = Power::Ramdisk(child);
        Ok(())
    }

    pub(super) fn stop(&mut self) {
        if let Power::Ramdisk(child) = &mut self.power {
            // Both only fail when it has ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        self.power = Power::Off;
    }

    pub(super) fn shut_down(&mut self) -> io::Result<()> {
        match &self.power {
            Power::Ramdisk(child) => Ok(kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM)?),
            Power::Disk | Power::Off => {
                self.power = Power::Off;
                Ok(())
            }
        }
    }

    pub(super) fn is_on(&mut self) -> bool {
        if let Power::Ramdisk(child) = &mut self.power
            && !matches!(child.try_wait(), Ok(None))
        {
            self.power = Power::Off;
        }
        !matches!(self.power, Power::Off)
    }
}

impl Drop for ProcessState {
    fn drop(&mut self) {
        self.stop();
    }
}
