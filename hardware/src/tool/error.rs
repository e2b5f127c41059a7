//! What can go wrong with a program.

use std::time::Duration;

/// Why a program did not do its work. The texts name the program and carry the end of what it said.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It is nowhere.
    #[error("{name} is not installed: looked in {searched}")]
    Missing {
        /// The program.
        name: String,
        /// The places, for people.
        searched: String,
    },
    /// It could not be started or talked to.
    #[error("cannot run {command}: {cause}")]
    Start {
        /// Name and arguments.
        command: String,
        /// The cause.
        cause: std::io::Error,
    },
    /// It ended with an exit code other than 0, or by a signal.
    #[error("{command} failed with {status}{}", said(.stderr))]
    Failed {
        /// Name and arguments.
        command: String,
        /// `exit code N` or `signal N`.
        status: String,
        /// Its exit code, when it was not killed.
        code: Option<i32>,
        /// The last lines of its standard error (of its standard output, when that is empty).
        stderr: String,
    },
    /// It took too long and was stopped.
    #[error("{command} did not end within {} s and was stopped{}", .limit.as_secs(), said(.stderr))]
    TimedOut {
        /// Name and arguments.
        command: String,
        /// The limit.
        limit: Duration,
        /// The last lines of its standard error.
        stderr: String,
    },
    /// It was stopped because the caller asked for that.
    #[error("{command} was stopped on request")]
    Cancelled {
        /// Name and arguments.
        command: String,
    },
}

fn said(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
