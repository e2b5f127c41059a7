//! `fake-hardware`: a machine that is only a record; whoever tests it starts an agent by hand.

use serde_json::json;

use super::{Driver, Outcome, Parameters};
use crate::conductor::Conductor;
use crate::node::Node;
use crate::state::PowerState;

/// Remembers power and boot settings and does nothing.
#[derive(Debug)]
pub struct Fake;

impl Driver for Fake {
    fn validate(&self, _node: &Node) -> Result<(), super::DriverError> {
        Ok(())
    }

    fn power_state<'a>(&'a self, node: &'a Node) -> Outcome<'a, PowerState> {
        Box::pin(async { Ok(node.power_state.unwrap_or(PowerState::Off)) })
    }

    fn set_power<'a>(&'a self, node: &'a mut Node, to: PowerState) -> Outcome<'a, ()> {
        Box::pin(async move {
            node.power_state = Some(to);
            Ok(())
        })
    }

    fn prepare_ramdisk<'a>(
        &'a self,
        _conductor: &'a Conductor,
        node: &'a mut Node,
        parameters: &'a Parameters,
    ) -> Outcome<'a, ()> {
        Box::pin(async move {
            node.remember("ramdisk_parameters", json!(parameters));
            Ok(())
        })
    }

    fn prepare_instance<'a>(&'a self, _conductor: &'a Conductor, node: &'a mut Node) -> Outcome<'a, ()> {
        Box::pin(async move {
            node.forget("ramdisk_parameters");
            Ok(())
        })
    }

    fn is_machine(&self) -> bool {
        true
    }
}
