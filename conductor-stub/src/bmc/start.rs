//! What a machine is started with.

use std::io;
use std::path::Path;
use std::process::Command;

use super::definition::Slot;

/// What the machine boots this time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootSource {
    /// What firmware and disk have agreed on.
    Disk,
    /// The first CD of the virtual media.
    Cd,
    /// The first USB stick of the virtual media.
    Usb,
    /// Network boot by the NIC.
    Pxe,
    /// UEFI HTTP boot of this URL; without one, DHCP says what to fetch.
    UefiHttp(Option<String>),
}

impl BootSource {
    /// What firmware is told to fetch.
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::UefiHttp(url) => url.as_deref(),
            _ => None,
        }
    }
}

/// A virtual drive and the file in it.
#[derive(Debug, Clone, Copy)]
pub struct Loaded<'a> {
    /// Its number among the machine's drives.
    pub number: usize,
    /// What it is.
    pub slot: Slot,
    /// The image in it.
    pub file: Option<&'a Path>,
}

/// Everything that may be different from start to start.
#[derive(Debug, Clone)]
pub struct Start<'a> {
    /// What boots.
    pub source: BootSource,
    /// The virtual drives.
    pub drives: Vec<Loaded<'a>>,
    /// BIOS instead of UEFI.
    pub legacy: bool,
    /// UEFI Secure Boot.
    pub secure_boot: bool,
    /// Processor cores.
    pub cores: u32,
}

/// A command that does not outlive the BMC, even if that is killed.
pub(crate) fn mortal(words: &[String]) -> io::Result<Command> {
    if words.is_empty() {
        return Err(io::Error::other("the machine's command is empty"));
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).args(words);
    Ok(command)
}
