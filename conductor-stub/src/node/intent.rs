//! What an operation is about to do: written before it is done, so that a conductor that is started again knows.

use serde::{Deserialize, Serialize};

use crate::state::{BootMode, PowerState};

/// What is being done to the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// The ramdisk is booted.
    Boot(BootStage),
    /// The instance is booted, after the ramdisk.
    BootInstance(BootStage),
    /// The operation has failed: what it prepared is taken back, and this is told.
    Fail(String),
    /// The operation was ended by its owner; the same.
    Abort(String),
    /// The machine is switched.
    Power(Switching),
    /// A medium is inserted, or the drives are emptied.
    Media(Option<String>),
    /// The media of the instance are taken away, and the disk boots next.
    Detach,
    /// The machine is to boot in this mode.
    BootMode(BootMode),
    /// The machine is to boot with Secure Boot, or without.
    SecureBoot(bool),
}

/// What is left of a change of power.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switching {
    /// In this order.
    pub left: Vec<PowerState>,
    /// The operating system is asked to end, and has so many seconds for it; without this, the machine is switched off.
    pub soft: Option<u64>,
}

/// How far a boot is; each stage may be done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootStage {
    /// The machine is switched off, then everything is prepared.
    Prepare,
    /// The machine is switched on. If it is on, that was done.
    SwitchOn,
}
