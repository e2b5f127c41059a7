//! Why an operation fails.

use std::sync::Arc;

use crate::agent_client::AgentError;
use crate::driver::DriverError;
use crate::error::ApiError;
use crate::files::FileError;
use crate::media::MediaError;
use crate::state::NoTransition;
use crate::store::StoreError;

/// Why an operation failed; the text becomes the node's `last_error`.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// The agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The machine's power or boot control.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// A file that may not be used.
    #[error("image {0}")]
    File(#[from] FileError),
    /// A file that is not to be had.
    #[error("image {0}")]
    Media(#[from] Arc<MediaError>),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node is not in a state for that.
    #[error(transparent)]
    Transition(#[from] NoTransition),
    /// What was asked for cannot be done.
    #[error("{0}")]
    Refused(String),
}

impl From<FlowError> for ApiError {
    fn from(error: FlowError) -> Self {
        Self::Internal(error.to_string())
    }
}
