//! Volumes of the disks' last owner that the ramdisk activated: they are taken down before a disk is erased or written.

use ferric_hardware::block::leftover::Leftover;
use ferric_hardware::block::{self, Listing};

use crate::step::Step;

/// Takes down what is left active, and lists the devices after that.
pub(crate) fn list_without(step: &Step) -> Listing {
    take_down(step);
    block::list(&step.site.machine, &step.device_policy())
}

/// Takes down idle logical volumes and encrypted mappings. One that stays shows in the listing: its disk is in use.
pub(crate) fn take_down(step: &Step) {
    report(block::leftover::take_down(&step.site.machine, &step.device_policy()));
}

/// As [`take_down`], on one device alone.
pub(crate) fn take_down_on(step: &Step, device: &str) {
    report(block::leftover::take_down_on(&step.site.machine, &step.device_policy(), device));
}

fn report(leftovers: Vec<Leftover>) {
    for leftover in leftovers {
        match leftover.result {
            Ok(()) => tracing::info!(device = leftover.device, "a former system's volume was taken down"),
            Err(error) => tracing::warn!(device = leftover.device, %error, "a former system's volume stays active"),
        }
    }
}
