//! Cleaning: what removes a former user's traces from a machine, and what wears it in.
//!
//! - [`metadata`]: step `erase_devices_metadata`
//! - [`erase`]: step `erase_devices`, the full erase
//! - [`express`]: step `erase_devices_express`
//! - [`raid`]: software RAID
//! - [`burnin`]: load tests
//! - [`pstore`], [`uefi_nvram`]: what the firmware remembers
//! - [`guard`], [`options`]: which devices never, and how the node wants it

pub mod burnin;
mod discard;
pub mod erase;
pub mod express;
pub mod guard;
pub mod metadata;
pub mod options;
mod overwrite;
pub mod pstore;
pub mod raid;
mod samples;
pub mod uefi_nvram;

use ferric_hardware::block::{self, Listing};
use ferric_hardware::opened::DeviceError;
use ferric_hardware::watch::Watch;

use crate::StepError;
use crate::step::Context;

impl Watch for Context {
    fn advance(&self, bytes: u64) {
        self.progress.add(bytes);
    }

    fn cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }
}

/// What became of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is erased.
    Erased,
    /// It was left alone: it, or a partition of it, belongs to a software RAID.
    RaidMember,
}

/// The devices that may be erased, and those that may not.
pub(crate) fn erasable(context: &Context) -> Result<Listing, StepError> {
    let mut listing = block::list(&context.machine, &context.device_policy());
    raid::leave_protected(context, &mut listing.eligible)?;
    Ok(listing)
}

/// Runs blocking work of a step on a thread of its own.
pub(crate) async fn on_thread<T: Send + 'static>(
    context: &Context,
    work: impl FnOnce(&Context) -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    let context = context.clone();
    let done = tokio::task::spawn_blocking(move || work(&context)).await;
    done.unwrap_or_else(|error| Err(StepError::Execution(format!("the step's thread died: {error}"))))
}

/// What failed on which device, gathered while the work goes on with the others.
#[derive(Debug, Default)]
pub(crate) struct Failures(Vec<(String, DeviceError)>);

impl Failures {
    /// Remembers a failure on `device`.
    pub(crate) fn add(&mut self, device: &str, error: DeviceError) {
        tracing::error!(device, %error, "erasing failed");
        self.0.push((device.to_string(), error));
    }

    /// Success when nothing failed; else one error which names every device. A cancelled device makes it a cancelled step.
    pub(crate) fn into_result(self, what: &str) -> Result<(), StepError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let cancelled = self.0.iter().any(|(_, error)| matches!(error, DeviceError::Cancelled { .. }));
        let list: Vec<String> = self
            .0
            .iter()
            .map(|(device, error)| {
                let text = error.to_string();
                format!("\"{device}\": {}", text.strip_prefix(&format!("{device}: ")).unwrap_or(&text))
            })
            .collect();
        let text = format!("{what}: {}", list.join("; "));
        Err(if cancelled { StepError::Cancelled(text) } else { StepError::BlockDeviceErase(text) })
    }
}
