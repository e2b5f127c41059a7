//! Running one command to its end, whatever that is, and bringing its result into the form of the wire.

use std::time::Instant;

use ferric_steps::python;
use serde_json::{Value, json};
use tracing::{error, info};

use crate::error::{self, Error};
use crate::extension::{Arguments, Call, Command, Extension, Mode};
use crate::metrics;
use crate::registry::CommandResult;

/// Runs it to its end.
pub(super) async fn perform(extension: &Extension, command: &'static Command, call: Call) -> CommandResult {
    if let Err(error) = check_arguments(extension, command, &call.arguments) {
        return CommandResult::failed(error);
    }
    let (agent, started) = (call.agent.clone(), Instant::now());
    let follower = tokio::spawn(metrics::follow(agent.clone(), command.name, call.running.progress.clone()));
    let ended = tokio::spawn((command.run)(call)).await;
    follower.abort();
    metrics::timer(&agent, &format!("command.{}", command.name), started.elapsed());
    let result = match ended {
        Ok(Ok(value)) => CommandResult::succeeded(wrapped(command, value)),
        Ok(Err(error)) if error.is(error::VERSION_MISMATCH) => CommandResult::version_mismatch(error),
        Ok(Err(error)) => CommandResult::failed(error),
        Err(panic) => CommandResult::failed(Error::new(error::EXECUTION, format!("{} crashed: {panic}", command.name))),
    };
    match &result.error {
        None => info!(command = command.name, "command succeeded"),
        Some(error) => {
            metrics::count(&agent, &format!("command.{}.failed", command.name));
            error!(command = command.name, kind = %error.kind, details = %error.details, "command failed");
        }
    }
    result
}

/// A bare text becomes `{"result": …}`, in the background with the command's name before it.
fn wrapped(command: &Command, value: Value) -> Value {
    match (value, command.mode) {
        (Value::String(text), Mode::Sync) => json!({ "result": text }),
        (Value::String(text), Mode::Async) => json!({ "result": format!("{}: {text}", command.name) }),
        (other, _) => other,
    }
}

fn check_arguments(extension: &Extension, command: &Command, arguments: &Arguments) -> Result<(), Error> {
    let function = format!("{}.{}()", extension.class, command.name);
    let missing: Vec<&str> = command.required.iter().copied().filter(|name| !arguments.contains_key(*name)).collect();
    if !missing.is_empty() {
        return Err(Error::new(error::EXECUTION, python::missing_arguments(&function, &missing)));
    }
    let known = |name: &String| [command.required, command.optional].concat().contains(&name.as_str());
    match arguments.keys().find(|name| !command.open && !known(name)) {
        Some(name) => Err(Error::new(error::EXECUTION, python::unexpected_argument(&function, name))),
        None => Ok(()),
    }
}
