//! What a conductor can do to a machine from outside: switch it on and off, and choose what it boots.
//!
//! One hardware type, one file: [`fake`] does nothing and remembers, [`local_process`] runs an agent
//! on this machine, [`redfish`] talks to a BMC. A node's `driver` names its hardware type. A driver knows the
//! [`BootServices`](crate::services::BootServices) that it is made with, and nothing else of the conductor. [`properties`] says what each reads of a node,
//! [`management`] and [`firmware`] what its owner may ask of its firmware.

pub mod fake;
pub mod firmware;
pub mod local_process;
pub mod management;
pub mod properties;
pub mod redfish;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::node::Node;
use crate::ramdisk::Parameters;
use crate::ramdisk::sources::Linux;
use crate::state::PowerState;
use firmware::Firmware;
use management::Management;

/// A machine could not be controlled; the text names what was tried and why it failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct DriverError(pub String);

/// What a driver call returns.
pub type DriverFuture<'a, T> = BoxFuture<'a, Result<T, DriverError>>;

/// A virtual drive and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// `CD`, `DVD`…
    pub media_types: Vec<String>,
    /// URL of the medium, if there is one.
    pub image: Option<String>,
}

/// A machine as it is seen from outside.
#[derive(Debug, Clone, PartialEq)]
pub struct Inventory {
    /// As an agent's.
    pub inventory: Value,
    /// Size of the smallest disk that is large enough to install on, in bytes.
    pub disk_bytes: Option<u64>,
}

/// A hardware type.
pub trait Driver: Send + Sync + fmt::Debug {
    /// Whether `driver_info` has what is needed.
    ///
    /// # Errors
    /// Names what is missing.
    fn validate(&self, node: &Node) -> Result<(), DriverError>;

    /// Reaches for what controls the machine; one connection serves a whole operation.
    ///
    /// # Errors
    /// When `driver_info` is not enough. Whether anybody answers shows at the first request.
    fn connect(&self, node: &Node) -> Result<Box<dyn Connection>, DriverError>;

    /// Whether there is a machine of its own, with firmware and power that the agent may change from inside.
    fn is_machine(&self) -> bool;
}

/// A connection to what controls one machine.
pub trait Connection: Send + Sync + fmt::Debug {
    /// Asks the machine whether it is on.
    fn power_state<'a>(&'a mut self, node: &'a Node) -> DriverFuture<'a, PowerState>;

    /// Switches the machine and returns when that is done.
    fn set_power<'a>(&'a mut self, node: &'a mut Node, to: PowerState) -> DriverFuture<'a, ()>;

    /// Asks the operating system to end, and returns when the machine is off; it is never switched off instead.
    fn shut_down<'a>(&'a mut self, node: &'a mut Node, _limit: Duration) -> DriverFuture<'a, ()> {
        let text = format!("driver {} has no soft power off", node.spec.driver);
        Box::pin(std::future::ready(Err(DriverError(text))))
    }

    /// What asks and tells the machine's firmware, when there is any.
    fn management(&mut self) -> Option<&mut dyn Management> {
        None
    }

    /// What reads and changes the settings of its firmware, when there are any.
    fn firmware(&mut self) -> Option<&mut dyn Firmware> {
        None
    }

    /// What is known of the machine without booting it, in the shape of an agent's inventory.
    fn inspect<'a>(&'a mut self, node: &'a Node) -> DriverFuture<'a, Inventory> {
        let text = format!("Driver {} does not support inspect (disabled or not implemented).", node.spec.driver);
        Box::pin(std::future::ready(Err(DriverError(text))))
    }

    /// The next power-on boots the agent's ramdisk with these parameters.
    fn prepare_ramdisk<'a>(&'a mut self, node: &'a mut Node, parameters: &'a Parameters) -> DriverFuture<'a, ()>;

    /// The next power-on boots the machine's own disk; media and overrides of the ramdisk are taken away.
    fn prepare_instance<'a>(&'a mut self, node: &'a mut Node) -> DriverFuture<'a, ()>;

    /// Every power-on from now on boots the ISO at `url`.
    fn prepare_iso<'a>(&'a mut self, node: &'a mut Node, _url: &'a str) -> DriverFuture<'a, ()> {
        no_media(node)
    }

    /// Every power-on from now on boots this kernel.
    fn prepare_kernel<'a>(&'a mut self, node: &'a mut Node, _linux: &'a Linux) -> DriverFuture<'a, ()> {
        no_media(node)
    }

    /// Puts the config drive at `url` into a virtual USB stick, until the instance goes; false when the machine has none.
    fn insert_stick<'a>(&'a mut self, _node: &'a mut Node, _url: &'a str) -> DriverFuture<'a, bool> {
        Box::pin(std::future::ready(Ok(false)))
    }

    /// The machine's virtual drives.
    fn drives<'a>(&'a mut self, node: &'a Node) -> DriverFuture<'a, Vec<Drive>> {
        no_media(node)
    }

    /// Puts the image at `url` into a virtual CD, whether the machine runs or not.
    fn attach<'a>(&'a mut self, node: &'a Node, _url: &'a str) -> DriverFuture<'a, ()> {
        no_media(node)
    }

    /// Empties the virtual drives.
    fn detach<'a>(&'a mut self, node: &'a Node) -> DriverFuture<'a, ()> {
        no_media(node)
    }

    /// The operation is over.
    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

fn no_media<'a, T: Send + 'a>(node: &Node) -> DriverFuture<'a, T> {
    let text = format!("driver {} has no virtual media", node.spec.driver);
    Box::pin(std::future::ready(Err(DriverError(text))))
}

/// The hardware types, by name.
#[derive(Debug)]
pub struct Drivers(BTreeMap<&'static str, Arc<dyn Driver>>);

impl Drivers {
    /// These and no others.
    pub fn new(drivers: impl IntoIterator<Item = (&'static str, Arc<dyn Driver>)>) -> Self {
        Self(drivers.into_iter().collect())
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// The hardware type of a node.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn of(&self, node: &Node) -> Result<&dyn Driver, DriverError> {
        let driver = self.0.get(node.spec.driver.as_str()).ok_or_else(|| {
            DriverError(format!(
                "No valid host was found. Reason: No conductor service registered which supports driver {}.",
                node.spec.driver
            ))
        })?;
        Ok(&**driver)
    }
}
