//! Memory arrays (type 16) and memory devices (type 17).

use serde_json::{Map, Value, json};

use super::block::{Block, OUT_OF_SPEC, Unit, flags_text, size_text};
use crate::smbios::Structure;

const LOCATIONS: [&str; 10] = [
    "Other",
    "Unknown",
    "System Board Or Motherboard",
    "ISA Add-on Card",
    "EISA Add-on Card",
    "PCI Add-on Card",
    "MCA Add-on Card",
    "PCMCIA Add-on Card",
    "Proprietary Add-on Card",
    "NuBus",
];

/// Locations from code A0h.
const LOCATIONS_A0: [&str; 5] = [
    "PC-98/C20 Add-on Card",
    "PC-98/C24 Add-on Card",
    "PC-98/E Add-on Card",
    "PC-98/Local Bus Add-on Card",
    "CXL Add-on Card",
];

const USES: [&str; 7] =
    ["Other", "Unknown", "System Memory", "Video Memory", "Flash Memory", "Non-volatile RAM", "Cache Memory"];

const CORRECTIONS: [&str; 7] = ["Other", "Unknown", "None", "Parity", "Single-bit ECC", "Multi-bit ECC", "CRC"];

const FORMS: [&str; 19] = [
    "Other",
    "Unknown",
    "SIMM",
    "SIP",
    "Chip",
    "DIP",
    "ZIP",
    "Proprietary Card",
    "DIMM",
    "TSOP",
    "Row Of Chips",
    "RIMM",
    "SODIMM",
    "SRIMM",
    "FB-DIMM",
    "Die",
    "CAMM",
    "CUDIMM",
    "CSODIMM",
];

const TYPES: [&str; 36] = [
    "Other",
    "Unknown",
    "DRAM",
    "EDRAM",
    "VRAM",
    "SRAM",
    "RAM",
    "ROM",
    "Flash",
    "EEPROM",
    "FEPROM",
    "EPROM",
    "CDRAM",
    "3DRAM",
    "SDRAM",
    "SGRAM",
    "RDRAM",
    "DDR",
    "DDR2",
    "DDR2 FB-DIMM",
    "Reserved",
    "Reserved",
    "Reserved",
    "DDR3",
    "FBD2",
    "DDR4",
    "LPDDR",
    "LPDDR2",
    "LPDDR3",
    "LPDDR4",
    "Logical non-volatile device",
    "HBM",
    "HBM2",
    "DDR5",
    "LPDDR5",
    "HBM3",
];

const DETAILS: [&str; 15] = [
    "Other",
    "Unknown",
    "Fast-paged",
    "Static Column",
    "Pseudo-static",
    "RAMBus",
    "Synchronous",
    "CMOS",
    "EDO",
    "Window DRAM",
    "Cache DRAM",
    "Non-Volatile",
    "Registered (Buffered)",
    "Unbuffered (Unregistered)",
    "LRDIMM",
];

const TECHNOLOGIES: [&str; 8] =
    ["Other", "Unknown", "DRAM", "NVDIMM-N", "NVDIMM-F", "NVDIMM-P", "Intel Optane DC persistent memory", "MRDIMM"];

const MODES: [&str; 5] =
    ["Other", "Unknown", "Volatile memory", "Byte-accessible persistent memory", "Block-accessible persistent memory"];

/// Types whose companion chips have a device type and a revision.
const DDR5: [u8; 2] = [0x22, 0x23];

/// An array; nothing when it is too short to say anything, as then its number of devices is missing.
pub(super) fn describe_array(structure: &Structure) -> Option<Map<String, Value>> {
    let mut block = Block::new(structure);
    if !block.reaches(0x0f) {
        return None;
    }
    let location = match block.byte(4) {
        code @ 0xa0.. => LOCATIONS_A0.get(usize::from(code - 0xa0)),
        code => usize::from(code).checked_sub(1).and_then(|at| LOCATIONS.get(at)),
    };
    block.put("Location", *location.unwrap_or(&OUT_OF_SPEC));
    block.named("Use", 5, &USES);
    block.named("Error Correction Type", 6, &CORRECTIONS);
    let capacity = match block.dword(7) {
        0x8000_0000 if block.reaches(0x17) => size_text(block.qword(0x0f), Unit::Bytes),
        0x8000_0000 => "Unknown".to_string(),
        kib => size_text(u64::from(kib), Unit::Kib),
    };
    block.put("Maximum Capacity", capacity);
    block.put("Error Information Handle", error_handle(block.word(0x0b)));
    let devices = block.word(0x0d);
    let mut fields = block.fields();
    // A number, as whoever reads it adds them up.
    fields.insert("Number Of Devices".to_string(), json!(devices));
    Some(fields)
}

pub(super) fn describe_device(structure: &Structure) -> Map<String, Value> {
    let mut block = Block::new(structure);
    fill_device(&mut block);
    block.fields()
}

fn fill_device(block: &mut Block<'_>) {
    if !block.reaches(0x15) {
        return;
    }
    block.put("Array Handle", format!("0x{:04X}", block.word(4)));
    block.put("Error Information Handle", error_handle(block.word(6)));
    for (key, offset) in [("Total Width", 8), ("Data Width", 0x0a)] {
        let width = match block.word(offset) {
            0 | 0xffff => "Unknown".to_string(),
            bits => format!("{bits} bits"),
        };
        block.put(key, width);
    }
    block.put("Size", size(block));
    block.named("Form Factor", 0x0e, &FORMS);
    let set = match block.byte(0x0f) {
        0 => "None".to_string(),
        0xff => "Unknown".to_string(),
        set => set.to_string(),
    };
    block.put("Set", set);
    block.string("Locator", 0x10);
    block.string("Bank Locator", 0x11);
    block.named("Type", 0x12, &TYPES);
    block.put("Type Detail", flags_text(1, &DETAILS, u64::from(block.word(0x13))));
    let is_empty = block.word(0x0c) == 0;
    if !block.reaches(0x17) || is_empty {
        return;
    }
    block.put("Speed", speed(block, 0x15, 0x54));
    if !block.reaches(0x1b) {
        return;
    }
    for (key, offset) in [("Manufacturer", 0x17), ("Serial Number", 0x18), ("Asset Tag", 0x19), ("Part Number", 0x1a)] {
        block.string(key, offset);
    }
    if !block.reaches(0x1c) {
        return;
    }
    let rank = match block.byte(0x1b) & 0x0f {
        0 => "Unknown".to_string(),
        rank => rank.to_string(),
    };
    block.put("Rank", rank);
    if !block.reaches(0x22) {
        return;
    }
    block.put("Configured Memory Speed", speed(block, 0x20, 0x58));
    if !block.reaches(0x28) {
        return;
    }
    for (key, offset) in [("Minimum Voltage", 0x22), ("Maximum Voltage", 0x24), ("Configured Voltage", 0x26)] {
        block.put(key, millivolts(block.word(offset)));
    }
    fill_technology(block);
}

/// What SMBIOS 3.2 and later say: DRAM and persistent memory differ here.
fn fill_technology(block: &mut Block<'_>) {
    if !block.reaches(0x34) {
        return;
    }
    block.named("Memory Technology", 0x28, &TECHNOLOGIES);
    block.put("Memory Operating Mode Capability", flags_text(1, &MODES, u64::from(block.word(0x29))));
    block.string("Firmware Version", 0x2b);
    for (part, offset) in [("Module", 0x2c), ("Memory Subsystem Controller", 0x30)] {
        block.put(&format!("{part} Manufacturer ID"), manufacturer(block.word(offset)));
        let product = match block.word(offset + 2) {
            0 => "Unknown".to_string(),
            product => format!("0x{product:04X}"),
        };
        block.put(&format!("{part} Product ID"), product);
    }
    for (key, offset) in
        [("Non-Volatile Size", 0x34), ("Volatile Size", 0x3c), ("Cache Size", 0x44), ("Logical Size", 0x4c)]
    {
        if !block.reaches(offset + 8) {
            return;
        }
        let size = match block.qword(offset) {
            u64::MAX => "Unknown".to_string(),
            0 => "None".to_string(),
            bytes => size_text(bytes, Unit::Bytes),
        };
        block.put(key, size);
    }
    if !block.reaches(0x64) {
        return;
    }
    for (part, offset) in [("PMIC0", 0x5c), ("RCD", 0x60)] {
        block.put(&format!("{part} Manufacturer ID"), manufacturer(block.word(offset)));
        let (key, revision) = (format!("{part} Revision Number"), block.word(offset + 2));
        if revision == 0xff00 {
            block.put(&key, "Unknown");
        } else if !DDR5.contains(&block.byte(0x12)) {
            block.put(&key, format!("0x{revision:04x}"));
        } else if revision & 0x8000 == 0 {
            block.put(&format!("{part} Device Type"), "Not Installed");
        } else {
            block.put(&format!("{part} Device Type"), (revision >> 8 & 0x0f).to_string());
            let [_, revision] = revision.to_be_bytes();
            block.put(&format!("{part} Device Revision"), format!("{}.{}", revision >> 4, revision & 0x0f));
        }
    }
}

fn size(block: &Block<'_>) -> String {
    match block.word(0x0c) {
        0 => "No Module Installed".to_string(),
        0xffff => "Unknown".to_string(),
        0x7fff if block.reaches(0x20) => match block.dword(0x1c) & 0x7fff_ffff {
            mib if mib % 1024 != 0 => format!("{mib} MB"),
            mib if mib & 0xf_fc00 != 0 => format!("{} GB", mib >> 10),
            mib => format!("{} TB", mib >> 20),
        },
        kib if kib & 0x8000 != 0 => size_text(u64::from(kib & 0x7fff), Unit::Kib),
        mib => size_text(u64::from(mib) << 10, Unit::Kib),
    }
}

fn speed(block: &Block<'_>, offset: usize, extended: usize) -> String {
    let speed = match block.word(offset) {
        0xffff if block.reaches(0x5c) => block.dword(extended),
        0xffff => 0,
        speed => u32::from(speed),
    };
    if speed == 0 { "Unknown".to_string() } else { format!("{speed} MT/s") }
}

fn millivolts(millivolts: u16) -> String {
    match millivolts {
        0 => "Unknown".to_string(),
        mv if mv % 100 == 0 => format!("{:.1} V", f64::from(mv) / 1000.0),
        mv => format!("{} V", f64::from(mv) / 1000.0),
    }
}

/// JEDEC's number of a maker: the bank (with a parity bit) and the number in it.
fn manufacturer(id: u16) -> String {
    match id {
        0 => "Unknown".to_string(),
        id => format!("Bank {}, Hex 0x{:02X}", (id & 0x7f) + 1, id >> 8),
    }
}

fn error_handle(handle: u16) -> String {
    match handle {
        0xfffe => "Not Provided".to_string(),
        0xffff => "No Error".to_string(),
        handle => format!("0x{handle:04X}"),
    }
}
