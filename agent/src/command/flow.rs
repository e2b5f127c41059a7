//! `flow.*`: several commands in a row, as one.

use serde_json::Value;

use super::perform::perform;
use crate::agent::Agent;
use crate::error::{self, Error};
use crate::extension::{Arguments, Call, Command, Extension, Extensions, Mode, PLAIN, split};
use crate::registry::Status;

/// `flow`.
pub(super) const EXTENSION: Extension = Extension {
    name: "flow",
    class: "FlowExtension",
    commands: &[Command {
        name: "start_flow",
        mode: Mode::Async,
        optional: &["flow"],
        validate: Some(check),
        run: |call| Box::pin(start(call)),
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

fn check(_: &Agent, extensions: Extensions, arguments: &Arguments) -> Result<(), Error> {
    for (full_name, _) in commands(arguments)? {
        let (extension, name) = split(&full_name)?;
        extensions.extension(extension)?;
        extensions.find(&full_name).map_err(|_| {
            Error::new(error::INVALID_PARAMETERS, format!("Extension {extension} doesn't provide {name} method"))
        })?;
    }
    Ok(())
}

async fn start(call: Call) -> Result<Value, Error> {
    for (full_name, arguments) in commands(&call.arguments)? {
        let (extension, command) = call.extensions.find(&full_name)?;
        if let Some(validate) = command.validate {
            validate(&call.agent, call.extensions, &arguments)?;
        }
        let result = perform(extension, command, Call { arguments, ..call.clone() }).await;
        if result.status != Status::Succeeded {
            return Err(Error::new(error::EXECUTION, format!("{full_name} was failed")));
        }
    }
    Ok(Value::Null)
}
