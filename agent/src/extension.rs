//! What a command is, and what groups of commands are: extensions, as in IPA.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use crate::agent::Agent;
use crate::error::{self, Error};
use crate::registry::Running;

/// Named parameters of a command.
pub type Arguments = Map<String, Value>;

/// Whether the answer to the request already holds the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    Sync,
    /// The command goes on in the background.
    Async,
}

/// One call of a command.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who does it.
    pub agent: Arc<Agent>,
    /// With what.
    pub arguments: Arguments,
    /// How it is watched and stopped.
    pub running: Running,
    /// All commands, for those that call others.
    pub extensions: Extensions,
}

/// Refuses bad parameters before anything runs.
pub type Validate = fn(&Agent, Extensions, &Arguments) -> Result<(), Error>;

/// Does what a command is for.
pub type Run = fn(Call) -> BoxFuture<'static, Result<Value, Error>>;

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
pub const PLAIN: Command = Command {
    name: "",
    mode: Mode::Async,
    required: &[],
    optional: &[],
    open: false,
    validate: None,
    linger: Duration::ZERO,
    run: |_| Box::pin(async { Ok(Value::Null) }),
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

/// The extensions of an agent.
#[derive(Debug, Clone, Copy)]
pub struct Extensions(pub &'static [&'static Extension]);

impl Extensions {
    /// Finds the command `extension.name`.
    ///
    /// # Errors
    /// A name without dot, an unknown extension, an unknown command.
    pub fn find(self, full_name: &str) -> Result<(&'static Extension, &'static Command), Error> {
        let (extension, name) = split(full_name)?;
        let extension = self.extension(extension)?;
        let command = extension
            .commands
            .iter()
            .find(|command| command.name == name)
            .ok_or_else(|| Error::new(error::INVALID_COMMAND, format!("Unknown command: {name}")))?;
        Ok((extension, command))
    }

    /// Finds an extension.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn extension(self, name: &str) -> Result<&'static Extension, Error> {
        let mut extensions = self.0.iter().copied();
        extensions
            .find(|extension| extension.name == name)
            .ok_or_else(|| Error::new(error::NOT_FOUND, format!("Extension with id {name} not found.")))
    }
}

/// The two parts of `extension.name`.
///
/// # Errors
/// There is no dot.
pub fn split(full_name: &str) -> Result<(&str, &str), Error> {
    full_name.split_once('.').ok_or_else(|| {
        Error::new(error::INVALID_COMMAND, "Command name must be of the form <extension>.<name>".to_string())
    })
}
