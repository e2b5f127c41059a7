//! Two places that may say the same thing: when they say different ones, nobody can tell which is meant.

use crate::{ErrorKind, StepError};

/// An argument, else what another place says; both only if they say the same.
pub(super) fn agreed<T: PartialEq>(
    name: &str,
    argument: Option<T>,
    other_name: &str,
    other: Option<T>,
) -> Result<Option<T>, StepError> {
    match (argument, other) {
        (Some(argument), Some(other)) if argument != other => {
            let text = format!("install_coreos: the argument {name} and {other_name} do not say the same");
            Err(ErrorKind::InvalidParameters.error(text))
        }
        (Some(value), _) | (None, Some(value)) => Ok(Some(value)),
        (None, None) => Ok(None),
    }
}
