//! Processors (type 4).

use serde_json::{Map, Value};

use super::block::{Block, OUT_OF_SPEC, flags};
use super::families;
use crate::smbios::{Smbios, Structure};

const TYPES: [&str; 6] =
    ["Other", "Unknown", "Central Processor", "Math Processor", "DSP Processor", "Video Processor"];

const STATES: [&str; 8] =
    ["Unknown", "Enabled", "Disabled By User", "Disabled By BIOS", "Idle", OUT_OF_SPEC, OUT_OF_SPEC, "Other"];

const CHARACTERISTICS: [&str; 8] = [
    "64-bit capable",
    "Multi-Core",
    "Hardware Thread",
    "Execute Protection",
    "Enhanced Virtualization",
    "Power/Performance Control",
    "128-bit Capable",
    "Arm64 SoC ID",
];

const UPGRADES: [&str; 87] = [
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
    "Socket LGA1700",
    "Socket BGA1744",
    "Socket BGA1781",
    "Socket BGA1211",
    "Socket BGA2422",
    "Socket LGA1211",
    "Socket LGA2422",
    "Socket LGA5773",
    "Socket BGA5773",
    "Socket AM5",
    "Socket SP5",
    "Socket SP6",
    "Socket BGA883",
    "Socket BGA1190",
    "Socket BGA4129",
    "Socket LGA4710",
    "Socket LGA7529",
    "Socket BGA1964",
    "Socket BGA1792",
    "Socket BGA2049",
    "Socket BGA2551",
    "Socket LGA1851",
    "Socket BGA2114",
    "Socket BGA2833",
];

/// What CPUID leaf 1 returns in EDX.
const CPUID_FLAGS: [&str; 32] = [
    "FPU (Floating-point unit on-chip)",
    "VME (Virtual mode extension)",
    "DE (Debugging extension)",
    "PSE (Page size extension)",
    "TSC (Time stamp counter)",
    "MSR (Model specific registers)",
    "PAE (Physical address extension)",
    "MCE (Machine check exception)",
    "CX8 (CMPXCHG8 instruction supported)",
    "APIC (On-chip APIC hardware supported)",
    "",
    "SEP (Fast system call)",
    "MTRR (Memory type range registers)",
    "PGE (Page global enable)",
    "MCA (Machine check architecture)",
    "CMOV (Conditional move instruction supported)",
    "PAT (Page attribute table)",
    "PSE-36 (36-bit page size extension)",
    "PSN (Processor serial number present and enabled)",
    "CLFSH (CLFLUSH instruction supported)",
    "",
    "DS (Debug store)",
    "ACPI (ACPI supported)",
    "MMX (MMX technology supported)",
    "FXSR (FXSAVE and FXSTOR instructions supported)",
    "SSE (Streaming SIMD extensions)",
    "SSE2 (Streaming SIMD extensions 2)",
    "SS (Self-snoop)",
    "HTT (Multi-threading)",
    "TM (Thermal monitor supported)",
    "",
    "PBE (Pending break enabled)",
];

pub(super) fn describe(structure: &Structure, smbios: &Smbios) -> Map<String, Value> {
    let mut block = Block::new(structure);
    fill(&mut block, smbios);
    block.fields()
}

fn fill(block: &mut Block<'_>, smbios: &Smbios) {
    if !block.reaches(0x1a) {
        return;
    }
    block.string("Socket Designation", 4);
    block.named("Type", 5, &TYPES);
    let family = match block.byte(6) {
        0xfe if block.reaches(0x2a) => block.word(0x28),
        family => u16::from(family),
    };
    let manufacturer = block.text(7);
    block.put("Family", families::name(family, &manufacturer).unwrap_or(OUT_OF_SPEC));
    block.put("Manufacturer", manufacturer);
    let id: Vec<String> = (8..16).map(|at| format!("{:02X}", block.byte(at))).collect();
    block.put("ID", id.join(" "));
    fill_signature(block, family);
    block.string("Version", 0x10);
    block.put("Voltage", voltage(block.byte(0x11)));
    for (key, offset) in [("External Clock", 0x12), ("Max Speed", 0x14), ("Current Speed", 0x16)] {
        let speed = match block.word(offset) {
            0 => "Unknown".to_string(),
            mhz => format!("{mhz} MHz"),
        };
        block.put(key, speed);
    }
    let status = match block.byte(0x18) {
        status if status & 0x40 != 0 => format!("Populated, {}", STATES[usize::from(status & 7)]),
        _ => "Unpopulated".to_string(),
    };
    block.put("Status", status);
    block.named("Upgrade", 0x19, &UPGRADES);
    if !block.reaches(0x20) {
        return;
    }
    for (level, offset) in [("L1", 0x1a), ("L2", 0x1c), ("L3", 0x1e)] {
        let handle = match block.word(offset) {
            0xffff if smbios.is_at_least(2, 3) => "Not Provided".to_string(),
            0xffff => format!("No {level} Cache"),
            handle => format!("0x{handle:04X}"),
        };
        block.put(&format!("{level} Cache Handle"), handle);
    }
    if !block.reaches(0x23) {
        return;
    }
    for (key, offset) in [("Serial Number", 0x20), ("Asset Tag", 0x21), ("Part Number", 0x22)] {
        block.string(key, offset);
    }
    if !block.reaches(0x28) {
        return;
    }
    for (key, offset, wide) in [("Core Count", 0x23, 0x2a), ("Core Enabled", 0x24, 0x2c), ("Thread Count", 0x25, 0x2e)]
    {
        match block.byte(offset) {
            0 => {}
            0xff if block.reaches(wide + 2) => block.put(key, block.word(wide).to_string()),
            count => block.put(key, count.to_string()),
        }
    }
    if block.reaches(0x32) && block.word(0x30) != 0 {
        block.put("Thread Enabled", block.word(0x30).to_string());
    }
    let characteristics = block.word(0x26);
    if characteristics & 0xfc == 0 {
        block.put("Characteristics", "None");
    } else {
        block.list("Characteristics", &flags(2, &CHARACTERISTICS, u64::from(characteristics)));
    }
}

/// What the eight bytes of the ID mean depends on the family.
fn fill_signature(block: &mut Block<'_>, family: u16) {
    let (low, high) = (block.dword(8), block.dword(0x0c));
    let bits = |shift: u32, mask: u32| low >> shift & mask;
    let is_old_486 = bits(8, 0xf) != 4 || !(bits(4, 0xf) == 4 || bits(4, 0xf) >= 7) || bits(0, 0xf) < 3;
    match family {
        0x05 => {
            let text = format!(
                "Type {}, Family {}, Major Stepping {}, Minor Stepping {}",
                bits(12, 0xf),
                bits(8, 0xf),
                bits(4, 0xf),
                bits(0, 0xf)
            );
            block.put("Signature", text);
        }
        0x06 if is_old_486 => {
            let text = format!(
                "Type {}, Family {}, Model {}, Stepping {}",
                bits(12, 3),
                bits(8, 0xf),
                bits(4, 0xf),
                bits(0, 0xf)
            );
            block.put("Signature", text);
        }
        0x100..=0x102 | 0x118..=0x119 if block.reaches(0x28) && block.word(0x26) & 1 << 9 != 0 => {
            let text = format!(
                "JEP-106 Bank 0x{:02x} Manufacturer 0x{:02x}, SoC ID 0x{:04x}, SoC Revision 0x{high:08x}",
                bits(24, 0x7f),
                bits(16, 0x7f),
                bits(0, 0xffff)
            );
            block.put("Signature", text);
        }
        // Before SMBIOS 3.1 nobody had said what belongs there.
        0x100..=0x102 | 0x118..=0x119 if low == 0 => {}
        0x100..=0x102 | 0x118..=0x119 => {
            let text = format!(
                "Implementor 0x{:02x}, Variant 0x{:x}, Architecture {}, Part 0x{:03x}, Revision {}",
                bits(24, 0xff),
                bits(20, 0xf),
                bits(16, 0xf),
                bits(4, 0xfff),
                bits(0, 0xf)
            );
            block.put("Signature", text);
        }
        0x06
        | 0x0b..=0x15
        | 0x28..=0x2f
        | 0xa1..=0xb3
        | 0xb5
        | 0xb9..=0xc7
        | 0xcd..=0xd0
        | 0xd2..=0xdb
        | 0xdd..=0xe0
        | 0x300..=0x307 => {
            let text = format!(
                "Type {}, Family {}, Model {}, Stepping {}",
                bits(12, 3),
                bits(20, 0xff) + bits(8, 0xf),
                (bits(16, 0xf) << 4) + bits(4, 0xf),
                bits(0, 0xf)
            );
            block.put("Signature", text);
            fill_flags(block, high);
        }
        0x18..=0x1d | 0x1f | 0x38..=0x3f | 0x46..=0x4f | 0x66..=0x6b | 0x83..=0x8f | 0xb6..=0xb7 | 0xe4..=0xef => {
            let extended = bits(8, 0xf) == 0xf;
            let text = format!(
                "Family {}, Model {}, Stepping {}",
                bits(8, 0xf) + if extended { bits(20, 0xff) } else { 0 },
                bits(4, 0xf) | if extended { bits(16, 0xf) << 4 } else { 0 },
                bits(0, 0xf)
            );
            block.put("Signature", text);
            fill_flags(block, high);
        }
        0x258..=0x262 | 0x26c..=0x271 => block.put("Signature", format!("Processor Identity 0x{low:08x}")),
        _ => {}
    }
}

fn fill_flags(block: &mut Block<'_>, edx: u32) {
    match edx & 0xbfef_fbff {
        0 => block.put("Flags", "None"),
        _ => block.list("Flags", &flags(0, &CPUID_FLAGS, u64::from(edx))),
    }
}

fn voltage(code: u8) -> String {
    const LEGACY: [&str; 3] = ["5.0 V", "3.3 V", "2.9 V"];
    match code {
        code if code & 0x80 != 0 => format!("{:.1} V", f64::from(code & 0x7f) / 10.0),
        code if code & 7 == 0 => "Unknown".to_string(),
        code => flags(0, &LEGACY, u64::from(code)).join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voltages_have_a_new_and_an_old_form() {
        assert_eq!(voltage(0x80 | 9), "0.9 V");
        assert_eq!(voltage(0b011), "5.0 V 3.3 V");
        assert_eq!(voltage(0), "Unknown");
    }
}
