//! GUID partition tables (UEFI specification, chapter 5): read with both checksums verified, fitted to the disk, changed
//! and written. Everything counts in logical blocks of the disk, whatever their size.

mod header;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use uuid::{Uuid, uuid};

use self::header::Header;
use crate::mbr;
use crate::table_error::TableError;
use crate::units::{BlockSize, Bytes, Lba};

/// Type of an EFI system partition.
pub const EFI_SYSTEM: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
/// Type of a Linux file system.
pub const LINUX_FILE_SYSTEM: Uuid = uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");
/// Type of Linux swap space.
pub const LINUX_SWAP: Uuid = uuid!("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f");
/// Type of the partition in which BIOS boot loaders put their own code.
pub const BIOS_BOOT: Uuid = uuid!("21686148-6449-6e6f-744e-656564454649");
/// Type of a member of Linux software RAID.
pub const LINUX_RAID: Uuid = uuid!("a19d880f-05fc-4d3b-a006-743f0f84911e");

/// Number and size of the entries in a table we make ourselves; the least the specification allows.
const NEW_ENTRIES: u32 = 128;
const ENTRY_BYTES: u32 = 128;
/// Partitions we add start at a multiple of this.
const ALIGNMENT: Bytes = Bytes::mib(1);

/// A GUID partition table in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpt {
    block: BlockSize,
    disk_blocks: u64,
    header: Header,
    entries: Vec<u8>,
    both_intact: bool,
}

/// Fills a buffer with what a disk holds at a byte.
type Read<'a> = &'a dyn Fn(&mut [u8], u64) -> io::Result<()>;

/// One of the two copies of a table.
enum Copy {
    Intact(Gpt),
    Damaged(&'static str),
    Absent,
}

/// One used entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GptPartition {
    /// Position in the table, from 1.
    pub number: u32,
    /// What it holds.
    pub type_guid: Uuid,
    /// Its own identifier (PARTUUID).
    pub guid: Uuid,
    /// First block.
    pub first: Lba,
    /// Last block, inclusive.
    pub last: Lba,
    /// Attribute bits.
    pub attributes: u64,
    /// Name (PARTLABEL).
    pub name: String,
}

impl GptPartition {
    /// Number of blocks.
    pub fn blocks(&self) -> u64 {
        self.last.0 - self.first.0 + 1
    }
}

impl Gpt {
    /// Reads the table of a disk of this size: the primary one when it is intact, else the backup. Nothing when there
    /// is no sign of a table.
    ///
    /// # Errors
    /// [`TableError::Damaged`] when there are signs of a table and none is intact.
    pub fn read(disk: &File, size: Bytes, block: BlockSize) -> Result<Option<Self>, TableError> {
        let disk_blocks = size.0 / u64::from(block.0);
        if disk_blocks < 3 {
            return Ok(None);
        }
        let read = |into: &mut [u8], at| disk.read_exact_at(into, at);
        let primary = Self::read_at(&read, Lba(1), disk_blocks, block)?;
        // A table of a smaller disk knows best where its backup is.
        let backup_at = match &primary {
            Copy::Intact(table) if table.header.alternate.0 < disk_blocks => table.header.alternate,
            _ => Lba(disk_blocks - 1),
        };
        let backup = Self::read_at(&read, backup_at, disk_blocks, block)?;
        match (primary, backup) {
            (Copy::Intact(table), backup) => {
                let both_intact = matches!(backup, Copy::Intact(backup) if backup.entries == table.entries);
                Ok(Some(Self { both_intact, ..table }))
            }
            (_, Copy::Intact(mut backup)) => {
                backup.header.current = Lba(1);
                backup.header.alternate = backup_at;
                backup.header.entries_at = Lba(2);
                Ok(Some(backup))
            }
            (Copy::Damaged(reason), _) | (_, Copy::Damaged(reason)) => Err(TableError::Damaged(reason)),
            (Copy::Absent, Copy::Absent) => Ok(None),
        }
    }

    /// The primary table of a disk of any size that starts with `head`. Nothing when there is none, or when its entries
    /// do not lie in `head`.
    ///
    /// # Errors
    /// [`TableError::Damaged`] when it is not intact.
    pub fn primary(head: &[u8], block: BlockSize) -> Result<Option<Self>, TableError> {
        let read = |into: &mut [u8], at| {
            let start = usize::try_from(at).ok();
            let bytes = start.and_then(|start| head.get(start..start.checked_add(into.len())?));
            into.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        };
        let any_size = u64::MAX / u64::from(block.0);
        match Self::read_at(&read, Lba(1), any_size, block) {
            Ok(Copy::Intact(table)) => Ok(Some(table)),
            Ok(Copy::Damaged(reason)) => Err(TableError::Damaged(reason)),
            Ok(Copy::Absent) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A new, empty table for a disk of this size.
    ///
    /// # Errors
    /// [`TableError::NoSpace`] when the disk is too small to hold one.
    pub fn create(size: Bytes, block: BlockSize, disk_guid: Uuid) -> Result<Self, TableError> {
        let mut table = Self {
            block,
            disk_blocks: size.0 / u64::from(block.0),
            header: Header::new(disk_guid, NEW_ENTRIES, ENTRY_BYTES),
            entries: vec![0; (NEW_ENTRIES * ENTRY_BYTES) as usize],
            both_intact: false,
        };
        let array = table.array_blocks();
        if table.disk_blocks < 2 * array + 4 {
            return Err(TableError::NoSpace(size));
        }
        table.header.first_usable = Lba(2 + array);
        table.fit_to_disk()?;
        Ok(table)
    }

    /// Identifier of the disk.
    pub fn disk_guid(&self) -> Uuid {
        self.header.disk_guid
    }

    /// Logical block size.
    pub fn block_size(&self) -> BlockSize {
        self.block
    }

    /// The last block that a partition may use on a disk of this size: behind it comes the backup.
    pub fn last_usable_on(&self, size: Bytes) -> Lba {
        Lba((size.0 / u64::from(self.block.0)).saturating_sub(self.array_blocks() + 2))
    }

    /// True when primary and backup are both intact and say the same, wherever the backup is.
    pub fn has_backup(&self) -> bool {
        self.both_intact
    }

    /// True when primary and backup are both intact and say the same, and the backup is at the end of the disk.
    pub fn is_sound(&self) -> bool {
        self.both_intact && self.header.alternate.0 == self.disk_blocks - 1
    }

    /// Every used entry, by number.
    pub fn partitions(&self) -> Vec<GptPartition> {
        let entries = self.entries.chunks_exact(self.header.entry_bytes as usize);
        entries.zip(1..).filter_map(|(entry, number)| parse_entry(entry, number)).collect()
    }

    /// Makes the whole disk usable: the backup goes to its end. Nothing is written yet.
    ///
    /// # Errors
    /// [`TableError::NoSpace`] when a partition reaches into the place of the backup.
    pub fn fit_to_disk(&mut self) -> Result<(), TableError> {
        let last_usable = self.last_usable_on(Lba(self.disk_blocks).to_bytes(self.block));
        if let Some(partition) = self.partitions().into_iter().find(|partition| partition.last > last_usable) {
            return Err(TableError::NoSpace(Lba(partition.blocks()).to_bytes(self.block)));
        }
        self.header.alternate = Lba(self.disk_blocks - 1);
        self.header.last_usable = last_usable;
        Ok(())
    }

    /// Adds a partition over whole blocks, `last` inclusive, in the first free entry.
    ///
    /// # Errors
    /// [`TableError::NoSpace`] when the range is outside of the usable blocks or overlaps, [`TableError::Full`].
    pub fn add(&mut self, type_guid: Uuid, guid: Uuid, first: Lba, last: Lba) -> Result<GptPartition, TableError> {
        let used = self.partitions();
        let fits = first <= last && first >= self.header.first_usable && last <= self.header.last_usable;
        if !fits || used.iter().any(|other| first <= other.last && last >= other.first) {
            let blocks = last.0.saturating_sub(first.0).saturating_add(1);
            return Err(TableError::NoSpace(Lba(blocks).to_bytes(self.block)));
        }
        let free = (1..=self.header.entry_count).find(|number| used.iter().all(|other| other.number != *number));
        let number = free.ok_or(TableError::Full)?;
        let partition = GptPartition { number, type_guid, guid, first, last, attributes: 0, name: String::new() };
        let bytes = self.header.entry_bytes as usize;
        let at = (number as usize - 1) * bytes;
        write_entry(&mut self.entries[at..at + bytes], &partition);
        Ok(partition)
    }

    /// Adds a partition of at least `size` that ends with the last usable block; it starts at a whole MiB.
    ///
    /// # Errors
    /// As [`Gpt::add`].
    pub fn add_at_end(&mut self, type_guid: Uuid, guid: Uuid, size: Bytes) -> Result<GptPartition, TableError> {
        let block = u64::from(self.block.0);
        let end = (self.header.last_usable.0 + 1) * block;
        let start = end.checked_sub(size.0).ok_or(TableError::NoSpace(size))? / ALIGNMENT.0 * ALIGNMENT.0;
        self.add(type_guid, guid, Lba(start / block), self.header.last_usable)
    }

    /// Adds a partition of this size and name at the first whole MiB behind which it is free.
    ///
    /// # Errors
    /// As [`Gpt::add`].
    pub fn add_where_it_fits(
        &mut self,
        type_guid: Uuid,
        guid: Uuid,
        size: Bytes,
        name: &str,
    ) -> Result<GptPartition, TableError> {
        let aligned = |lba: Lba| {
            let start = lba.to_bytes(self.block).0.next_multiple_of(ALIGNMENT.0);
            Lba(start / u64::from(self.block.0))
        };
        let blocks = size.0.div_ceil(u64::from(self.block.0)).max(1);
        let used = self.partitions();
        let ends = used.iter().map(|other| Lba(other.last.0 + 1));
        let mut starts: Vec<Lba> = std::iter::once(self.header.first_usable).chain(ends).map(aligned).collect();
        starts.sort();
        let last = |start: Lba| Lba(start.0 + blocks - 1);
        let is_free = |start: &Lba| {
            last(*start) <= self.header.last_usable
                && used.iter().all(|other| *start > other.last || last(*start) < other.first)
        };
        let start = starts.into_iter().find(is_free).ok_or(TableError::NoSpace(size))?;
        let added = self.add(type_guid, guid, start, last(start))?;
        let named = GptPartition { name: name.to_string(), ..added };
        let bytes = self.header.entry_bytes as usize;
        let at = (named.number as usize - 1) * bytes;
        write_entry(&mut self.entries[at..at + bytes], &named);
        Ok(named)
    }

    /// Removes the partition of this number, if there is one.
    pub fn remove(&mut self, number: u32) {
        let bytes = self.header.entry_bytes as usize;
        if let Some(entry) = self.entries.chunks_exact_mut(bytes).nth((number as usize).wrapping_sub(1)) {
            entry.fill(0);
        }
    }

    /// The first and the last block that partitions may use.
    pub fn usable(&self) -> (Lba, Lba) {
        (self.header.first_usable, self.header.last_usable)
    }

    /// Writes protective MBR, backup and primary table and makes each durable before the next, so that one intact table
    /// exists at every instant.
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub fn write(&self, disk: &File) -> Result<(), TableError> {
        let backup_entries = Lba(self.header.alternate.0 - self.array_blocks());
        self.write_copy(disk, self.header.alternate, Lba(1), backup_entries)?;
        disk.sync_data()?;
        mbr::write_protective(disk, self.disk_blocks)?;
        self.write_copy(disk, Lba(1), self.header.alternate, self.header.entries_at)?;
        disk.sync_data()?;
        Ok(())
    }

    fn write_copy(&self, disk: &File, current: Lba, alternate: Lba, entries_at: Lba) -> io::Result<()> {
        let block = self.block.0 as usize;
        let mut entries = self.entries.clone();
        entries.resize(entries.len().next_multiple_of(block), 0);
        disk.write_all_at(&entries, entries_at.to_bytes(self.block).0)?;
        let header = Header { current, alternate, entries_at, ..self.header.clone() };
        let mut sector = header.encode(&self.entries).to_vec();
        sector.resize(block, 0);
        disk.write_all_at(&sector, current.to_bytes(self.block).0)
    }

    fn array_blocks(&self) -> u64 {
        (self.entries.len() as u64).div_ceil(u64::from(self.block.0))
    }

    /// Reads the header at `at` and its entries.
    fn read_at(read: Read<'_>, at: Lba, disk_blocks: u64, block: BlockSize) -> io::Result<Copy> {
        let mut sector = vec![0; block.0 as usize];
        read(&mut sector, at.to_bytes(block).0)?;
        let header = match Header::decode(&sector, at, disk_blocks) {
            Ok(Some(header)) => header,
            Ok(None) => return Ok(Copy::Absent),
            Err(damage) => return Ok(Copy::Damaged(damage)),
        };
        let mut entries = vec![0; header.entry_count as usize * header.entry_bytes as usize];
        let start = header.entries_at.to_bytes(block);
        if start.0.saturating_add(entries.len() as u64) > Lba(disk_blocks).to_bytes(block).0 {
            return Ok(Copy::Damaged("its entries lie behind the end of the disk"));
        }
        read(&mut entries, start.0)?;
        if crc32fast::hash(&entries) != header.entries_crc {
            return Ok(Copy::Damaged("the checksum of its entries is wrong"));
        }
        Ok(Copy::Intact(Self { block, disk_blocks, header, entries, both_intact: false }))
    }
}

fn parse_entry(entry: &[u8], number: u32) -> Option<GptPartition> {
    let guid = |at: usize| Some(Uuid::from_bytes_le(entry.get(at..at + 16)?.try_into().ok()?));
    let word = |at: usize| Some(u64::from_le_bytes(entry.get(at..at + 8)?.try_into().ok()?));
    let type_guid = guid(0)?;
    let (first, last) = (word(32)?, word(40)?);
    if type_guid.is_nil() || first > last {
        return None;
    }
    let units: Vec<u16> =
        entry.get(56..128)?.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    let length = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
    Some(GptPartition {
        number,
        type_guid,
        guid: guid(16)?,
        first: Lba(first),
        last: Lba(last),
        attributes: word(48)?,
        name: String::from_utf16_lossy(&units[..length]),
    })
}

fn write_entry(entry: &mut [u8], partition: &GptPartition) {
    entry.fill(0);
    entry[..16].copy_from_slice(&partition.type_guid.to_bytes_le());
    entry[16..32].copy_from_slice(&partition.guid.to_bytes_le());
    entry[32..40].copy_from_slice(&partition.first.0.to_le_bytes());
    entry[40..48].copy_from_slice(&partition.last.0.to_le_bytes());
    entry[48..56].copy_from_slice(&partition.attributes.to_le_bytes());
    for (place, unit) in entry[56..128].chunks_exact_mut(2).zip(partition.name.encode_utf16()) {
        place.copy_from_slice(&unit.to_le_bytes());
    }
}

#[cfg(test)]
mod tests;
