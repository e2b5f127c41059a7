//! `erase_devices_metadata`: partition tables and signatures go, content stays.

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::machine::Machine;
use ferric_hardware::open_device::{Access, DeviceError, OpenDevice};
use ferric_hardware::{partitions, signature, wipe};
use serde_json::Value;

use super::raid::Spared;
use super::{Outcome, erasable, guard, not_erasable};
use crate::StepError;
use crate::step::Step;

/// Erases the metadata of every eligible disk, partitions before their disk. Members of software RAID are left to
/// `delete_configuration`. Goes on with the other disks when one fails.
///
/// # Errors
/// [`ProtectedDevice`](crate::ErrorKind::ProtectedDevice) before anything is touched;
/// [`BlockDeviceErase`](crate::ErrorKind::BlockDeviceErase) with every failed device.
pub async fn erase_devices_metadata(step: &Step) -> Result<Value, StepError> {
    step.blocking(|step| {
        let options = step.site.options.erase.for_node(&step.node);
        let listing = erasable(step, Spared::KeptAndNeighbours)?;
        guard::check(&step.site.machine, &listing.eligible, &options)?;
        let mut failures = not_erasable(&listing);
        for disk in &listing.eligible {
            step.progress.activity(format!("erasing metadata of {}", disk.name));
            let result = match step.cancel.is_cancelled() {
                true => Err(DeviceError::Cancelled { device: disk.name.clone() }),
                false => erase_disk(&step.site.machine, disk),
            };
            if let Err(error) = result {
                failures.add(&disk.name, error);
            }
        }
        failures.into_result("Failed to erase the metadata on the device(s)")?;
        Ok(Value::Null)
    })
    .await
}

/// Erases the metadata of one disk and its partitions. What is part of a software RAID stays, and so does then the
/// table that says where it is.
///
/// # Errors
/// When the disk or one of its partitions cannot be read or written.
pub fn erase_disk(machine: &Machine, disk: &EligibleDevice) -> Result<Outcome, DeviceError> {
    if signature::is_raid_member(&OpenDevice::open(machine, disk, Access::Read)?)? {
        tracing::info!(device = %disk.name, "skipped: member of a software RAID");
        return Ok(Outcome::RaidMember);
    }
    let mut keep_table = false;
    // The last first, so that logical partitions go before the extended one.
    for partition in disk.partitions().iter().rev() {
        if signature::is_raid_member(&OpenDevice::open(machine, partition, Access::Read)?)? {
            tracing::info!(device = %partition.name, "skipped: member of a software RAID");
            keep_table = true;
            continue;
        }
        let found = wipe::metadata(&OpenDevice::open(machine, partition, Access::Write)?)?;
        tracing::info!(device = %partition.name, ?found, "metadata erased");
    }
    if keep_table {
        return Ok(Outcome::RaidMember);
    }
    let open = OpenDevice::open(machine, disk, Access::Write)?;
    let found = wipe::metadata(&open)?;
    partitions::forget(machine, disk, &open)?;
    tracing::info!(device = %disk.name, ?found, "metadata erased");
    Ok(Outcome::Erased)
}
