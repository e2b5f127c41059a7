//! `extra-hardware`: the one collector that is a program of its own (python package `hardware`).

use serde_json::Value;

use super::CollectError;
use crate::tool::Tools;

const PROGRAM: &str = "hardware-detect";

/// Runs the program, with benchmarks when these are asked for, and passes on what it prints.
pub(super) fn collect(tools: &Tools, benchmarks: Option<&str>) -> Result<Value, CollectError> {
    let benchmarks = benchmarks.filter(|list| !list.is_empty());
    let arguments = benchmarks.map(|list| std::iter::once("--benchmark").chain(list.split(',')));
    let output = tools.find(PROGRAM)?.run(arguments.into_iter().flatten()).output()?;
    serde_json::from_slice(&output.stdout).map_err(|cause| CollectError::NotJson { program: PROGRAM, cause })
}
