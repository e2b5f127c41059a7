//! The SMBIOS tables (DMTF DSP0134), as the kernel exports them in `/sys/firmware/dmi/tables/DMI`.

use crate::machine::Machine;

/// All structures of the tables, in their order.
#[derive(Debug, Default)]
pub struct Smbios {
    /// Major and minor version, where the entry point says it.
    version: Option<(u8, u8)>,
    structures: Vec<Structure>,
}

/// One structure: its formatted area, header included, and its strings.
#[derive(Debug)]
pub struct Structure {
    /// Type (0 firmware, 1 system, 4 processor, 16 memory array, 17 memory device, 127 end).
    pub kind: u8,
    /// Handle, unique in the tables.
    pub handle: u16,
    bytes: Vec<u8>,
    strings: Vec<Vec<u8>>,
}

impl Smbios {
    /// Reads the tables; empty when the machine has none or they cannot be read.
    pub fn read(machine: &Machine) -> Self {
        const DIR: &str = "/sys/firmware/dmi/tables";
        let table = machine.read_bytes(format!("{DIR}/DMI")).unwrap_or_default();
        let entry_point = machine.read_bytes(format!("{DIR}/smbios_entry_point")).unwrap_or_default();
        Self { version: version(&entry_point), ..Self::parse(&table) }
    }

    /// Whether the tables are of this version of the specification, or a later one. Without a version they are.
    pub fn is_at_least(&self, major: u8, minor: u8) -> bool {
        self.version.is_none_or(|version| version >= (major, minor))
    }

    /// Parses a table. Stops without error where it is cut short or ends.
    pub fn parse(mut bytes: &[u8]) -> Self {
        let mut structures = Vec::new();
        while let [kind, length, low, high, ..] = *bytes {
            let length = usize::from(length);
            let (Some(formatted), Some(rest)) = (bytes.get(..length), bytes.get(length..)) else { break };
            if length < 4 {
                break;
            }
            let (strings, rest) = strings(rest);
            let handle = u16::from_le_bytes([low, high]);
            structures.push(Structure { kind, handle, bytes: formatted.to_vec(), strings });
            if kind == 127 {
                break;
            }
            bytes = rest;
        }
        Self { version: None, structures }
    }

    /// The structures of one type.
    pub fn of_kind(&self, kind: u8) -> impl Iterator<Item = &Structure> {
        self.structures.iter().filter(move |s| s.kind == kind)
    }

    /// Memory of the system that is plugged in, in MiB; nothing when no size is known. Memory devices in arrays for
    /// something else (video, flash, NVRAM, cache) do not count; those of no array do, as for lshw.
    pub fn memory_mib(&self) -> Option<u64> {
        const OTHER_USES: std::ops::RangeInclusive<u8> = 4..=7;
        let arrays = self.of_kind(16).filter(|array| array.byte(5).is_some_and(|usage| OTHER_USES.contains(&usage)));
        let other: Vec<u16> = arrays.map(|array| array.handle).collect();
        let is_system = |device: &&Structure| device.word(4).is_none_or(|array| !other.contains(&array));
        let sizes: Vec<u64> = self.of_kind(17).filter(is_system).filter_map(Structure::memory_mib).collect();
        (!sizes.is_empty()).then(|| sizes.iter().sum())
    }
}

/// The version in a 64-bit (`_SM3_`) or 32-bit (`_SM_`) entry point.
fn version(entry_point: &[u8]) -> Option<(u8, u8)> {
    match entry_point {
        [b'_', b'S', b'M', b'3', b'_', _, _, major, minor, ..] | [b'_', b'S', b'M', b'_', _, _, major, minor, ..] => {
            Some((*major, *minor))
        }
        _ => None,
    }
}

/// The strings after a formatted area, up to the empty one, and what follows.
fn strings(bytes: &[u8]) -> (Vec<Vec<u8>>, &[u8]) {
    // No string at all is two zero bytes.
    if let [0, 0, rest @ ..] = bytes {
        return (Vec::new(), rest);
    }
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Some(end) = rest.iter().position(|b| *b == 0) {
        let (text, after) = rest.split_at(end);
        rest = &after[1..];
        if text.is_empty() {
            return (found, rest);
        }
        found.push(text.to_vec());
    }
    (found, &[])
}

/// A size of SMBIOS 3.2 and later, all ones where it is unknown.
fn known_size(bytes: Option<u64>) -> Option<u64> {
    bytes.filter(|bytes| *bytes != u64::MAX)
}

impl Structure {
    /// The byte at `offset`, if the structure is that long.
    pub fn byte(&self, offset: usize) -> Option<u8> {
        self.bytes.get(offset).copied()
    }

    /// The little-endian word at `offset`.
    pub fn word(&self, offset: usize) -> Option<u16> {
        Some(u16::from_le_bytes(self.bytes.get(offset..offset + 2)?.try_into().ok()?))
    }

    /// The little-endian double word at `offset`.
    pub fn dword(&self, offset: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes.get(offset..offset + 4)?.try_into().ok()?))
    }

    /// The little-endian quad word at `offset`.
    pub fn qword(&self, offset: usize) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes.get(offset..offset + 8)?.try_into().ok()?))
    }

    /// Length of the formatted area in bytes.
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// The string whose number stands at `offset`, as it is in the table; nothing when there is none.
    pub fn string_bytes(&self, offset: usize) -> Option<&[u8]> {
        let number = usize::from(self.byte(offset)?);
        self.strings.get(number.checked_sub(1)?).map(Vec::as_slice)
    }

    /// The string whose number stands at `offset`; nothing when there is none.
    pub fn string(&self, offset: usize) -> Option<String> {
        self.string_bytes(offset).map(|text| String::from_utf8_lossy(text).into_owned())
    }

    /// Size of a memory device (type 17) in bytes: 0 when the slot is empty, nothing when unknown.
    pub fn memory_device_bytes(&self) -> Option<u64> {
        match self.word(0x0c)? {
            0xffff => None,
            // Before SMBIOS 2.7 this was a size like others.
            0x7fff => Some(self.dword(0x1c).map_or(0x7fff, |mib| u64::from(mib & 0x7fff_ffff)) << 20),
            kib if kib & 0x8000 != 0 => Some(u64::from(kib & 0x7fff) << 10),
            mib => Some(u64::from(mib) << 20),
        }
    }

    /// The part of a memory device that is memory, in MiB: what keeps its content without power is none.
    fn memory_mib(&self) -> Option<u64> {
        const LOGICAL_NON_VOLATILE: u8 = 0x1f;
        let (non_volatile, volatile) = (known_size(self.qword(0x34)), known_size(self.qword(0x3c)));
        let bytes = match (non_volatile, volatile) {
            (Some(1..), volatile) => volatile.unwrap_or(0),
            _ if self.byte(0x12) == Some(LOGICAL_NON_VOLATILE) => volatile.unwrap_or(0),
            _ => self.memory_device_bytes()?,
        };
        Some(bytes >> 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYSTEM: u16 = 0x10;

    fn memory_array(handle: u16, usage: u8) -> Vec<u8> {
        let mut bytes = vec![16, 0x0f, 0, 0, 3, usage];
        bytes[2..4].copy_from_slice(&handle.to_le_bytes());
        bytes.resize(0x0f + 2, 0);
        bytes
    }

    fn memory_device_in(array: u16, size: u16, extended: u32) -> Vec<u8> {
        let mut bytes = vec![17, 0x20, 1, 0];
        bytes.resize(0x20, 0);
        bytes[4..6].copy_from_slice(&array.to_le_bytes());
        bytes[0x0c..0x0e].copy_from_slice(&size.to_le_bytes());
        bytes[0x1c..].copy_from_slice(&extended.to_le_bytes());
        bytes.extend([0, 0]);
        bytes
    }

    fn memory_device(size: u16, extended: u32) -> Vec<u8> {
        memory_device_in(SYSTEM, size, extended)
    }

    /// A module of SMBIOS 3.2 with both kinds of memory, in GiB.
    fn mixed_module(kind: u8, non_volatile: u64, volatile: u64) -> Vec<u8> {
        let mut bytes = vec![17, 0x54, 1, 0];
        bytes.resize(0x54, 0);
        bytes[4..6].copy_from_slice(&SYSTEM.to_le_bytes());
        bytes[0x0c..0x0e].copy_from_slice(&0x7fff_u16.to_le_bytes());
        bytes[0x12] = kind;
        bytes[0x1c..0x20].copy_from_slice(&(((non_volatile + volatile) as u32) << 10).to_le_bytes());
        bytes[0x34..0x3c].copy_from_slice(&(non_volatile << 30).to_le_bytes());
        bytes[0x3c..0x44].copy_from_slice(&(volatile << 30).to_le_bytes());
        bytes.extend([0, 0]);
        bytes
    }

    #[test]
    fn memory_is_summed_in_all_spellings() {
        let slots = [(2048, 0), (0, 0), (0xffff, 0), (0x8400, 0), (0x7fff, 65536), (0x7fff, 0x8000_0000)];
        let table: Vec<u8> = slots.iter().flat_map(|(size, extended)| memory_device(*size, *extended)).collect();
        assert_eq!(Smbios::parse(&table).memory_mib(), Some(2048 + 1 + 65536));
        assert_eq!(Smbios::parse(&[]).memory_mib(), None);
        assert_eq!(Smbios::parse(&memory_device(0xffff, 0)).memory_mib(), None);
        // SMBIOS 2.6 has no place for a larger size.
        let mut old = memory_device(0x7fff, 0);
        old[1] = 0x1b;
        old.drain(0x1b..0x20);
        assert_eq!(Smbios::parse(&old).memory_mib(), Some(0x7fff));
    }

    #[test]
    fn only_memory_of_the_system_counts() {
        for (usage, counts) in [(1, true), (2, true), (3, true), (4, false), (5, false), (6, false), (7, false)] {
            let table = [
                memory_array(SYSTEM, 3),
                memory_device(4096, 0),
                memory_array(0x30, usage),
                memory_device_in(0x30, 16, 0),
                memory_device_in(0x99, 1, 0),
            ];
            let expected = 4096 + 1 + if counts { 16 } else { 0 };
            assert_eq!(Smbios::parse(&table.concat()).memory_mib(), Some(expected), "use {usage}");
        }
    }

    #[test]
    fn persistent_memory_is_no_memory() {
        const DDR4: u8 = 0x1a;
        const LOGICAL_NON_VOLATILE: u8 = 0x1f;
        for (module, expected) in [
            (mixed_module(DDR4, 0, 16), 16 << 10),
            (mixed_module(DDR4, 16, 0), 0),
            (mixed_module(LOGICAL_NON_VOLATILE, 126, 0), 0),
            // Half of it is used as memory.
            (mixed_module(LOGICAL_NON_VOLATILE, 63, 63), 63 << 10),
        ] {
            assert_eq!(Smbios::parse(&module).memory_mib(), Some(expected));
        }
        // Unknown parts say nothing.
        let mut unknown = mixed_module(DDR4, 0, 16);
        unknown[0x34..0x44].fill(0xff);
        assert_eq!(Smbios::parse(&unknown).memory_mib(), Some(16 << 10));
    }

    #[test]
    fn strings_are_found_by_number() {
        let table = [&[1, 6, 0, 1, 2, 0][..], b"first\0second\0\0", &[127, 4, 2, 1, 0, 0]].concat();
        let smbios = Smbios::parse(&table);
        let system = smbios.of_kind(1).next().unwrap();
        assert_eq!((system.string(4), system.string(5), system.string(6)), (Some("second".into()), None, None));
        assert_eq!(system.handle, 0x100);
        assert_eq!(smbios.of_kind(127).count(), 1);
    }

    #[test]
    fn any_cut_of_a_table_is_survived() {
        let table = [memory_device(1, 0), b"\x01\x06\x00\x01\x02\x00first\0second\0\0".to_vec()].concat();
        for end in 0..table.len() {
            Smbios::parse(&table[..end]);
        }
    }
}
