//! What an owner may ask of a machine beside its power: what it boots, and how.

use super::DriverFuture;
use crate::node::Node;
use crate::state::{BootDevice, BootMode};

/// A connection to a machine whose firmware can be asked and told.
pub trait Management: Send {
    /// What was chosen to boot, and whether for every start; none when nothing was.
    fn boot_device<'a>(&'a mut self, node: &'a Node) -> DriverFuture<'a, Option<(BootDevice, bool)>>;

    /// Has the next start, or every one, boot `device`.
    fn set_boot_device<'a>(
        &'a mut self,
        node: &'a mut Node,
        device: BootDevice,
        persistent: bool,
    ) -> DriverFuture<'a, ()>;

    /// How it boots, where its BMC tells.
    fn boot_mode<'a>(&'a mut self, node: &'a Node) -> DriverFuture<'a, Option<BootMode>>;

    /// Has it boot in this mode.
    fn set_boot_mode<'a>(&'a mut self, node: &'a Node, mode: BootMode) -> DriverFuture<'a, ()>;

    /// Whether it boots with Secure Boot, where its BMC tells.
    fn secure_boot<'a>(&'a mut self, node: &'a Node) -> DriverFuture<'a, Option<bool>>;

    /// Has it boot with Secure Boot or without from its next start on.
    fn set_secure_boot<'a>(&'a mut self, node: &'a Node, on: bool) -> DriverFuture<'a, ()>;

    /// Interrupts it (NMI), for whoever debugs its kernel.
    fn interrupt<'a>(&'a mut self, node: &'a Node) -> DriverFuture<'a, ()>;
}
