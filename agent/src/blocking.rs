//! Work that blocks, on a thread of its own.

use crate::error::{self, Error};

/// Runs it.
///
/// # Errors
/// It panicked.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|panic| Error::new(error::EXECUTION, panic.to_string()))
}
