//! How the programs are called that burn in.

use std::time::{Duration, Instant};

use ferric_hardware::tool::{Tool, ToolError};

use crate::step::Step;
use crate::{ErrorKind, StepError};

/// How often cancellation is looked at in a pause.
const TICK: Duration = Duration::from_millis(200);

/// Finds and runs a program to a successful end; `what` is how errors call it.
pub(super) fn run(step: &Step, name: &str, what: &str, arguments: &[String]) -> Result<(), StepError> {
    step.progress.activity(format!("burning in with {what}"));
    let tool = step.site.tools.find(name).map_err(|error| failed(what, error))?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    invoke(step, &tool, &arguments, what)?;
    Ok(())
}

/// Runs a program to a successful end and returns what it printed.
pub(super) fn invoke(step: &Step, tool: &Tool, arguments: &[&str], what: &str) -> Result<String, StepError> {
    let cancelled = || step.cancel.is_cancelled();
    let output = tool.run(arguments).cancelled(&cancelled).output().map_err(|error| failed(what, error))?;
    Ok(output.text())
}

/// The error of a step whose program failed.
pub(super) fn failed(what: &str, error: ToolError) -> StepError {
    match error {
        ToolError::Cancelled { .. } => StepError::cancelled(error),
        error => ErrorKind::Execution.error(format!("{what} failed with error")).because(error),
    }
}

/// Waits, unless the step is cancelled meanwhile.
pub(super) fn pause(step: &Step, length: Duration) -> Result<(), StepError> {
    let until = Instant::now() + length;
    while Instant::now() < until {
        if step.cancel.is_cancelled() {
            return Err(StepError::cancelled("burn-in"));
        }
        std::thread::sleep(TICK);
    }
    Ok(())
}
