//! The disk to install to.

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::block::hints::{self, Hints};

use crate::step::Step;
use crate::{StepError, leftover};

/// The array that was made to be installed to (`is_root_volume`); else the eligible device that the node's hints choose;
/// without hints, the smallest that is large enough. Arrays that were made for other things do not count, nor do their
/// disks.
///
/// # Errors
/// [`StepError::DeviceNotFound`] with the reason of every device, or what is wrong with the hints.
pub fn choose(step: &Step) -> Result<EligibleDevice, StepError> {
    let hints = Hints::of_node(&step.node).map_err(|error| StepError::DeviceNotFound(error.to_string()))?;
    let mut listing = leftover::list_without(step);
    let arrays = step.memory.arrays();
    if let Some(root) = arrays.iter().find(|array| array.is_root) {
        if hints.is_some() {
            tracing::warn!(
                device = root.device,
                "both root device hints and a root volume are there: taking the volume"
            );
        }
        let device = listing.eligible.into_iter().find(|device| device.name == root.device);
        return device
            .ok_or_else(|| StepError::DeviceNotFound(format!("the root volume {} cannot be used", root.device)));
    }
    listing
        .eligible
        .retain(|device| !arrays.iter().any(|array| array.device == device.name || array.disks.contains(&device.name)));
    match hints::choose(&listing, hints.as_ref()) {
        Ok(device) => Ok(device.clone()),
        Err(error) => Err(StepError::DeviceNotFound(error.to_string())),
    }
}
