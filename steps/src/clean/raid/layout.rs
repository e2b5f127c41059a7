//! The partitions that arrays are made of: one for each array on every disk, where the Python agent has parted put them.

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::gpt::{self, Gpt};
use ferric_hardware::mbr::{self, Mbr};
use ferric_hardware::open_device::{Access, DeviceError, OpenDevice};
use ferric_hardware::partition_table::PartitionTable;
use ferric_hardware::partitions;
use ferric_hardware::table_error::TableError;
use ferric_hardware::units::{Bytes, Lba};
use uuid::Uuid;

use crate::boot_mode::BootMode;
use crate::step::Step;

/// Partitions start and end at multiples of this.
const ALIGNMENT: Bytes = Bytes::mib(1);
/// What the last partition leaves at the end of the disk, before that is rounded down: parted's `-1`.
const TAIL: Bytes = Bytes(1_000_000);

/// What stays free before the first array.
fn start(boot: BootMode) -> Bytes {
    match boot {
        // An EFI system partition of 550 MiB.
        BootMode::Uefi => Bytes::mib(551),
        // The partition for GRUB's own code.
        BootMode::BiosGpt => Bytes::mib(8),
        BootMode::BiosMbr => Bytes::mib(1),
    }
}

/// The table that a disk is to get.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    disk: &'a EligibleDevice,
    table: PartitionTable,
}

impl<'a> Plan<'a> {
    /// Decides on a table with one partition per wanted size (GiB; nothing for the rest). Nothing is written.
    ///
    /// # Errors
    /// When there are partitions already, or the new ones do not fit.
    pub(super) fn new(
        step: &Step,
        disk: &'a EligibleDevice,
        boot: BootMode,
        wants: &[Option<u64>],
    ) -> Result<Self, DeviceError> {
        let open = OpenDevice::open(&step.site.machine, disk, Access::Read)?;
        let failed = |cause| DeviceError::Table { device: disk.name.clone(), cause };
        let (size, block) = (open.size(), open.block_size());
        let existing = PartitionTable::read(open.file(), size, block).map_err(failed)?;
        let entries = existing.map(|table| table.entries(open.file(), block)).transpose().map_err(failed)?;
        if entries.is_some_and(|entries| !entries.is_empty()) {
            let reason = format!("Partitions detected on devices {} during RAID config", disk.name);
            return Err(DeviceError::Refused { device: disk.name.clone(), reason });
        }
        let ranges = ranges(start(boot), size, wants).map_err(failed)?;
        let lba = |at: Bytes| Lba(at.0 / u64::from(block.0));
        let plan = || -> Result<PartitionTable, TableError> {
            if boot == BootMode::BiosMbr {
                let mut table = Mbr::create(Uuid::new_v4().as_fields().0);
                for (start, end) in &ranges {
                    table.add(mbr::LINUX_RAID, lba(*start), lba(*end - *start).0, block)?;
                }
                return Ok(PartitionTable::Mbr(table));
            }
            let mut table = Gpt::create(size, block, Uuid::new_v4())?;
            for (start, end) in &ranges {
                table.add(gpt::LINUX_RAID, Uuid::new_v4(), lba(*start), Lba(lba(*end).0 - 1))?;
            }
            Ok(PartitionTable::Gpt(table))
        };
        Ok(Self { disk, table: plan().map_err(failed)? })
    }

    /// Writes the table, and returns the partitions' devices in the order of their sizes.
    ///
    /// # Errors
    /// When the disk cannot be written, or the partitions do not appear.
    pub(super) fn carry_out(&self, step: &Step) -> Result<Vec<String>, DeviceError> {
        step.progress.activity(format!("partitioning {}", self.disk.name));
        let open = OpenDevice::open(&step.site.machine, self.disk, Access::Write)?;
        let failed = |cause| DeviceError::Table { device: self.disk.name.clone(), cause };
        self.table.write(open.file()).map_err(failed)?;
        let partitions = partitions::reread(&step.site.machine, self.disk, &open)?;
        Ok(partitions.into_iter().map(|partition| partition.name).collect())
    }

    /// The disk.
    pub(super) fn disk(&self) -> &'a str {
        &self.disk.name
    }
}

/// Start and end of each partition. Sizes count as parted's ends do: the first ends at its size, the others follow.
fn ranges(first: Bytes, disk: Bytes, wants: &[Option<u64>]) -> Result<Vec<(Bytes, Bytes)>, TableError> {
    let limit = Bytes(disk.0.saturating_sub(TAIL.0) / ALIGNMENT.0 * ALIGNMENT.0);
    let mut start = first;
    let mut before = Bytes(0);
    let mut ranges = Vec::new();
    for want in wants {
        let end = match want {
            Some(gib) => Bytes(gib.saturating_mul(Bytes::gib(1).0).saturating_add(before.0)),
            None => limit,
        };
        if end > disk || end <= start {
            return Err(TableError::NoSpace(Bytes(end.0.saturating_sub(before.0))));
        }
        ranges.push((start, end));
        (start, before) = (end, end);
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_follow_each_other() {
        let first = Bytes::mib(1);
        assert_eq!(
            ranges(first, Bytes::gib(10), &[Some(1), Some(2), None]).unwrap(),
            [(first, Bytes::gib(1)), (Bytes::gib(1), Bytes::gib(3)), (Bytes::gib(3), Bytes::gib(10) - Bytes::mib(1))]
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for wants in [&[Some(3)][..], &[Some(2), None], &[Some(u64::MAX)], &[Some(1), Some(1), Some(1)]] {
            assert!(ranges(Bytes::mib(1), Bytes::gib(2), wants).is_err(), "{wants:?}");
        }
        // No room beside the EFI system partition.
        assert!(ranges(Bytes::mib(551), Bytes::mib(551), &[None]).is_err());
    }
}
