//! The settings of a machine's firmware, from outside.

use serde_json::{Map, Value};

use super::DriverFuture;
use crate::node::Setting;

/// A connection to a machine whose firmware has settings that can be read and changed.
pub trait Firmware: Send {
    /// The settings in force.
    fn settings(&mut self) -> DriverFuture<'_, Vec<Setting>>;

    /// Has these be in force from the next start on.
    fn change_settings<'a>(&'a mut self, wanted: &'a Map<String, Value>) -> DriverFuture<'a, ()>;

    /// Has the factory's be in force from the next start on.
    fn reset_settings(&mut self) -> DriverFuture<'_, ()>;
}
