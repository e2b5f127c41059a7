//! The 92-byte header of a GUID partition table (UEFI specification, 5.3.2).

use uuid::Uuid;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::units::Lba;

const SIGNATURE: [u8; 8] = *b"EFI PART";
const REVISION_1_0: u32 = 0x0001_0000;
const HEADER_BYTES: u32 = 92;
/// The array of entries is at most this long; larger claims are damage.
const MOST_ARRAY_BYTES: u64 = 1 << 20;

/// What the header says, in native numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) current: Lba,
    pub(super) alternate: Lba,
    pub(super) first_usable: Lba,
    pub(super) last_usable: Lba,
    pub(super) disk_guid: Uuid,
    pub(super) entries_at: Lba,
    pub(super) entry_count: u32,
    pub(super) entry_bytes: u32,
    pub(super) entries_crc: u32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct OnDisk {
    signature: [u8; 8],
    revision: U32,
    header_bytes: U32,
    header_crc: U32,
    reserved: U32,
    current: U64,
    alternate: U64,
    first_usable: U64,
    last_usable: U64,
    disk_guid: [u8; 16],
    entries_at: U64,
    entry_count: U32,
    entry_bytes: U32,
    entries_crc: U32,
}

impl Header {
    pub(super) fn new(disk_guid: Uuid, entry_count: u32, entry_bytes: u32) -> Self {
        Self {
            current: Lba(1),
            alternate: Lba(0),
            first_usable: Lba(0),
            last_usable: Lba(0),
            disk_guid,
            entries_at: Lba(2),
            entry_count,
            entry_bytes,
            entries_crc: 0,
        }
    }

    /// Decodes and checks the header found at block `at`; nothing when there is none. The error says what is wrong.
    pub(super) fn decode(sector: &[u8], at: Lba, disk_blocks: u64) -> Result<Option<Self>, &'static str> {
        let Ok((header, _)) = OnDisk::read_from_prefix(sector) else { return Ok(None) };
        if header.signature != SIGNATURE {
            return Ok(None);
        }
        let length = header.header_bytes.get() as usize;
        let covered = sector.get(..length).filter(|_| length >= HEADER_BYTES as usize);
        let mut covered = covered.ok_or("its header has an impossible length")?.to_vec();
        covered[16..20].fill(0);
        if crc32fast::hash(&covered) != header.header_crc.get() {
            return Err("the checksum of its header is wrong");
        }
        let (count, bytes) = (header.entry_count.get(), header.entry_bytes.get());
        if bytes < 128 || !bytes.is_power_of_two() || u64::from(count) * u64::from(bytes) > MOST_ARRAY_BYTES {
            return Err("its entries have an impossible size");
        }
        if header.current.get() != at.0 || header.entries_at.get() >= disk_blocks {
            return Err("its header belongs elsewhere");
        }
        if header.first_usable.get() > header.last_usable.get() {
            return Err("it has no usable blocks");
        }
        Ok(Some(Self {
            current: at,
            alternate: Lba(header.alternate.get()),
            first_usable: Lba(header.first_usable.get()),
            last_usable: Lba(header.last_usable.get()),
            disk_guid: Uuid::from_bytes_le(header.disk_guid),
            entries_at: Lba(header.entries_at.get()),
            entry_count: count,
            entry_bytes: bytes,
            entries_crc: header.entries_crc.get(),
        }))
    }

    /// Encodes the header over these entries, checksums computed anew.
    pub(super) fn encode(&self, entries: &[u8]) -> [u8; HEADER_BYTES as usize] {
        let header = OnDisk {
            signature: SIGNATURE,
            revision: REVISION_1_0.into(),
            header_bytes: HEADER_BYTES.into(),
            header_crc: 0.into(),
            reserved: 0.into(),
            current: self.current.0.into(),
            alternate: self.alternate.0.into(),
            first_usable: self.first_usable.0.into(),
            last_usable: self.last_usable.0.into(),
            disk_guid: self.disk_guid.to_bytes_le(),
            entries_at: self.entries_at.0.into(),
            entry_count: self.entry_count.into(),
            entry_bytes: self.entry_bytes.into(),
            entries_crc: crc32fast::hash(entries).into(),
        };
        let mut encoded = [0; HEADER_BYTES as usize];
        encoded.copy_from_slice(header.as_bytes());
        let crc = crc32fast::hash(&encoded);
        encoded[16..20].copy_from_slice(&crc.to_le_bytes());
        encoded
    }
}
