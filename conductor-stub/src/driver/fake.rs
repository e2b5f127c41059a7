//! `fake-hardware`: a machine that is only a record; whoever tests it starts an agent by hand.

use std::time::Duration;

use super::{Connection, Driver, DriverError, DriverFuture};
use crate::node::Node;
use crate::ramdisk::Parameters;
use crate::state::PowerState;

/// Remembers power and boot settings and does nothing.
#[derive(Debug, Clone, Copy)]
pub struct Fake;

impl Driver for Fake {
    fn validate(&self, _node: &Node) -> Result<(), DriverError> {
        Ok(())
    }

    fn connect(&self, _node: &Node) -> Result<Box<dyn Connection>, DriverError> {
        Ok(Box::new(*self))
    }

    fn is_machine(&self) -> bool {
        true
    }
}

impl Connection for Fake {
    fn power_state<'a>(&'a mut self, node: &'a Node) -> DriverFuture<'a, PowerState> {
        Box::pin(async { Ok(node.power_state.unwrap_or(PowerState::Off)) })
    }

    fn set_power<'a>(&'a mut self, node: &'a mut Node, to: PowerState) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            node.power_state = Some(to);
            Ok(())
        })
    }

    fn shut_down<'a>(&'a mut self, node: &'a mut Node, _limit: Duration) -> DriverFuture<'a, ()> {
        self.set_power(node, PowerState::Off)
    }

    fn prepare_ramdisk<'a>(&'a mut self, node: &'a mut Node, parameters: &'a Parameters) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            node.internal.ramdisk_parameters = Some(parameters.clone());
            Ok(())
        })
    }

    fn prepare_instance<'a>(&'a mut self, node: &'a mut Node) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            node.internal.ramdisk_parameters = None;
            Ok(())
        })
    }
}
