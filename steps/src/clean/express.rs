//! `erase_devices_express`: NVMe devices erase themselves, all others lose their metadata.

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::nvme;
use ferric_hardware::open_device::DeviceError;
use serde_json::Value;

use super::member::{holds_raid_member, may_go};
use super::raid::Spared;
use super::{erasable, guard, metadata, not_erasable};
use crate::StepError;
use crate::options::Erase;
use crate::step::Step;

/// Erases every eligible disk the fast way. A device that cannot erase itself loses its metadata. Members of software
/// RAID are left to `delete_configuration`.
///
/// # Errors
/// As `erase_devices_metadata`.
pub async fn erase_devices_express(step: &Step) -> Result<Value, StepError> {
    step.blocking(|step| {
        let options = step.site.options.erase.for_node(&step.node);
        let listing = erasable(step, Spared::KeptAndNeighbours)?;
        let disks = &listing.eligible;
        guard::check(&step.site.machine, disks, &options)?;
        let may_go = |name: &str| may_go(&step.site.machine, disks, name);
        let mut failures = not_erasable(&listing);
        for disk in disks {
            if let Err(error) = erase_disk(step, disk, &options, &may_go) {
                failures.add(&disk.name, error);
            }
        }
        failures.into_result("Failed to conduct an express erase on the device(s)")?;
        Ok(Value::Null)
    })
    .await
}

fn erase_disk(
    step: &Step,
    disk: &EligibleDevice,
    options: &Erase,
    may_go: &dyn Fn(&str) -> bool,
) -> Result<(), DeviceError> {
    if step.cancel.is_cancelled() {
        return Err(DeviceError::Cancelled { device: disk.name.clone() });
    }
    step.progress.activity(format!("erasing {}", disk.name));
    if options.nvme && nvme::is_namespace(&disk.name) && !holds_raid_member(&step.site.machine, disk)? {
        match nvme::erase(&step.site.machine, disk, may_go, step) {
            Ok(how) => tracing::info!(device = %disk.name, ?how, "the device erased itself"),
            Err(error @ DeviceError::Cancelled { .. }) => return Err(error),
            Err(error) => tracing::warn!(%error, "the device could not erase itself: only its metadata goes"),
        }
    }
    metadata::erase_disk(&step.site.machine, disk).map(drop)
}
