//! Firmware (type 0).

use serde_json::{Map, Value};

use super::block::{Block, OUT_OF_SPEC, Unit, flags, size_text};
use crate::smbios::Structure;

const CHARACTERISTICS: [&str; 28] = [
    "ISA is supported",
    "MCA is supported",
    "EISA is supported",
    "PCI is supported",
    "PC Card (PCMCIA) is supported",
    "PNP is supported",
    "APM is supported",
    "BIOS is upgradeable",
    "BIOS shadowing is allowed",
    "VLB is supported",
    "ESCD support is available",
    "Boot from CD is supported",
    "Selectable boot is supported",
    "BIOS ROM is socketed",
    "Boot from PC Card (PCMCIA) is supported",
    "EDD is supported",
    "Japanese floppy for NEC 9800 1.2 MB is supported (int 13h)",
    "Japanese floppy for Toshiba 1.2 MB is supported (int 13h)",
    "5.25\"/360 kB floppy services are supported (int 13h)",
    "5.25\"/1.2 MB floppy services are supported (int 13h)",
    "3.5\"/720 kB floppy services are supported (int 13h)",
    "3.5\"/2.88 MB floppy services are supported (int 13h)",
    "Print screen service is supported (int 5h)",
    "8042 keyboard services are supported (int 9h)",
    "Serial services are supported (int 14h)",
    "Printer services are supported (int 17h)",
    "CGA/mono video services are supported (int 10h)",
    "NEC PC-98",
];

const EXTENSION_1: [&str; 8] = [
    "ACPI is supported",
    "USB legacy is supported",
    "AGP is supported",
    "I2O boot is supported",
    "LS-120 boot is supported",
    "ATAPI Zip drive boot is supported",
    "IEEE 1394 boot is supported",
    "Smart battery is supported",
];

const EXTENSION_2: [&str; 7] = [
    "BIOS boot specification is supported",
    "Function key-initiated network boot is supported",
    "Targeted content distribution is supported",
    "UEFI is supported",
    "System is a virtual machine",
    "Manufacturing mode is supported",
    "Manufacturing mode is enabled",
];

pub(super) fn describe(structure: &Structure) -> Map<String, Value> {
    let mut block = Block::new(structure);
    if !block.reaches(0x12) {
        return block.fields();
    }
    block.string("Vendor", 4);
    block.string("Version", 5);
    block.string("Release Date", 8);
    let segment = block.word(6);
    if segment != 0 {
        block.put("Address", format!("0x{segment:04X}0"));
        let bytes = (0x1_0000 - u32::from(segment)) << 4;
        let size = if bytes % 1024 == 0 { format!("{} kB", bytes / 1024) } else { format!("{bytes} bytes") };
        block.put("Runtime Size", size);
    }
    block.put("ROM Size", rom_size(&block));
    let mut names = match block.qword(0x0a) {
        set if set & 1 << 3 != 0 => vec!["BIOS characteristics not supported"],
        set => flags(4, &CHARACTERISTICS, set),
    };
    names.extend(flags(0, &EXTENSION_1, u64::from(block.byte(0x12))));
    names.extend(flags(0, &EXTENSION_2, u64::from(block.byte(0x13))));
    block.list("Characteristics", &names);
    if block.reaches(0x18) {
        for (key, offset) in [("BIOS Revision", 0x14), ("Firmware Revision", 0x16)] {
            let (major, minor) = (block.byte(offset), block.byte(offset + 1));
            if major != 0xff && minor != 0xff {
                block.put(key, format!("{major}.{minor}"));
            }
        }
    }
    block.fields()
}

fn rom_size(block: &Block<'_>) -> String {
    let code = block.byte(9);
    if code != 0xff {
        return size_text((u64::from(code) + 1) << 6, Unit::Kib);
    }
    let extended = if block.reaches(0x1a) { block.word(0x18) } else { 16 };
    let unit = ["MB", "GB", OUT_OF_SPEC, OUT_OF_SPEC][usize::from(extended >> 14)];
    format!("{} {unit}", extended & 0x3fff)
}
