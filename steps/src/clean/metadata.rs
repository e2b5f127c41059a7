//! `erase_devices_metadata`: partition tables and signatures go, content stays.

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::machine::Machine;
use ferric_hardware::open_device::{Access, DeviceError, OpenDevice};
use ferric_hardware::partition_table::TableEntry;
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

/// Erases the metadata of one disk and its partitions, also those that only the table knows. What is part of a software
/// RAID stays, and so does then the table that says where it is. What fails does not keep the rest.
///
/// # Errors
/// The first of them when the disk or some of its partitions cannot be read or written.
pub fn erase_disk(machine: &Machine, disk: &EligibleDevice) -> Result<Outcome, DeviceError> {
    let mut failures = Vec::new();
    let outcome = erase_what_goes(machine, disk, &mut failures);
    for error in &failures {
        tracing::error!(%error, "not everything was erased");
    }
    match failures.into_iter().next() {
        Some(error) => Err(error),
        None => Ok(outcome),
    }
}

fn erase_what_goes(machine: &Machine, disk: &EligibleDevice, failures: &mut Vec<DeviceError>) -> Outcome {
    let is_member = OpenDevice::open(machine, disk, Access::Read).and_then(|open| signature::is_raid_member(&open));
    if or_note(is_member, failures) == Some(true) {
        tracing::info!(device = %disk.name, "skipped: member of a software RAID");
        return Outcome::RaidMember;
    }
    let mut keep_table = false;
    // The last first, so that logical partitions go before the extended one.
    for partition in disk.partitions().iter().rev() {
        keep_table |= or_note(erase_partition(machine, partition), failures) == Some(Outcome::RaidMember);
    }
    let Some(open) = or_note(OpenDevice::open(machine, disk, Access::Write), failures) else {
        return Outcome::RaidMember;
    };
    let unseen = partitions::unseen(machine, disk, &open).unwrap_or_else(|error| {
        tracing::info!(%error, "the partition table cannot be read: what only it knows stays");
        Vec::new()
    });
    for entry in unseen.into_iter().rev() {
        keep_table |= or_note(erase_entry(&open, &entry), failures) == Some(Outcome::RaidMember);
    }
    if keep_table {
        return Outcome::RaidMember;
    }
    if let Some(found) = or_note(wipe::metadata(&open), failures) {
        tracing::info!(device = %disk.name, ?found, "metadata erased");
    }
    or_note(partitions::forget(machine, disk, &open), failures);
    Outcome::Erased
}

fn or_note<T>(result: Result<T, DeviceError>, failures: &mut Vec<DeviceError>) -> Option<T> {
    result.map_err(|error| failures.push(error)).ok()
}

fn erase_partition(machine: &Machine, partition: &EligibleDevice) -> Result<Outcome, DeviceError> {
    if signature::is_raid_member(&OpenDevice::open(machine, partition, Access::Read)?)? {
        tracing::info!(device = %partition.name, "skipped: member of a software RAID");
        return Ok(Outcome::RaidMember);
    }
    let found = wipe::metadata(&OpenDevice::open(machine, partition, Access::Write)?)?;
    tracing::info!(device = %partition.name, ?found, "metadata erased");
    Ok(Outcome::Erased)
}

/// A partition that has no node of its own, through its disk.
fn erase_entry(disk: &OpenDevice, entry: &TableEntry) -> Result<Outcome, DeviceError> {
    let partition = entry.number;
    if signature::holds_raid_member(disk, entry.start, entry.size)? {
        tracing::info!(disk = disk.name(), partition, "skipped: member of a software RAID");
        return Ok(Outcome::RaidMember);
    }
    let found = wipe::metadata_within(disk, entry.start, entry.size)?;
    tracing::info!(disk = disk.name(), partition, ?found, "metadata erased");
    Ok(Outcome::Erased)
}
