//! What an operation is about to do: written before it is done, so that a conductor that is started again knows.

use serde::{Deserialize, Serialize};

use crate::state::PowerState;

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
    /// The machine is switched, in this order.
    Power(Vec<PowerState>),
    /// A medium is inserted, or the drives are emptied.
    Media(Option<String>),
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
