//! The names that DSP0134 gives to codes and flags, spelled as dmidecode does.

/// Names by code, from code 1.
pub(super) type Words = &'static [&'static str];

/// The name of `code`; a number where the table ends.
pub(super) fn name(words: Words, code: u8) -> String {
    let name = usize::from(code).checked_sub(1).and_then(|at| words.get(at));
    name.map_or_else(|| format!("0x{code:02X}"), |name| (*name).to_string())
}

/// Names of the flags that are set; `first` is the number of the first flag in the table.
pub(super) fn flags(table: &(u32, Words), flags: u64) -> Vec<&'static str> {
    let (first, names) = table;
    (*first..).zip(*names).filter(|(bit, _)| flags & 1 << bit != 0).map(|(_, name)| *name).collect()
}

pub(super) const BIOS: (u32, Words) = (
    4,
    &[
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
    ],
);

pub(super) const BIOS_EXTENDED_1: (u32, Words) = (
    0,
    &[
        "ACPI is supported",
        "USB legacy is supported",
        "AGP is supported",
        "I2O boot is supported",
        "LS-120 boot is supported",
        "ATAPI Zip drive boot is supported",
        "IEEE 1394 boot is supported",
        "Smart battery is supported",
    ],
);

pub(super) const BIOS_EXTENDED_2: (u32, Words) = (
    0,
    &[
        "BIOS boot specification is supported",
        "Function key-initiated network boot is supported",
        "Targeted content distribution is supported",
        "UEFI is supported",
        "System is a virtual machine",
        "Manufacturing mode is supported",
        "Manufacturing mode is enabled",
    ],
);

pub(super) const CPU_TYPES: Words =
    &["Other", "Unknown", "Central Processor", "Math Processor", "DSP Processor", "Video Processor"];

pub(super) const CPU_STATES: [&str; 8] =
    ["Unknown", "Enabled", "Disabled By User", "Disabled By BIOS", "Idle", "<OUT OF SPEC>", "<OUT OF SPEC>", "Other"];

pub(super) const CPU: (u32, Words) = (
    2,
    &[
        "64-bit capable",
        "Multi-Core",
        "Hardware Thread",
        "Execute Protection",
        "Enhanced Virtualization",
        "Power/Performance Control",
        "128-bit Capable",
        "Arm64 SoC ID",
    ],
);

/// Families of processors that servers have; others are shown by number.
pub(super) fn cpu_family(code: u16) -> String {
    let name = match code {
        0x01 => "Other",
        0x02 => "Unknown",
        0x6b => "Zen",
        0xb3 => "Xeon",
        0xc6 => "Core i7",
        0xcd => "Core i5",
        0xce => "Core i3",
        0xcf => "Core i9",
        0xd6 => "Multi-Core Xeon",
        0xd7 => "Dual-Core Xeon 3xxx",
        0xd8 => "Quad-Core Xeon 3xxx",
        0xdd => "Dual-Core Xeon",
        0xde => "Quad-Core Xeon",
        0x83 => "Athlon 64",
        0x84 => "Opteron",
        0x100 => "ARMv7",
        0x101 => "ARMv8",
        0x102 => "ARMv9",
        code => return format!("0x{code:02X}"),
    };
    name.to_string()
}

pub(super) const CPU_UPGRADES: Words = &[
    "Other",
    "Unknown",
    "Daughter Board",
    "ZIF Socket",
    "Replaceable Piggy Back",
    "None",
    "LIF Socket",
    "Slot 1",
    "Slot 2",
    "370-pin Socket",
    "Slot A",
    "Slot M",
    "Socket 423",
    "Socket A (Socket 462)",
    "Socket 478",
    "Socket 754",
    "Socket 940",
    "Socket 939",
    "Socket mPGA604",
    "Socket LGA771",
    "Socket LGA775",
    "Socket S1",
    "Socket AM2",
    "Socket F (1207)",
    "Socket LGA1366",
    "Socket G34",
    "Socket AM3",
    "Socket C32",
    "Socket LGA1156",
    "Socket LGA1567",
    "Socket PGA988A",
    "Socket BGA1288",
    "Socket rPGA988B",
    "Socket BGA1023",
    "Socket BGA1224",
    "Socket BGA1155",
    "Socket LGA1356",
    "Socket LGA2011",
    "Socket FS1",
    "Socket FS2",
    "Socket FM1",
    "Socket FM2",
    "Socket LGA2011-3",
    "Socket LGA1356-3",
    "Socket LGA1150",
    "Socket BGA1168",
    "Socket BGA1234",
    "Socket BGA1364",
    "Socket AM4",
    "Socket LGA1151",
    "Socket BGA1356",
    "Socket BGA1440",
    "Socket BGA1515",
    "Socket LGA3647-1",
    "Socket SP3",
    "Socket SP3r2",
    "Socket LGA2066",
    "Socket BGA1392",
    "Socket BGA1510",
    "Socket BGA1528",
    "Socket LGA4189",
    "Socket LGA1200",
    "Socket LGA4677",
];

pub(super) const MEMORY_LOCATIONS: Words = &[
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

pub(super) const MEMORY_USES: Words =
    &["Other", "Unknown", "System Memory", "Video Memory", "Flash Memory", "Non-volatile RAM", "Cache Memory"];

pub(super) const MEMORY_CORRECTIONS: Words =
    &["Other", "Unknown", "None", "Parity", "Single-bit ECC", "Multi-bit ECC", "CRC"];

pub(super) const MEMORY_FORMS: Words = &[
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
];

pub(super) const MEMORY_TYPES: Words = &[
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

pub(super) const MEMORY_DETAILS: (u32, Words) = (
    1,
    &[
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
    ],
);
