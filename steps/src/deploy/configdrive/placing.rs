//! Where the config drive goes: into the partition with the label `config-2`, else into a new one at the end of the
//! disk. Everything is written through the descriptor of the whole disk: nodes of partitions may be late or missing.

use std::os::unix::fs::FileExt;

use ferric_hardware::open_device::OpenDevice;
use ferric_hardware::partition_table::{PartitionTable, TableEntry};
use ferric_hardware::signature;
use ferric_hardware::table_error::TableError;
use ferric_hardware::units::{Bytes, Lba};
use uuid::{Uuid, uuid};

use super::{Drive, LIMIT};
use crate::{ErrorKind, StepError};

/// The label by which cloud-init finds the drive.
const LABEL: &str = "config-2";
/// GPT type "Linux filesystem data".
const LINUX_DATA: Uuid = uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");
/// MBR type of FAT32 with LBA; what partition tools write for a config drive.
const FAT32_LBA: u8 = 0x0c;
/// Partitions start at whole MiB.
const ALIGNMENT: Bytes = Bytes::mib(1);
/// An MBR counts blocks in 32 bits.
const MBR_BLOCKS: u64 = u32::MAX as u64;

/// Writes the config drive of `node` to the disk and makes it durable. Returns where it is.
///
/// # Errors
/// [`ErrorKind::Deployment`] when the disk has no partition table, no room, several drives, or cannot be written.
pub fn place(disk: &OpenDevice, drive: &Drive, node: &str) -> Result<TableEntry, StepError> {
    let device = disk.name();
    let failed = || {
        ErrorKind::Deployment.error(format!("Failed to create config drive on disk {device} for node {node}. Error"))
    };
    let table =
        PartitionTable::read(disk.file(), disk.size(), disk.block_size()).map_err(|error| failed().because(error))?;
    let table = table.ok_or_else(|| failed().because("the disk has no partition table"))?;
    let entries = table.entries(disk.file(), disk.block_size()).map_err(|error| failed().because(error))?;
    let found: Vec<&TableEntry> = entries.iter().filter(|entry| is_config_drive(disk, entry)).collect();
    let partition = match found.as_slice() {
        [] => create(disk, table, node).map_err(|error| match error {
            Refusal::Said(said) => said,
            Refusal::Table(error) => failed().because(error),
        })?,
        [one] => (*one).clone(),
        _ => {
            return Err(
                failed().because(format!("More than one partition with label \"{LABEL}\" exists on device {device}"))
            );
        }
    };
    let content = drive.content(partition.size, disk.block_size()).map_err(|error| failed().because(error))?;
    let size = content.len() as u64;
    if size > partition.size.0 {
        return Err(failed().because(format!(
            "it has {} ({size} bytes), partition {} with label \"{LABEL}\" only {}",
            Bytes(size),
            partition.number,
            partition.size
        )));
    }
    disk.file().write_all_at(&content, partition.start.0).map_err(|error| failed().because(error))?;
    disk.flush().map_err(|error| failed().because(error))?;
    Ok(partition)
}

fn is_config_drive(disk: &OpenDevice, entry: &TableEntry) -> bool {
    // What cannot be probed is no config drive.
    let label = signature::label(disk, entry.start, entry.size).ok().flatten();
    label.is_some_and(|label| label.eq_ignore_ascii_case(LABEL))
}

enum Refusal {
    Said(StepError),
    Table(TableError),
}

impl From<TableError> for Refusal {
    fn from(error: TableError) -> Self {
        Self::Table(error)
    }
}

fn create(disk: &OpenDevice, table: PartitionTable, node: &str) -> Result<TableEntry, Refusal> {
    let block = disk.block_size();
    match table {
        PartitionTable::Gpt(mut gpt) => {
            gpt.fit_to_disk()?;
            let added = gpt.add_at_end(LINUX_DATA, Uuid::new_v4(), LIMIT)?;
            gpt.write(disk.file())?;
            let (start, size) = (added.first.to_bytes(block), Lba(added.blocks()).to_bytes(block));
            Ok(TableEntry { number: added.number, start, size, kind: LINUX_DATA.to_string() })
        }
        PartitionTable::Mbr(mut mbr) => {
            let primaries = mbr.primaries().len();
            if primaries > 3 {
                return Err(Refusal::Said(ErrorKind::Deployment.error(format!(
                    "Config drive cannot be created for node {node}. Disk ({}) uses MBR partitioning and already has \
                     {primaries} primary partitions.",
                    disk.name()
                ))));
            }
            let block_bytes = u64::from(block.0);
            let end = disk.size().0.min(MBR_BLOCKS * block_bytes) / ALIGNMENT.0 * ALIGNMENT.0;
            let start = end.checked_sub(LIMIT.0).ok_or(TableError::NoSpace(LIMIT))?;
            let added = mbr.add(FAT32_LBA, Lba(start / block_bytes), LIMIT.0 / block_bytes, block)?;
            mbr.write(disk.file())?;
            Ok(TableEntry { number: added.number, start: Bytes(start), size: LIMIT, kind: format!("{FAT32_LBA:#04x}") })
        }
    }
}
