//! DOS partition tables: the four entries of the master boot record, and the chain of logical partitions.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::table_error::TableError;
use crate::units::{BlockSize, Lba};

/// Type of the one entry that protects a GUID partition table.
pub const PROTECTIVE: u8 = 0xee;
/// Type of a Linux file system.
pub const LINUX: u8 = 0x83;
/// Type of Linux swap space.
pub const LINUX_SWAP: u8 = 0x82;
/// Type of an EFI system partition.
pub const EFI_SYSTEM: u8 = 0xef;
/// Type of a member of Linux software RAID.
pub const LINUX_RAID: u8 = 0xfd;
/// Types of extended partitions.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
/// More logical partitions than any disk has: a chain that loops ends here.
const MOST_LOGICAL: usize = 128;
/// The flag of the entry to boot from.
const ACTIVE: u8 = 0x80;
const SECTOR_BYTES: usize = 512;
const ENTRIES_AT: usize = 446;
const ENTRY_BYTES: usize = 16;

/// The first sector of a disk that has a DOS partition table.
#[derive(Clone, PartialEq, Eq)]
pub struct Mbr {
    sector: Box<[u8; SECTOR_BYTES]>,
}

/// One used entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MbrPartition {
    /// 1 to 4 for entries of the master boot record, from 5 for logical partitions.
    pub number: u32,
    /// What it holds.
    pub kind: u8,
    /// Marked as the one to boot from.
    pub active: bool,
    /// First block.
    pub first: Lba,
    /// Number of blocks.
    pub blocks: u64,
}

impl MbrPartition {
    /// True for the partition that only holds logical ones.
    pub fn is_extended(&self) -> bool {
        EXTENDED.contains(&self.kind)
    }
}

impl std::fmt::Debug for Mbr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mbr").field("disk_id", &self.disk_id()).field("primaries", &self.primaries()).finish()
    }
}

impl Mbr {
    /// Reads the master boot record. Nothing when there is none; a bare file system whose boot sector ends in the same
    /// two bytes is none either.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn read(disk: &File) -> Result<Option<Self>, TableError> {
        let mut sector = [0; SECTOR_BYTES];
        disk.read_exact_at(&mut sector, 0)?;
        Ok(Self::of(&sector))
    }

    /// As [`Mbr::read`], of a disk that starts with `head`.
    pub fn of(head: &[u8]) -> Option<Self> {
        let sector = head.first_chunk::<SECTOR_BYTES>()?;
        has_entries(sector).then(|| Self { sector: Box::new(*sector) })
    }

    /// A new, empty table with this disk identifier.
    pub fn create(disk_id: u32) -> Self {
        let mut sector = [0; SECTOR_BYTES];
        sector[440..444].copy_from_slice(&disk_id.to_le_bytes());
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        Self { sector: Box::new(sector) }
    }

    /// The disk identifier at byte 440.
    pub fn disk_id(&self) -> u32 {
        u32_at(&self.sector, 440)
    }

    /// True when the disk has a GUID partition table, which this one only protects.
    pub fn is_protective(&self) -> bool {
        self.primaries().iter().any(|partition| partition.kind == PROTECTIVE)
    }

    /// The used entries of the master boot record, an extended partition included.
    pub fn primaries(&self) -> Vec<MbrPartition> {
        (1..=4).filter_map(|number| parse(&self.sector, number as usize - 1, number)).collect()
    }

    /// The logical partitions, by following the chain through the extended partition.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn logicals(&self, disk: &File, block: BlockSize) -> Result<Vec<MbrPartition>, TableError> {
        let Some(extended) = self.primaries().into_iter().find(MbrPartition::is_extended) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        let mut at = extended.first;
        while found.len() < MOST_LOGICAL {
            let mut sector = [0; SECTOR_BYTES];
            match disk.read_exact_at(&mut sector, at.to_bytes(block).0) {
                // A chain that leads out of the disk ends where it leaves.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                result => result?,
            }
            if !has_entries(&sector) {
                break;
            }
            let entries: Vec<_> = (0..4).filter_map(|index| parse(&sector, index, 0)).collect();
            if let Some(data) = entries.iter().find(|entry| !entry.is_extended()) {
                let number = 5 + found.len() as u32;
                found.push(MbrPartition { number, first: Lba(at.0 + data.first.0), ..*data });
            }
            match entries.iter().find(|entry| entry.is_extended()) {
                Some(next) if extended.first.0 + next.first.0 > at.0 => at = Lba(extended.first.0 + next.first.0),
                _ => break,
            }
        }
        Ok(found)
    }

    /// Adds a primary partition in the first free entry.
    ///
    /// # Errors
    /// [`TableError::Full`] when all four are used, [`TableError::NoSpace`] when it overlaps or starts behind block 2^32.
    pub fn add(&mut self, kind: u8, first: Lba, blocks: u64, block: BlockSize) -> Result<MbrPartition, TableError> {
        let used = self.primaries();
        let number = (1..=4).find(|n| used.iter().all(|other| other.number != *n)).ok_or(TableError::Full)?;
        let overlaps = used.iter().any(|o| first.0 < o.first.0 + o.blocks && o.first.0 < first.0 + blocks);
        let (Ok(start), Ok(length)) = (u32::try_from(first.0), u32::try_from(blocks)) else {
            return Err(TableError::NoSpace(Lba(blocks).to_bytes(block)));
        };
        if overlaps || start == 0 || length == 0 {
            return Err(TableError::NoSpace(Lba(blocks).to_bytes(block)));
        }
        encode(&mut self.sector, number as usize - 1, kind, start, length);
        Ok(MbrPartition { number, kind, active: false, first, blocks })
    }

    /// Marks the entry of this number (1 to 4) as the one to boot from, and no other.
    pub fn activate(&mut self, number: u32) {
        for index in 0..4 {
            self.sector[ENTRIES_AT + index * ENTRY_BYTES] = if index + 1 == number as usize { ACTIVE } else { 0 };
        }
    }

    /// Removes the entry of this number (1 to 4).
    pub fn remove(&mut self, number: u32) {
        if (1..=4).contains(&number) {
            let at = ENTRIES_AT + (number as usize - 1) * ENTRY_BYTES;
            self.sector[at..at + ENTRY_BYTES].fill(0);
        }
    }

    /// Writes the master boot record and makes it durable.
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub fn write(&self, disk: &File) -> Result<(), TableError> {
        disk.write_all_at(&self.sector[..], 0)?;
        disk.sync_data()?;
        Ok(())
    }
}

/// Protects a GUID partition table: one entry over the whole disk. Boot code, the disk identifier and the further
/// entries of a hybrid table stay.
pub(crate) fn write_protective(disk: &File, disk_blocks: u64) -> Result<(), TableError> {
    let mut sector = [0; SECTOR_BYTES];
    disk.read_exact_at(&mut sector, 0)?;
    let length = u32::try_from(disk_blocks - 1).unwrap_or(u32::MAX);
    match Mbr::read(disk)?.and_then(|mbr| mbr.primaries().into_iter().find(|entry| entry.kind == PROTECTIVE)) {
        // In a hybrid table the protective entry covers only what lies before the others.
        Some(entry) if entry.first == Lba(1) && Mbr { sector: Box::new(sector) }.primaries().len() == 1 => {
            let at = ENTRIES_AT + (entry.number as usize - 1) * ENTRY_BYTES;
            sector[at + 12..at + 16].copy_from_slice(&length.to_le_bytes());
        }
        Some(_) => {}
        None => {
            sector[ENTRIES_AT..].fill(0);
            encode(&mut sector, 0, PROTECTIVE, 1, length);
        }
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    disk.write_all_at(&sector, 0)?;
    Ok(())
}

/// As the kernel decides: the two last bytes are right and every entry's first byte is a boot flag.
fn has_entries(sector: &[u8; SECTOR_BYTES]) -> bool {
    let flags = (0..4).map(|index| sector[ENTRIES_AT + index * ENTRY_BYTES]);
    let is_file_system = &sector[54..57] == b"FAT" || &sector[82..85] == b"FAT" || &sector[3..7] == b"NTFS";
    sector[510..] == [0x55, 0xaa] && flags.into_iter().all(|flag| flag & 0x7f == 0) && {
        // FAT and NTFS boot sectors carry code where the entries would be; an all-zero table there is no table.
        !is_file_system || (0..4).any(|index| parse(sector, index, 0).is_some())
    }
}

fn parse(sector: &[u8; SECTOR_BYTES], index: usize, number: u32) -> Option<MbrPartition> {
    let at = ENTRIES_AT + index * ENTRY_BYTES;
    let kind = sector[at + 4];
    let (first, blocks) = (u32_at(sector, at + 8), u32_at(sector, at + 12));
    let active = sector[at] & ACTIVE != 0;
    (kind != 0 && blocks != 0).then(|| MbrPartition {
        number,
        kind,
        active,
        first: Lba(u64::from(first)),
        blocks: u64::from(blocks),
    })
}

fn encode(sector: &mut [u8; SECTOR_BYTES], index: usize, kind: u8, first: u32, blocks: u32) {
    let entry = &mut sector[ENTRIES_AT + index * ENTRY_BYTES..][..ENTRY_BYTES];
    // Cylinders, heads and sectors mean nothing today: the values that say "use the block numbers".
    let start = if kind == PROTECTIVE { [0x00, 0x02, 0x00] } else { [0xfe, 0xff, 0xff] };
    entry[0] = 0;
    entry[1..4].copy_from_slice(&start);
    entry[4] = kind;
    entry[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
    entry[8..12].copy_from_slice(&first.to_le_bytes());
    entry[12..16].copy_from_slice(&blocks.to_le_bytes());
}

fn u32_at(sector: &[u8; SECTOR_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([sector[at], sector[at + 1], sector[at + 2], sector[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: BlockSize = BlockSize(512);

    #[test]
    fn primaries_are_added_until_the_table_is_full() {
        let disk = tempfile::tempfile().unwrap();
        let mut table = Mbr::create(0x1234_5678);
        for number in 1..=4 {
            let added = table.add(LINUX, Lba(u64::from(number) * 2048), 2048, BLOCK).unwrap();
            assert_eq!(added.number, number);
        }
        assert!(matches!(table.add(LINUX, Lba(100_000), 1, BLOCK), Err(TableError::Full)));
        table.write(&disk).unwrap();
        let read = Mbr::read(&disk).unwrap().unwrap();
        assert_eq!((read.disk_id(), read.primaries()), (0x1234_5678, table.primaries()));
    }

    #[test]
    fn overlapping_or_unreachable_partitions_are_refused() {
        let mut table = Mbr::create(1);
        table.add(LINUX, Lba(2048), 2048, BLOCK).unwrap();
        for (first, blocks) in [(3000, 1), (1, 5000), (1 << 32, 1), (9000, 1 << 32), (9000, 0)] {
            assert!(matches!(table.add(LINUX, Lba(first), blocks, BLOCK), Err(TableError::NoSpace(_))), "{first}");
        }
    }

    #[test]
    fn a_bare_file_system_is_no_table() {
        let disk = tempfile::tempfile().unwrap();
        let mut sector = [0; SECTOR_BYTES];
        sector[82..87].copy_from_slice(b"FAT32");
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        disk.write_all_at(&sector, 0).unwrap();
        assert_eq!(Mbr::read(&disk).unwrap(), None);
        sector[ENTRIES_AT..ENTRIES_AT + 4].copy_from_slice(b"code");
        disk.write_all_at(&sector, 0).unwrap();
        assert_eq!(Mbr::read(&disk).unwrap(), None);
    }

    #[test]
    fn a_chain_of_logical_partitions_that_loops_ends() {
        let disk = tempfile::tempfile().unwrap();
        disk.set_len(64 << 20).unwrap();
        let mut table = Mbr::create(1);
        table.add(0x05, Lba(2048), 60_000, BLOCK).unwrap();
        table.write(&disk).unwrap();
        let mut link = Mbr::create(0);
        encode(&mut link.sector, 0, LINUX, 64, 1000);
        // Points back to itself.
        encode(&mut link.sector, 1, 0x05, 0, 1000);
        disk.write_all_at(&link.sector[..], 2048 * 512).unwrap();
        let logicals = table.logicals(&disk, BLOCK).unwrap();
        assert_eq!(logicals.len(), 1);
        assert_eq!((logicals[0].number, logicals[0].first), (5, Lba(2112)));
    }
}
