//! `dmi-decode`: firmware, processors and memory of SMBIOS, with the keys and words that dmidecode prints.
//!
//! Signature and flags of processors are left out: the inventory has them. Codes newer than the tables in [`words`]
//! are shown as hexadecimal numbers.

mod words;

use serde_json::{Map, Value, json};

use self::words::Words;
use super::CollectError;
use crate::machine::Machine;
use crate::smbios::{Smbios, Structure};

/// `{"bios": {…}, "cpu": [{…}], "memory": {…, "devices": [{…}]}}`.
pub(super) fn collect(machine: &Machine) -> Result<Value, CollectError> {
    let smbios = Smbios::read(machine);
    if smbios.of_kind(0).next().is_none() {
        return Err(CollectError::Missing("the SMBIOS tables"));
    }
    let bios = smbios.of_kind(0).last().map(bios).unwrap_or_default();
    let cpus: Vec<Value> = smbios.of_kind(4).map(|s| Value::Object(cpu(s))).collect();
    let mut memory = smbios.of_kind(16).next().map(memory_array).unwrap_or_default();
    if !memory.is_empty() {
        // The number is the one of all arrays together, and no text.
        let devices: u64 = smbios.of_kind(16).filter_map(|s| s.word(0x0d)).map(u64::from).sum();
        memory.insert("Number Of Devices".to_string(), devices.into());
    }
    let devices: Vec<Value> = smbios.of_kind(17).map(|s| Value::Object(memory_device(s))).collect();
    memory.insert("devices".to_string(), devices.into());
    Ok(json!({"bios": bios, "cpu": cpus, "memory": memory}))
}

/// One block of dmidecode's output. Fields that the structure is too short for are left out.
struct Block<'a> {
    structure: &'a Structure,
    fields: Map<String, Value>,
}

impl<'a> Block<'a> {
    fn new(structure: &'a Structure) -> Self {
        Self { structure, fields: Map::new() }
    }

    fn with_handle(structure: &'a Structure) -> Self {
        let mut block = Self::new(structure);
        let (handle, kind, length) = (structure.handle, structure.kind, structure.length());
        block.put("Handle", Some(format!("Handle 0x{handle:04X}, DMI type {kind}, {length} bytes")));
        block
    }

    fn put(&mut self, key: &str, value: Option<String>) {
        if let Some(value) = value {
            self.fields.insert(key.to_string(), value.into());
        }
    }

    fn string(&mut self, key: &str, offset: usize) {
        let text = match self.structure.byte(offset) {
            None => return,
            Some(0) => "Not Specified",
            Some(_) => self.structure.string(offset).unwrap_or("<BAD INDEX>"),
        };
        // dmidecode's reader sees a value only where there is one after trimming.
        let text = text.trim();
        let value = if text.is_empty() { json!([]) } else { json!(text) };
        self.fields.insert(key.to_string(), value);
    }

    fn word_of(&mut self, key: &str, offset: usize, words: Words) {
        self.put(key, self.structure.byte(offset).map(|code| words::name(words, code)));
    }

    fn list(&mut self, key: &str, names: Vec<&'static str>) {
        let value = if names.is_empty() { json!("None") } else { json!(names) };
        self.fields.insert(key.to_string(), value);
    }

    /// A number with a unit, `Unknown` where it is 0 or all ones.
    fn amount(&mut self, key: &str, offset: usize, unit: &str) {
        self.put(
            key,
            self.structure.word(offset).map(|amount| match amount {
                0 | 0xffff => "Unknown".to_string(),
                amount => format!("{amount} {unit}"),
            }),
        );
    }

    fn millivolts(&mut self, key: &str, offset: usize) {
        self.put(
            key,
            self.structure.word(offset).map(|millivolts| match millivolts {
                0 => "Unknown".to_string(),
                mv if mv % 100 == 0 => format!("{:.1} V", f64::from(mv) / 1000.0),
                mv => format!("{} V", f64::from(mv) / 1000.0),
            }),
        );
    }
}

fn bios(structure: &Structure) -> Map<String, Value> {
    let mut block = Block::with_handle(structure);
    block.string("Vendor", 4);
    block.string("Version", 5);
    block.string("Release Date", 8);
    if let Some(segment) = structure.word(6).filter(|segment| *segment != 0) {
        block.put("Address", Some(format!("0x{segment:04X}0")));
        block.put("Runtime Size", Some(size_text((0x10000 - u64::from(segment)) << 4)));
    }
    let rom_bytes = structure.byte(9).map(|code| match (code, structure.word(0x18)) {
        (0xff, Some(extended)) => u64::from(extended & 0x3fff) << if extended >> 14 == 0 { 20 } else { 30 },
        (code, _) => (u64::from(code) + 1) << 16,
    });
    block.put("ROM Size", rom_bytes.map(size_text));
    if let Some(flags) = structure.qword(0x0a) {
        let mut names = match flags & 1 << 3 {
            0 => words::flags(&words::BIOS, flags),
            _ => vec!["BIOS characteristics not supported"],
        };
        for (offset, table) in [(0x12, &words::BIOS_EXTENDED_1), (0x13, &words::BIOS_EXTENDED_2)] {
            names.extend(words::flags(table, u64::from(structure.byte(offset).unwrap_or(0))));
        }
        block.list("Characteristics", names);
    }
    for (key, offset) in [("BIOS Revision", 0x14), ("Firmware Revision", 0x16)] {
        if let (Some(major), Some(minor)) = (structure.byte(offset), structure.byte(offset + 1)) {
            block.put(key, (major != 0xff || minor != 0xff).then(|| format!("{major}.{minor}")));
        }
    }
    block.fields
}

fn cpu(structure: &Structure) -> Map<String, Value> {
    let mut block = Block::with_handle(structure);
    block.string("Socket Designation", 4);
    block.word_of("Type", 5, words::CPU_TYPES);
    let family = match structure.byte(6) {
        Some(0xfe) => structure.word(0x28),
        family => family.map(u16::from),
    };
    block.put("Family", family.map(words::cpu_family));
    block.string("Manufacturer", 7);
    let id: Option<Vec<String>> = (8..16).map(|at| Some(format!("{:02X}", structure.byte(at)?))).collect();
    block.put("ID", id.map(|bytes| bytes.join(" ")));
    block.string("Version", 0x10);
    block.put("Voltage", structure.byte(0x11).map(voltage));
    block.amount("External Clock", 0x12, "MHz");
    block.amount("Max Speed", 0x14, "MHz");
    block.amount("Current Speed", 0x16, "MHz");
    block.put(
        "Status",
        structure.byte(0x18).map(|status| match status & 0x40 {
            0 => "Unpopulated".to_string(),
            _ => format!("Populated, {}", words::CPU_STATES[usize::from(status & 7)]),
        }),
    );
    block.word_of("Upgrade", 0x19, words::CPU_UPGRADES);
    for (key, offset) in [("L1 Cache Handle", 0x1a), ("L2 Cache Handle", 0x1c), ("L3 Cache Handle", 0x1e)] {
        block.put(key, structure.word(offset).map(handle));
    }
    block.string("Serial Number", 0x20);
    block.string("Asset Tag", 0x21);
    block.string("Part Number", 0x22);
    for (key, offset, wide) in [("Core Count", 0x23, 0x2a), ("Core Enabled", 0x24, 0x2c), ("Thread Count", 0x25, 0x2e)]
    {
        let count = match structure.byte(offset) {
            Some(0xff) => structure.word(wide).or(Some(0xff)),
            count => count.map(u16::from),
        };
        block.put(key, count.filter(|count| *count != 0).map(|count| count.to_string()));
    }
    if let Some(flags) = structure.word(0x26) {
        block.list("Characteristics", words::flags(&words::CPU, u64::from(flags)));
    }
    block.fields
}

/// dmidecode's reader drops the handle of the array.
fn memory_array(structure: &Structure) -> Map<String, Value> {
    let mut block = Block::new(structure);
    block.word_of("Location", 4, words::MEMORY_LOCATIONS);
    block.word_of("Use", 5, words::MEMORY_USES);
    block.word_of("Error Correction Type", 6, words::MEMORY_CORRECTIONS);
    let capacity = match structure.dword(7) {
        Some(0x8000_0000) => structure.qword(0x0f).map(size_text).or(Some("Unknown".to_string())),
        kib => kib.map(|kib| size_text(u64::from(kib) << 10)),
    };
    block.put("Maximum Capacity", capacity);
    block.put("Error Information Handle", structure.word(0x0b).map(error_handle));
    block.fields
}

fn memory_device(structure: &Structure) -> Map<String, Value> {
    let mut block = Block::with_handle(structure);
    block.put("Array Handle", structure.word(4).map(|handle| format!("0x{handle:04X}")));
    block.put("Error Information Handle", structure.word(6).map(error_handle));
    block.amount("Total Width", 8, "bits");
    block.amount("Data Width", 0x0a, "bits");
    let is_empty = structure.word(0x0c) == Some(0);
    let size = match structure.word(0x0c) {
        Some(0) => Some("No Module Installed".to_string()),
        Some(0xffff) => Some("Unknown".to_string()),
        Some(size) if size & 0x8000 != 0 && size != 0x7fff => Some(size_text(u64::from(size & 0x7fff) << 10)),
        _ => structure.memory_device_mib().map(|mib| size_text(mib << 20)),
    };
    block.put("Size", size);
    block.word_of("Form Factor", 0x0e, words::MEMORY_FORMS);
    block.put(
        "Set",
        structure.byte(0x0f).map(|set| match set {
            0 => "None".to_string(),
            0xff => "Unknown".to_string(),
            set => set.to_string(),
        }),
    );
    block.string("Locator", 0x10);
    block.string("Bank Locator", 0x11);
    block.word_of("Type", 0x12, words::MEMORY_TYPES);
    if let Some(flags) = structure.word(0x13) {
        let names = words::flags(&words::MEMORY_DETAILS, u64::from(flags));
        block.put("Type Detail", Some(if names.is_empty() { "None".to_string() } else { names.join(" ") }));
    }
    if is_empty {
        return block.fields;
    }
    block.amount("Speed", 0x15, "MT/s");
    block.string("Manufacturer", 0x17);
    block.string("Serial Number", 0x18);
    block.string("Asset Tag", 0x19);
    block.string("Part Number", 0x1a);
    block.put(
        "Rank",
        structure.byte(0x1b).map(|attributes| match attributes & 0x0f {
            0 => "Unknown".to_string(),
            rank => rank.to_string(),
        }),
    );
    block.amount("Configured Memory Speed", 0x20, "MT/s");
    block.millivolts("Minimum Voltage", 0x22);
    block.millivolts("Maximum Voltage", 0x24);
    block.millivolts("Configured Voltage", 0x26);
    block.fields
}

/// Bytes in the largest unit that keeps the number whole, but never more than two steps below the first digit.
fn size_text(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"];
    let part = |unit: usize| bytes >> (10 * unit) & 0x3ff;
    let highest = (1..UNITS.len()).rev().find(|unit| part(*unit) != 0).unwrap_or(0);
    let unit = if highest > 0 && part(highest - 1) != 0 { highest - 1 } else { highest };
    format!("{} {}", bytes >> (10 * unit), UNITS[unit])
}

fn voltage(code: u8) -> String {
    const LEGACY: [(u8, &str); 3] = [(1, "5.0 V"), (2, "3.3 V"), (4, "2.9 V")];
    match code {
        code if code & 0x80 != 0 => format!("{:.1} V", f64::from(code & 0x7f) / 10.0),
        code if code & 7 == 0 => "Unknown".to_string(),
        code => LEGACY.iter().filter(|(bit, _)| code & bit != 0).map(|(_, name)| *name).collect::<Vec<_>>().join(" "),
    }
}

fn handle(handle: u16) -> String {
    if handle == 0xffff { "Not Provided".to_string() } else { format!("0x{handle:04X}") }
}

fn error_handle(handle: u16) -> String {
    match handle {
        0xfffe => "Not Provided".to_string(),
        0xffff => "No Error".to_string(),
        handle => format!("0x{handle:04X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_printed_as_dmidecode_does() {
        for (bytes, text) in
            [(98_304, "96 kB"), (2 << 30, "2 GB"), (1536 << 20, "1536 MB"), (16 << 20, "16 MB"), (0, "0 bytes")]
        {
            assert_eq!(size_text(bytes), text);
        }
    }

    #[test]
    fn voltages_have_a_new_and_an_old_form() {
        assert_eq!(voltage(0x80 | 9), "0.9 V");
        assert_eq!(voltage(0b011), "5.0 V 3.3 V");
        assert_eq!(voltage(0), "Unknown");
    }
}
