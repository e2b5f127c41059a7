//! Media of a machine that runs its instance.

use crate::conductor::Conductor;
use crate::driver::{Drive, DriverError};
use crate::flow::task::Task;
use crate::node::Node;

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
pub fn change(mut task: Task, url: Option<String>) {
    tokio::spawn(async move {
        if let Err(error) = exchange(&mut task, url.as_deref()).await {
            let text = task.node.without_secrets(&error.to_string());
            tracing::warn!(node = %task.node.label(), "virtual media: {text}");
            task.node.last_error = Some(text);
            if let Err(error) = task.save() {
                tracing::error!(node = %task.node.label(), "writing a failure: {error}");
            }
        }
        task.end().await;
    });
}

async fn exchange(task: &mut Task, url: Option<&str>) -> Result<(), DriverError> {
    let (machine, node) = task.machine()?;
    match url {
        Some(url) => machine.attach(node, url).await,
        None => machine.detach(node).await,
    }
}
