//! The partition table of a disk, whichever kind it is.

use std::fs::File;

use crate::gpt::Gpt;
use crate::mbr::Mbr;
use crate::table_error::TableError;
use crate::units::{BlockSize, Bytes, Lba};

/// The partition table found on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionTable {
    /// A GUID partition table.
    Gpt(Gpt),
    /// A DOS partition table.
    Mbr(Mbr),
}

/// One partition as the table describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableEntry {
    /// Number, from 1.
    pub number: u32,
    /// Where it starts on the disk.
    pub start: Bytes,
    /// Its size.
    pub size: Bytes,
    /// The type as partition tools print it: a lower-case GUID, or `0x83`.
    pub kind: String,
}

/// The kernel shows an extended partition with this size, so that nobody takes it for one to be written to.
const EXTENDED_BYTES: Bytes = Bytes(1024);

impl PartitionTable {
    /// Reads the table of a disk; nothing when it has none. As the kernel sees it: a GUID table counts only when the
    /// master boot record protects it.
    ///
    /// # Errors
    /// When the disk cannot be read, or the table is damaged.
    pub fn read(disk: &File, size: Bytes, block: BlockSize) -> Result<Option<Self>, TableError> {
        if size.0 < u64::from(block.0) {
            return Ok(None);
        }
        match Mbr::read(disk)? {
            None => Ok(None),
            Some(mbr) if mbr.is_protective() => Ok(Gpt::read(disk, size, block)?.map(Self::Gpt)),
            Some(mbr) => Ok(Some(Self::Mbr(mbr))),
        }
    }

    /// The identifier of a partition (PARTUUID) as Linux names it: its GUID, or disk identifier and number.
    pub fn partition_uuid(&self, number: u32) -> Option<String> {
        match self {
            Self::Gpt(gpt) => {
                gpt.partitions().into_iter().find(|found| found.number == number).map(|found| found.guid.to_string())
            }
            Self::Mbr(mbr) => Some(format!("{:08x}-{number:02x}", mbr.disk_id())),
        }
    }

    /// Writes the table and makes it durable.
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub fn write(&self, disk: &File) -> Result<(), TableError> {
        match self {
            Self::Gpt(gpt) => gpt.write(disk),
            Self::Mbr(mbr) => mbr.write(disk),
        }
    }

    /// Its partitions, by number.
    ///
    /// # Errors
    /// When the chain of logical partitions cannot be read.
    pub fn entries(&self, disk: &File, block: BlockSize) -> Result<Vec<TableEntry>, TableError> {
        match self {
            Self::Gpt(gpt) => Ok(gpt
                .partitions()
                .into_iter()
                .map(|partition| TableEntry {
                    number: partition.number,
                    start: partition.first.to_bytes(block),
                    size: Lba(partition.blocks()).to_bytes(block),
                    kind: partition.type_guid.to_string(),
                })
                .collect()),
            Self::Mbr(mbr) => {
                let mut all = mbr.primaries();
                all.extend(mbr.logicals(disk, block)?);
                Ok(all
                    .into_iter()
                    .map(|partition| TableEntry {
                        number: partition.number,
                        start: partition.first.to_bytes(block),
                        size: if partition.is_extended() {
                            EXTENDED_BYTES
                        } else {
                            Lba(partition.blocks).to_bytes(block)
                        },
                        kind: format!("{:#04x}", partition.kind),
                    })
                    .collect())
            }
        }
    }
}
