//! Arguments of steps. Each step has one type for them: from it come what Ironic is told of them, the refusal of others,
//! and their values.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::StepError;
use crate::step::Step;

/// Named arguments as they came.
pub type Arguments = Map<String, Value>;

/// One argument that a step takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: Cow<'static, str>,
    /// What it is, for people.
    pub description: Cow<'static, str>,
    /// Whether the step fails without it.
    pub required: bool,
}

impl Parameter {
    /// One that must be given.
    pub const fn required(name: &'static str, description: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), description: Cow::Borrowed(description), required: true }
    }

    /// One that may be left out.
    pub const fn optional(name: &'static str, description: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), description: Cow::Borrowed(description), required: false }
    }
}

/// The type of a step's arguments.
pub trait FromArguments: Sized + Send {
    /// What there is, in the order in which it is announced.
    const PARAMETERS: &'static [Parameter];

    /// Reads the arguments, and what the node says in place of those that are missing.
    ///
    /// # Errors
    /// [`InvalidParameters`](crate::ErrorKind::InvalidParameters) when they make no sense; nothing has been done then.
    fn from_arguments(arguments: &Arguments, step: &Step) -> Result<Self, StepError>;
}

/// No arguments at all.
impl FromArguments for () {
    const PARAMETERS: &'static [Parameter] = &[];

    fn from_arguments(_: &Arguments, _: &Step) -> Result<Self, StepError> {
        Ok(())
    }
}

/// The argument of that name; null when it is not given.
pub(crate) fn value<'a>(arguments: &'a Arguments, name: &str) -> &'a Value {
    arguments.get(name).unwrap_or(&Value::Null)
}
