//! The firmware of a machine, from outside: its settings, its versions.

use std::time::Duration;

use serde_json::{Map, Value};

use super::DriverFuture;
use crate::node::{Setting, Version};

/// A connection to a machine whose firmware can be read and changed.
pub trait Firmware: Send {
    /// The settings in force.
    fn settings(&mut self) -> DriverFuture<'_, Vec<Setting>>;

    /// Has these be in force from the next start on.
    fn change_settings<'a>(&'a mut self, wanted: &'a Map<String, Value>) -> DriverFuture<'a, ()>;

    /// Has the factory's be in force from the next start on.
    fn reset_settings(&mut self) -> DriverFuture<'_, ()>;

    /// The parts that have firmware, and its versions.
    fn versions(&mut self) -> DriverFuture<'_, Vec<Version>>;

    /// Has firmware fetched from `url` and written to the part that it is for. Where it is told how that goes: the first of
    /// these that is there; none when it is done.
    fn update<'a>(&'a mut self, url: &'a str) -> DriverFuture<'a, Vec<String>>;

    /// How an update goes; `places` are changed when one of them is not there any more. One that has failed is an error.
    fn look<'a>(&'a mut self, places: &'a mut Vec<String>) -> DriverFuture<'a, Progress>;
}

/// How an update goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Look again after this long.
    Running(Duration),
    /// It goes on at the machine's next start; the same.
    Waiting(Duration),
    /// Nobody answers, as when a BMC's own firmware is replaced; why.
    Silent(String),
    /// It is over.
    Done,
}
