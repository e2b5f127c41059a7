//! Volumes of the disks' last owner that the ramdisk activated: they are taken down before a disk is erased or written.

use ferric_hardware::block::{self, Listing};

use crate::step::Context;

/// Takes down what is left active, and lists the devices after that.
pub(crate) fn list_without(context: &Context) -> Listing {
    take_down(context);
    block::list(&context.machine, &context.device_policy())
}

/// Takes down idle logical volumes and encrypted mappings. One that stays shows in the listing: its disk is in use.
pub(crate) fn take_down(context: &Context) {
    for leftover in block::leftover::take_down(&context.machine, &context.device_policy()) {
        match leftover.result {
            Ok(()) => tracing::info!(device = leftover.device, "a former system's volume was taken down"),
            Err(error) => tracing::warn!(device = leftover.device, %error, "a former system's volume stays active"),
        }
    }
}
