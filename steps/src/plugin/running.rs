//! One run of a plugin's step.

use std::path::Path;
use std::time::Duration;

use ferric_hardware::tool::{Tool, ToolError};
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::progress::Progress;
use crate::step::{Kind, Step};
use crate::{ErrorKind, StepError};

/// Exit code (EX_TEMPFAIL of sysexits.h) of a step that does not fit this machine.
const DOES_NOT_FIT: i32 = 75;

pub(super) fn run(
    program: &Path,
    kind: Kind,
    name: &str,
    limit: Duration,
    arguments: &Arguments,
    step: &Step,
) -> Result<Value, StepError> {
    let input = json!({
        "kind": kind.as_str(),
        "step": name,
        "args": arguments,
        "node": *step.node,
        "ports": *step.ports,
        "allowed_devices": step.site.options.allowed_devices,
    });
    step.progress.activity(format!("running {name} of {}", program.display()));
    let mut result: Result<Value, String> = Ok(Value::Null);
    let mut on_line = |line: &str| {
        if let Some(text) = line.strip_prefix("progress:") {
            advance(text.trim(), &step.progress);
        } else if let Some(text) = line.strip_prefix("result:") {
            result = serde_json::from_str(text).map_err(|error| format!("its result is no JSON: {error}"));
        } else {
            tracing::info!(step = name, "{line}");
        }
    };
    let ended = Tool::at(program)
        .run(["run"])
        .stdin(input.to_string())
        .timeout(limit)
        .cancelled(&|| step.cancel.is_cancelled())
        .on_line(&mut on_line)
        .output();
    match ended {
        Ok(_) => {
            result.map_err(|reason| kind.error(format!("Step plugin {} step {name}: {reason}", program.display())))
        }
        Err(ToolError::Cancelled { command }) => Err(StepError::cancelled(command)),
        Err(ToolError::Failed { code: Some(DOES_NOT_FIT), stderr, .. }) => Err(ErrorKind::Incompatible.error(stderr)),
        Err(error) => Err(kind.error(format!("Step plugin step {name}")).because(error)),
    }
}

/// `DONE/TOTAL TEXT` (bytes), or only a text.
fn advance(text: &str, progress: &Progress) {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    match first.split_once('/').map(|(done, total)| (done.parse(), total.parse())) {
        Some((Ok(done), Ok(total))) => {
            progress.total(total);
            progress.done(done);
            if !rest.is_empty() {
                progress.activity(rest);
            }
        }
        _ => progress.activity(text),
    }
}
