//! What the end of the last conductor cut off.

use crate::conductor::Shared;
use crate::error::ApiError;
use crate::flow::error::FlowError;
use crate::flow::task::Task;
use crate::state::Event;

/// Fails the operations that were at work when the last conductor ended.
///
/// # Errors
/// When the database fails.
pub fn recover(conductor: &Shared) -> Result<(), RecoveryError> {
    for node in conductor.store.nodes().map_err(FlowError::from)? {
        if node.provision_state.is_lost_on_restart() {
            let mut task = Task::take(conductor, node.uuid)?;
            let text = format!("The conductor was restarted during {}.", node.provision_state);
            task.step_to(Event::Fail)?;
            task.node.last_error = Some(text);
            task.save().map_err(FlowError::from)?;
        }
    }
    Ok(())
}

/// Why the records cannot be put right.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// A node cannot be taken.
    #[error(transparent)]
    Node(#[from] ApiError),
    /// Its record cannot be written.
    #[error(transparent)]
    Flow(#[from] FlowError),
}
