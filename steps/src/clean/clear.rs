//! Clearing a disk of its metadata: what is on its partitions, then what is on itself.

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::machine::Machine;
use ferric_hardware::open_device::{Access, DeviceError, OpenDevice};
use ferric_hardware::partition_table::TableEntry;
use ferric_hardware::units::Bytes;
use ferric_hardware::{partitions, signature, wipe};

use super::member::is_member;

/// What [`clear`] did.
#[derive(Debug, Default)]
pub(super) struct Cleared {
    /// Bytes overwritten.
    pub(super) bytes: u64,
    /// Why the disk keeps its table, and what it leads to.
    pub(super) left: Option<&'static str>,
}

const IS_MEMBER: &str = "it belongs to a software RAID";
const HAS_MEMBER: &str = "a partition of it belongs to a software RAID; the others lost their metadata";

/// Erases the metadata of one disk and its partitions, also those that only the table knows, and looks at both ends. What
/// is part of a software RAID stays, and so does then the table that says where it is. What fails does not keep the rest.
///
/// # Errors
/// The first of them when the disk or some of its partitions cannot be read or written.
pub(super) fn clear(machine: &Machine, disk: &EligibleDevice) -> Result<Cleared, DeviceError> {
    let mut failures = Vec::new();
    let cleared = clear_what_goes(machine, disk, &mut failures);
    for error in &failures {
        tracing::error!(%error, "not everything was erased");
    }
    match failures.into_iter().next() {
        Some(error) => Err(error),
        None => Ok(cleared),
    }
}

fn clear_what_goes(machine: &Machine, disk: &EligibleDevice, failures: &mut Vec<DeviceError>) -> Cleared {
    let mut cleared = Cleared::default();
    if or_note(is_member(machine, disk), failures) == Some(true) {
        cleared.left = Some(IS_MEMBER);
        return cleared;
    }
    // The last first, so that logical partitions go before the extended one.
    for partition in disk.partitions().iter().rev() {
        cleared.count(or_note(clear_partition(machine, partition), failures));
    }
    let Some(open) = or_note(OpenDevice::open(machine, disk, Access::Write), failures) else { return cleared };
    let unseen = partitions::unseen(machine, disk, &open).unwrap_or_else(|error| {
        tracing::info!(%error, "the partition table cannot be read: what only it knows stays");
        Vec::new()
    });
    for entry in unseen.into_iter().rev() {
        cleared.count(or_note(clear_entry(&open, &entry), failures));
    }
    if cleared.left.is_none() {
        cleared.count(or_note(wipe_open(&open), failures));
        or_note(partitions::forget(machine, disk, &open), failures);
    }
    cleared
}

impl Cleared {
    /// Adds what was done to a part of the disk: how many bytes, or nothing as it is a member of an array.
    fn count(&mut self, done: Option<Option<u64>>) {
        match done {
            Some(Some(bytes)) => self.bytes += bytes,
            Some(None) => self.left = Some(HAS_MEMBER),
            None => {}
        }
    }
}

fn or_note<T>(result: Result<T, DeviceError>, failures: &mut Vec<DeviceError>) -> Option<T> {
    result.map_err(|error| failures.push(error)).ok()
}

fn clear_partition(machine: &Machine, partition: &EligibleDevice) -> Result<Option<u64>, DeviceError> {
    if is_member(machine, partition)? {
        tracing::info!(device = %partition.name, "skipped: member of a software RAID");
        return Ok(None);
    }
    let found = wipe::metadata(&OpenDevice::open(machine, partition, Access::Write)?)?;
    tracing::info!(device = %partition.name, ?found, "metadata erased");
    Ok(Some(ends(Bytes(partition.size_bytes))))
}

/// A partition that has no node of its own, through its disk.
fn clear_entry(disk: &OpenDevice, entry: &TableEntry) -> Result<Option<u64>, DeviceError> {
    let partition = entry.number;
    if signature::holds_raid_member(disk, entry.start, entry.size)? {
        tracing::info!(disk = disk.name(), partition, "skipped: member of a software RAID");
        return Ok(None);
    }
    let found = wipe::metadata_within(disk, entry.start, entry.size)?;
    tracing::info!(disk = disk.name(), partition, ?found, "metadata erased");
    Ok(Some(ends(entry.size)))
}

/// Removes the metadata of the disk itself, and makes sure that both ends are zeros.
fn wipe_open(open: &OpenDevice) -> Result<Option<u64>, DeviceError> {
    let found = wipe::metadata(open)?;
    let end = wipe::END.min(open.size());
    open.verify_zero(Bytes(0), end)?;
    open.verify_zero(open.size() - end, end)?;
    tracing::info!(disk = open.name(), ?found, "metadata erased");
    Ok(Some(ends(open.size())))
}

/// The same of a disk whose content is gone already, and has its partitions forgotten.
pub(super) fn wipe(machine: &Machine, disk: &EligibleDevice) -> Result<(), DeviceError> {
    let open = OpenDevice::open(machine, disk, Access::Write)?;
    wipe_open(&open)?;
    partitions::forget(machine, disk, &open)
}

/// Bytes at both ends of a device of this size.
pub(super) fn ends(size: Bytes) -> u64 {
    2 * wipe::END.min(size).0
}
