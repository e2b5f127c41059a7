//! `flow.*`: several commands in a row, as one.

use std::sync::Arc;

use serde_json::Value;

use super::{Arguments, Command, Extension, Mode, PLAIN, Running, Status, find, find_extension, perform, split};
use crate::agent::Agent;
use crate::error::{self, Error};

/// `flow`.
pub const EXTENSION: Extension = Extension {
    name: "flow",
    class: "FlowExtension",
    commands: &[Command {
        name: "start_flow",
        mode: Mode::Async,
        optional: &["flow"],
        validate: Some(check),
        run: |agent, arguments, running| Box::pin(start(agent, arguments, running)),
        ..PLAIN
    }],
};

/// The commands of the flow, in order.
fn commands(arguments: &Arguments) -> Result<Vec<(String, Arguments)>, Error> {
    let bad = |text: &str| Error::new(error::INVALID_PARAMETERS, text);
    let tasks = arguments.get("flow").and_then(Value::as_array).ok_or_else(|| bad("'flow' must be a list."))?;
    let mut commands = Vec::new();
    for task in tasks {
        let task = task.as_object().ok_or_else(|| bad("Items of 'flow' must be objects."))?;
        for (name, parameters) in task {
            let parameters =
                parameters.as_object().ok_or_else(|| bad("Parameters of a command in 'flow' must be an object."))?;
            commands.push((name.clone(), parameters.clone()));
        }
    }
    Ok(commands)
}

fn check(_: &Agent, arguments: &Arguments) -> Result<(), Error> {
    for (full_name, _) in commands(arguments)? {
        let (extension, name) = split(&full_name)?;
        find_extension(extension)?;
        find(&full_name).map_err(|_| {
            Error::new(error::INVALID_PARAMETERS, format!("Extension {extension} doesn't provide {name} method"))
        })?;
    }
    Ok(())
}

async fn start(agent: Arc<Agent>, arguments: Arguments, running: Running) -> Result<Value, Error> {
    for (full_name, parameters) in commands(&arguments)? {
        let (extension, command) = find(&full_name)?;
        if let Some(validate) = command.validate {
            validate(&agent, &parameters)?;
        }
        let outcome = perform(&agent, extension, command, parameters, running.clone()).await;
        if outcome.status != Status::Succeeded {
            return Err(Error::new(error::EXECUTION, format!("{full_name} was failed")));
        }
    }
    Ok(Value::Null)
}
