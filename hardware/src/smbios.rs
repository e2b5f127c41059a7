//! The SMBIOS tables (DMTF DSP0134), as the kernel exports them in `/sys/firmware/dmi/tables/DMI`.

use crate::machine::Machine;

/// All structures of the tables, in their order.
#[derive(Debug, Default)]
pub struct Smbios {
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
    strings: Vec<String>,
}

impl Smbios {
    /// Reads the tables; empty when the machine has none or they cannot be read.
    pub fn read(machine: &Machine) -> Self {
        machine.read_bytes("/sys/firmware/dmi/tables/DMI").map(|bytes| Self::parse(&bytes)).unwrap_or_default()
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
        Self { structures }
    }

    /// The structures of one type.
    pub fn of_kind(&self, kind: u8) -> impl Iterator<Item = &Structure> {
        self.structures.iter().filter(move |s| s.kind == kind)
    }

    /// Memory that is plugged in, in MiB; nothing when no memory device is described.
    pub fn memory_mib(&self) -> Option<u64> {
        let sizes: Vec<u64> = self.of_kind(17).filter_map(Structure::memory_device_mib).collect();
        (!sizes.is_empty()).then(|| sizes.iter().sum())
    }
}

/// The strings after a formatted area, up to the empty one, and what follows.
fn strings(bytes: &[u8]) -> (Vec<String>, &[u8]) {
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
        found.push(String::from_utf8_lossy(text).into_owned());
    }
    (found, &[])
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

    /// The string whose number stands at `offset`; nothing when there is none.
    pub fn string(&self, offset: usize) -> Option<&str> {
        let number = usize::from(self.byte(offset)?);
        self.strings.get(number.checked_sub(1)?).map(String::as_str)
    }

    /// Size of a memory device (type 17) in MiB: 0 when the slot is empty, nothing when unknown.
    pub fn memory_device_mib(&self) -> Option<u64> {
        match self.word(0x0c)? {
            0xffff => None,
            0x7fff => self.dword(0x1c).map(|mib| u64::from(mib & 0x7fff_ffff)),
            kib if kib & 0x8000 != 0 => Some(u64::from(kib & 0x7fff) / 1024),
            mib => Some(u64::from(mib)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory_device(size: u16, extended: u32) -> Vec<u8> {
        let mut bytes = vec![17, 0x20, 1, 0];
        bytes.resize(0x20, 0);
        bytes[0x0c..0x0e].copy_from_slice(&size.to_le_bytes());
        bytes[0x1c..].copy_from_slice(&extended.to_le_bytes());
        bytes.extend([0, 0]);
        bytes
    }

    #[test]
    fn memory_is_summed_in_all_spellings() {
        let slots = [(2048, 0), (0, 0), (0xffff, 0), (0x8400, 0), (0x7fff, 65536)];
        let table: Vec<u8> = slots.iter().flat_map(|(size, extended)| memory_device(*size, *extended)).collect();
        assert_eq!(Smbios::parse(&table).memory_mib(), Some(2048 + 1 + 65536));
        assert_eq!(Smbios::parse(&[]).memory_mib(), None);
    }

    #[test]
    fn strings_are_found_by_number() {
        let table = [&[1, 6, 0, 1, 2, 0][..], b"first\0second\0\0", &[127, 4, 2, 1, 0, 0]].concat();
        let smbios = Smbios::parse(&table);
        let system = smbios.of_kind(1).next().unwrap();
        assert_eq!((system.string(4), system.string(5), system.string(6)), (Some("second"), None, None));
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
