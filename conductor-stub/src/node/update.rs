//! An update of a machine's firmware that a step is at.

use serde::{Deserialize, Serialize};

/// One update, and how far it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Update {
    /// `bios`, `bmc`, `nic:` with a serial number.
    pub component: String,
    /// Where the BMC fetches the firmware.
    pub url: String,
    /// Seconds to wait after it.
    pub wait: u64,
    /// The version before, as far as that is known.
    pub before: Option<String>,
    /// How far it is.
    pub stage: Stage,
    /// When it was sent, seconds since the epoch.
    pub began: f64,
    /// Whether the machine was started anew since.
    pub is_restarted: bool,
}

/// How far an update is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It is to be sent.
    Due,
    /// It is being sent; a conductor that finds this does not know whether it was.
    Sending,
    /// The BMC is at it, and tells how that goes at these paths: the first that is there.
    Running(Vec<String>),
    /// It is over.
    Done,
}

impl Update {
    /// Whether it comes into force, or even begins, when the machine is started: all but a BMC's own do.
    pub fn needs_start(&self) -> bool {
        self.component != "bmc"
    }
}
