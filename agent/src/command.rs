//! Every command, and how one is started.

mod clean;
mod deploy;
mod flow;
mod image;
mod log;
mod perform;
mod poll;
mod rescue;
mod service;
mod standby;
mod steps;
mod system;

use std::sync::Arc;

use tracing::{debug, info};

use crate::agent::Agent;
use crate::error::{self, Error};
use crate::extension::{self, Arguments, Call, Extensions, Mode};
use crate::mask;
use crate::registry::{CommandResult, Entry, Running, Status};
use perform::perform;

/// Every extension.
const EXTENSIONS: Extensions = Extensions(&[
    &clean::EXTENSION,
    &deploy::EXTENSION,
    &service::EXTENSION,
    &standby::EXTENSION,
    &image::EXTENSION,
    &rescue::EXTENSION,
    &log::EXTENSION,
    &poll::EXTENSION,
    &flow::EXTENSION,
    &system::EXTENSION,
]);

/// Starts a command: a sync one has ended when this returns, an async one is running. One request at a time gets here;
/// while an async command runs, all others are refused.
///
/// # Errors
/// The command did not start, and the list of commands does not show it.
pub async fn start(agent: &Arc<Agent>, full_name: &str, arguments: Arguments) -> Result<Arc<Entry>, Error> {
    let slot = agent.commands.slot().await;
    extension::split(full_name)?;
    if let Some(running) = agent.commands.running() {
        return Err(Error::new(error::BUSY, format!("executing command {}", running.name())));
    }
    let (extension, command) = EXTENSIONS.find(full_name)?;
    info!(command = full_name, "command received");
    debug!(command = full_name, parameters = %mask::masked(&arguments));
    if let Some(validate) = command.validate {
        match validate(agent, EXTENSIONS, &arguments) {
            Ok(()) => {}
            // A request for something unknown inside the parameters is a failed command; bad parameters never start.
            Err(error) if error.is(error::NOT_FOUND) => {
                let entry = agent.commands.finished(full_name, CommandResult::failed(error));
                agent.save();
                return Ok(entry);
            }
            Err(error) => return Err(error),
        }
    }
    let call = |running| Call { agent: agent.clone(), arguments, running, extensions: EXTENSIONS };
    match command.mode {
        Mode::Sync => {
            let result = perform(extension, command, call(Running::default())).await;
            if let Some(refusal) = result.error.as_ref().filter(|error| error.is_refusal()) {
                return Err(refusal.clone());
            }
            let name = if result.status == Status::Failed { full_name } else { command.name };
            let entry = agent.commands.finished(name, result);
            agent.save();
            Ok(entry)
        }
        Mode::Async => {
            let entry = agent.commands.begin(command.name);
            agent.save();
            let (call, background) = (call(entry.running()), entry.clone());
            tokio::spawn(async move {
                let agent = call.agent.clone();
                let result = perform(extension, command, call).await;
                agent.commands.end(&background, result);
                agent.save();
                agent.wake_heartbeat();
            });
            drop(slot);
            // That it has not ended yet is what the answer then says.
            let _ = tokio::time::timeout(command.linger, entry.ended()).await;
            Ok(entry)
        }
    }
}
