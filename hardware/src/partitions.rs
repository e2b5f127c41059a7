//! The partitions of a disk, as the kernel knows them.

use std::io;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::block::busy::when_free;
use crate::block::{EligibleDevice, HeldDisk};
use crate::ioctl;
use crate::machine::Machine;
use crate::open_device::{Access, DeviceError, OpenDevice};
use crate::partition_table::{PartitionTable, TableEntry};
use crate::units::Bytes;

/// How long a partition may be busy: udev looks into every device that was just written and closed.
const BUSY_LIMIT: Duration = Duration::from_secs(20);
/// How often is looked for a new partition's node.
const NODE_POLL: Duration = Duration::from_millis(50);

/// One partition of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Kernel device path, `/dev/sda1`.
    pub name: String,
    /// Number in the partition table, from 1.
    pub number: u32,
    /// Where it starts on the disk.
    pub start: Bytes,
    /// Its size.
    pub size: Bytes,
}

/// The partitions of `disk` that the kernel knows, by number.
pub fn list(machine: &Machine, disk: &EligibleDevice) -> Vec<Partition> {
    let kernel_name = disk.name.trim_start_matches("/dev/");
    let Ok(entries) = std::fs::read_dir(machine.path(format!("/sys/class/block/{kernel_name}"))) else {
        return Vec::new();
    };
    let mut partitions: Vec<Partition> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let read = |attribute| -> Option<u64> {
                machine.read(format!("/sys/class/block/{kernel_name}/{name}/{attribute}"))?.parse().ok()
            };
            Some(Partition {
                number: u32::try_from(read("partition")?).ok()?,
                // sysfs counts in 512-byte units whatever the block size.
                start: Bytes(read("start")? * 512),
                size: Bytes(read("size")? * 512),
                name: format!("/dev/{name}"),
            })
        })
        .collect();
    partitions.sort_by_key(|partition| partition.number);
    partitions
}

/// The partitions that the table on the disk names and the kernel does not show, as on devices without partition
/// scanning; without what of them lies behind the end of the disk.
///
/// # Errors
/// When the table cannot be read or is damaged.
pub fn unseen(machine: &Machine, disk: &EligibleDevice, open: &OpenDevice) -> Result<Vec<TableEntry>, DeviceError> {
    let failed = |cause| DeviceError::Table { device: disk.name.clone(), cause };
    let Some(table) = PartitionTable::read(open.file(), open.size(), open.block_size()).map_err(failed)? else {
        return Ok(Vec::new());
    };
    let known = list(machine, disk);
    let mut entries = table.entries(open.file(), open.block_size()).map_err(failed)?;
    entries.retain(|entry| entry.start < open.size() && known.iter().all(|known| known.start != entry.start));
    for entry in &mut entries {
        entry.size = entry.size.min(open.size() - entry.start);
    }
    Ok(entries)
}

/// The kernel's name for partition `number` of the disk `name`: `/dev/sda1`, `/dev/nvme0n1p1`.
pub fn node(name: &str, number: u32) -> String {
    let separator = if name.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
    format!("{name}{separator}{number}")
}

/// Makes the kernel forget every partition of `disk`.
///
/// # Errors
/// When a partition stays in use.
pub fn forget(machine: &Machine, disk: &EligibleDevice, open: &OpenDevice) -> Result<(), DeviceError> {
    for partition in list(machine, disk) {
        remove(open, &partition)?;
    }
    Ok(())
}

/// Makes the kernel's partitions those of the table on the disk and waits for their device nodes.
///
/// Kernels without a parser for the table, and devices without partition scanning, are told of each partition.
///
/// # Errors
/// When the table is damaged, a partition stays in use, or a node does not appear.
pub fn reread(machine: &Machine, disk: &EligibleDevice, open: &OpenDevice) -> Result<Vec<Partition>, DeviceError> {
    match when_free(BUSY_LIMIT, || ioctl::reread_partitions(open.file())) {
        Err(error) if !matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOTTY)) => {
            return Err(open.failed("reading the partition table again", error));
        }
        _ => {}
    }
    let table_failed = |cause| DeviceError::Table { device: disk.name.clone(), cause };
    let Some(table) = PartitionTable::read(open.file(), open.size(), open.block_size()).map_err(table_failed)? else {
        // A table of another kind, which only the kernel understands.
        return Ok(list(machine, disk));
    };
    let wanted = table.entries(open.file(), open.block_size()).map_err(table_failed)?;
    announce(machine, disk, open, &wanted)
}

/// Adds a partition to the GUID partition table of a disk that an array lies on, in its first free space that is large
/// enough, and tells the kernel.
///
/// # Errors
/// When the disk has no such table or no such space, or its node does not appear.
pub fn add_to_held(
    machine: &Machine,
    disk: &HeldDisk,
    type_guid: Uuid,
    size: Bytes,
    name: &str,
) -> Result<Partition, DeviceError> {
    let failed = |cause| DeviceError::Table { device: disk.name().to_string(), cause };
    let open = OpenDevice::open_held(machine, disk, Access::Write)?;
    let table = PartitionTable::read(open.file(), open.size(), open.block_size()).map_err(failed)?;
    let Some(PartitionTable::Gpt(mut table)) = table else {
        let reason = "it has no GUID partition table".to_string();
        return Err(DeviceError::Refused { device: disk.name().to_string(), reason });
    };
    let added = table.add_where_it_fits(type_guid, Uuid::new_v4(), size, name).map_err(failed)?;
    table.write(open.file()).map_err(failed)?;
    let entries = PartitionTable::Gpt(table).entries(open.file(), open.block_size()).map_err(failed)?;
    let partitions = announce(machine, disk.device(), &open, &entries)?;
    let found = partitions.into_iter().find(|partition| partition.number == added.number);
    found.ok_or_else(|| open.failed("looking for the new partition", io::ErrorKind::NotFound.into()))
}

/// Makes the kernel's partitions these, whatever table is on the disk, and waits for their device nodes.
///
/// # Errors
/// When a partition stays in use, or a node does not appear.
pub fn announce(
    machine: &Machine,
    disk: &EligibleDevice,
    open: &OpenDevice,
    wanted: &[TableEntry],
) -> Result<Vec<Partition>, DeviceError> {
    let matches = |known: &Partition, entry: &TableEntry| {
        (known.number, known.start, known.size) == (entry.number, entry.start, entry.size)
    };
    let known = list(machine, disk);
    for stale in known.iter().filter(|known| !wanted.iter().any(|entry| matches(known, entry))) {
        remove(open, stale)?;
    }
    for entry in wanted.iter().filter(|entry| !known.iter().any(|known| matches(known, entry))) {
        when_free(BUSY_LIMIT, || ioctl::add_partition(open.file(), entry.number, entry.start, entry.size))
            .map_err(|cause| open.failed("adding a partition", cause))?;
    }
    let partitions = list(machine, disk);
    for partition in &partitions {
        wait_for_node(machine, partition)?;
    }
    Ok(partitions)
}

/// Devices appear in `/dev` at once when it is the kernel's own; elsewhere udev or a container runtime makes them.
fn wait_for_node(machine: &Machine, partition: &Partition) -> Result<(), DeviceError> {
    let path = machine.path(&partition.name);
    let limit = Instant::now() + BUSY_LIMIT;
    while !path.exists() {
        if Instant::now() > limit {
            let cause = io::Error::from(io::ErrorKind::NotFound);
            return Err(DeviceError::Io { device: partition.name.clone(), action: "waiting for its node", cause });
        }
        std::thread::sleep(NODE_POLL);
    }
    Ok(())
}

fn remove(open: &OpenDevice, partition: &Partition) -> Result<(), DeviceError> {
    when_free(BUSY_LIMIT, || match ioctl::delete_partition(open.file(), partition.number) {
        // Somebody else made the kernel read the table meanwhile.
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(()),
        result => result,
    })
    .map_err(|cause| DeviceError::Io { device: partition.name.clone(), action: "removing the partition", cause })
}
