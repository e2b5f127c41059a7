//! Media of a machine that runs its instance.

use crate::conductor::Conductor;
use crate::driver::{Drive, DriverError};
use crate::flow::resume;
use crate::flow::task::Task;
use crate::node::{Intent, Node};
use crate::store::StoreError;

/// The machine's virtual drives and what is in them.
///
/// # Errors
/// When it has none, or cannot be asked.
pub async fn drives(conductor: &Conductor, node: &Node) -> Result<Vec<Drive>, DriverError> {
    let mut machine = conductor.drivers.of(node)?.connect(node)?;
    let drives = machine.drives(node).await;
    machine.close().await;
    drives
}

/// Inserts the image at `url` in the background, or empties the drives; a refusal becomes the node's `last_error`.
///
/// # Errors
/// When the database refuses.
pub fn begin(mut task: Task, url: Option<String>) -> Result<(), StoreError> {
    task.intend(Intent::Media(url))?;
    tokio::spawn(resume::go_on(task));
    Ok(())
}
