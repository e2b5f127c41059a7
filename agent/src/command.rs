//! Commands: what extensions offer, how one is started, and the list of those that were.

pub mod clean;
pub mod deploy;
pub mod flow;
pub mod image;
pub mod log;
pub mod poll;
mod registry;
pub mod rescue;
pub mod service;
pub mod standby;
mod steps;
pub mod system;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ferric_steps::progress::Progress;
use ferric_steps::python;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use crate::agent::Agent;
use crate::error::{self, Error};
use crate::metrics;
pub use registry::{Entry, Outcome, Record, Registry, Status};

/// Named parameters of a command.
pub type Arguments = Map<String, Value>;

/// What a running command gets besides its parameters.
#[derive(Debug, Clone, Default)]
pub struct Running {
    /// Where it says how far it is.
    pub progress: Progress,
    /// Asks it to stop.
    pub cancel: CancellationToken,
}

/// Whether the answer to the request already holds the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    Sync,
    /// The command goes on in the background.
    Async,
}

/// Refuses bad parameters before anything runs.
pub type Validate = fn(&Agent, &Arguments) -> Result<(), Error>;

/// Does what a command is for.
pub type Run = fn(Arc<Agent>, Arguments, Running) -> BoxFuture<'static, Result<Value, Error>>;

/// A command of an extension.
#[derive(Debug)]
pub struct Command {
    /// The bare name.
    pub name: &'static str,
    /// Whether it runs in the background.
    pub mode: Mode,
    /// Parameters that must be given.
    pub required: &'static [&'static str],
    /// Parameters that may be given.
    pub optional: &'static [&'static str],
    /// Whether others are passed on too.
    pub open: bool,
    /// Refuses bad parameters before anything runs.
    pub validate: Option<Validate>,
    /// How long the answer to the request waits for the end of a background command.
    pub linger: Duration,
    /// Does it.
    pub run: Run,
}

/// A command without parameters, in the background.
const PLAIN: Command = Command {
    name: "",
    mode: Mode::Async,
    required: &[],
    optional: &[],
    open: false,
    validate: None,
    linger: Duration::ZERO,
    run: |_, _, _| Box::pin(async { Ok(Value::Null) }),
};

/// A group of commands.
#[derive(Debug)]
pub struct Extension {
    /// Its name, before the dot.
    pub name: &'static str,
    /// Its class in IPA, which texts about wrong parameters name.
    pub class: &'static str,
    /// What it offers.
    pub commands: &'static [Command],
}

/// Every extension.
pub const EXTENSIONS: [&Extension; 10] = [
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
];

/// Finds the command `extension.name`.
///
/// # Errors
/// A name without dot, an unknown extension, an unknown command.
pub fn find(full_name: &str) -> Result<(&'static Extension, &'static Command), Error> {
    let (extension, name) = split(full_name)?;
    let extension = find_extension(extension)?;
    let command = extension
        .commands
        .iter()
        .find(|command| command.name == name)
        .ok_or_else(|| Error::new(error::INVALID_COMMAND, format!("Unknown command: {name}")))?;
    Ok((extension, command))
}

fn find_extension(name: &str) -> Result<&'static Extension, Error> {
    EXTENSIONS
        .into_iter()
        .find(|extension| extension.name == name)
        .ok_or_else(|| Error::new(error::NOT_FOUND, format!("Extension with id {name} not found.")))
}

fn split(full_name: &str) -> Result<(&str, &str), Error> {
    full_name.split_once('.').ok_or_else(|| {
        Error::new(error::INVALID_COMMAND, "Command name must be of the form <extension>.<name>".to_string())
    })
}

/// Starts a command: a sync one has ended when this returns, an async one is running. One request at a time gets here;
/// while an async command runs, all others are refused.
///
/// # Errors
/// The command did not start, and the list of commands does not show it.
pub async fn start(agent: &Arc<Agent>, full_name: &str, arguments: Arguments) -> Result<Arc<Entry>, Error> {
    let slot = agent.commands.slot().await;
    split(full_name)?;
    if let Some(running) = agent.commands.running() {
        return Err(Error::new(error::BUSY, format!("executing command {}", running.name())));
    }
    let (extension, command) = find(full_name)?;
    info!(command = full_name, "command received");
    debug!(command = full_name, parameters = %crate::mask::masked(&arguments));
    if let Some(validate) = command.validate {
        match validate(agent, &arguments) {
            Ok(()) => {}
            // A request for something unknown inside the parameters is a failed command; bad parameters never start.
            Err(error) if error.is(error::NOT_FOUND) => {
                let entry = agent.commands.finished(full_name, Outcome::failed(error));
                agent.save();
                return Ok(entry);
            }
            Err(error) => return Err(error),
        }
    }
    match command.mode {
        Mode::Sync => {
            let outcome = perform(agent, extension, command, arguments, Running::default()).await;
            if let Some(refusal) = outcome.error.as_ref().filter(|error| error.is_refusal()) {
                return Err(refusal.clone());
            }
            let name = if outcome.status == Status::Failed { full_name } else { command.name };
            let entry = agent.commands.finished(name, outcome);
            agent.save();
            Ok(entry)
        }
        Mode::Async => {
            let entry = agent.commands.begin(command.name);
            agent.save();
            let (agent, running) = (agent.clone(), entry.running());
            let background = entry.clone();
            tokio::spawn(async move {
                let outcome = perform(&agent, extension, command, arguments, running).await;
                agent.commands.end(&background, outcome);
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

/// Runs a command to its end, whatever that is, and brings its result into the form of the wire.
async fn perform(
    agent: &Arc<Agent>,
    extension: &Extension,
    command: &'static Command,
    arguments: Arguments,
    running: Running,
) -> Outcome {
    if let Err(error) = check_arguments(extension, command, &arguments) {
        return Outcome::failed(error);
    }
    let started = Instant::now();
    let follower = tokio::spawn(metrics::follow(agent.clone(), command.name, running.progress.clone()));
    let work = tokio::spawn((command.run)(agent.clone(), arguments, running));
    let ended = work.await;
    follower.abort();
    metrics::timer(agent, &format!("command.{}", command.name), started.elapsed());
    let outcome = match ended {
        Ok(Ok(value)) => Outcome::succeeded(wrapped(command, value)),
        Ok(Err(error)) if error.is(error::VERSION_MISMATCH) => Outcome::version_mismatch(error),
        Ok(Err(error)) => Outcome::failed(error),
        Err(panic) => Outcome::failed(Error::new(error::EXECUTION, format!("{} crashed: {panic}", command.name))),
    };
    match &outcome.error {
        None => info!(command = command.name, "command succeeded"),
        Some(error) => {
            metrics::count(agent, &format!("command.{}.failed", command.name));
            error!(command = command.name, kind = %error.kind, details = %error.details, "command failed");
        }
    }
    outcome
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
