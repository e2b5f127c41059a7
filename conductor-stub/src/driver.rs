//! What a conductor can do to a machine from outside: switch it on and off, and choose what it boots.
//!
//! One hardware type, one file: [`fake`] does nothing and remembers, [`local_process`] runs an agent
//! on this machine, [`redfish`] talks to a BMC. A node's `driver` names its hardware type.

pub mod fake;
pub mod local_process;
pub mod redfish;

use std::collections::BTreeMap;
use std::fmt;

use futures_util::future::BoxFuture;

use crate::conductor::Conductor;
use crate::node::Node;
use crate::state::PowerState;

/// A machine could not be controlled; the text names what was tried and why it failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct DriverError(pub String);

/// What a driver call comes to.
pub type Outcome<'a, T> = BoxFuture<'a, Result<T, DriverError>>;

/// Kernel parameters for the ramdisk (`ipa-api-url` and so on).
pub type Parameters = BTreeMap<&'static str, String>;

/// A virtual drive and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// `CD`, `DVD`…
    pub media_types: Vec<String>,
    /// URL of the medium, if there is one.
    pub image: Option<String>,
}

/// A hardware type.
pub trait Driver: Send + Sync + fmt::Debug {
    /// Whether `driver_info` has what is needed.
    ///
    /// # Errors
    /// Names what is missing.
    fn validate(&self, node: &Node) -> Result<(), DriverError>;

    /// Asks the machine whether it is on.
    fn power_state<'a>(&'a self, node: &'a Node) -> Outcome<'a, PowerState>;

    /// Switches the machine and returns when that is done.
    fn set_power<'a>(&'a self, node: &'a mut Node, to: PowerState) -> Outcome<'a, ()>;

    /// The next power-on boots the agent's ramdisk with these parameters.
    fn prepare_ramdisk<'a>(
        &'a self,
        conductor: &'a Conductor,
        node: &'a mut Node,
        parameters: &'a Parameters,
    ) -> Outcome<'a, ()>;

    /// The next power-on boots the machine's own disk; media and overrides of the ramdisk are taken away.
    fn prepare_instance<'a>(&'a self, conductor: &'a Conductor, node: &'a mut Node) -> Outcome<'a, ()>;

    /// Every power-on from now on boots the ISO at `url`.
    fn prepare_iso<'a>(&'a self, _conductor: &'a Conductor, node: &'a Node, _url: &'a str) -> Outcome<'a, ()> {
        no_media(node)
    }

    /// The machine's virtual drives.
    fn drives<'a>(&'a self, node: &'a Node) -> Outcome<'a, Vec<Drive>> {
        no_media(node)
    }

    /// Puts the image at `url` into a virtual CD, whether the machine runs or not.
    fn attach<'a>(&'a self, node: &'a Node, _url: &'a str) -> Outcome<'a, ()> {
        no_media(node)
    }

    /// Empties the virtual drives.
    fn detach<'a>(&'a self, node: &'a Node) -> Outcome<'a, ()> {
        no_media(node)
    }

    /// Whether there is a machine of its own, with firmware and power that the agent may change from inside.
    fn is_machine(&self) -> bool;
}

fn no_media<'a, T: Send + 'a>(node: &Node) -> Outcome<'a, T> {
    let text = format!("driver {} has no virtual media", node.spec.driver);
    Box::pin(std::future::ready(Err(DriverError(text))))
}
