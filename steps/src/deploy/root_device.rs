//! The disk to install to.

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::block::hints::{self, Hints};

use crate::step::Context;
use crate::{StepError, leftover};

/// The eligible device that the node's hints choose; without hints, the smallest that is large enough.
///
/// # Errors
/// [`StepError::DeviceNotFound`] with the reason of every device, or what is wrong with the hints.
pub fn choose(context: &Context) -> Result<EligibleDevice, StepError> {
    let hints = Hints::of_node(&context.node).map_err(|error| StepError::DeviceNotFound(error.to_string()))?;
    let listing = leftover::list_without(context);
    match hints::choose(&listing, hints.as_ref()) {
        Ok(device) => Ok(device.clone()),
        Err(error) => Err(StepError::DeviceNotFound(error.to_string())),
    }
}
