//! Options about the agent's own logs.

use std::path::PathBuf;

/// Where the agent logs to, besides standard error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logs {
    /// The log file (`log_file`).
    pub file: Option<PathBuf>,
    /// Its directory (`log_dir`).
    pub directory: Option<PathBuf>,
}
