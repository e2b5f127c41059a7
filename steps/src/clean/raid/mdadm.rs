//! Calls of mdadm.

use std::time::Duration;

use ferric_hardware::tool::ToolError;

use crate::step::Step;
use crate::{ErrorKind, StepError};

/// No call takes that long unless something hangs.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs it and returns what it printed.
///
/// # Errors
/// [`ErrorKind::SoftwareRaid`] with what it said.
pub(super) fn run(step: &Step, arguments: &[&str]) -> Result<String, StepError> {
    let failed = |error: ToolError| ErrorKind::SoftwareRaid.of(error);
    let tool = step.site.tools.find("mdadm").map_err(failed)?;
    let cancelled = || step.cancel.is_cancelled();
    let run = tool.run(arguments.iter().copied()).timeout(LIMIT).cancelled(&cancelled);
    Ok(run.output().map_err(failed)?.text())
}
