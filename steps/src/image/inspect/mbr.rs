//! The partition table in the first sector (UEFI specification, "MBR Partition Table").

const ENTRIES: usize = 4;
const PROTECTIVE: u8 = 0xee;

/// Whether `head` starts with an MBR, and not with the boot sector of a FAT file system.
pub(super) fn matches(head: &[u8]) -> bool {
    head.get(510..512) == Some(&[0x55, 0xaa]) && !(head[0x10] == 2 && head[0x15] == 0xf8)
}

/// Checks the entries: what firmware, kernel and image tools could read in different ways is refused.
pub(super) fn check(head: &[u8]) -> Result<(), &'static str> {
    let Some(table) = head.get(446..510) else { return Err("the first sector is incomplete") };
    let entries = || table.chunks_exact(16).enumerate();
    for (n, entry) in entries() {
        if !matches!(entry[0], 0 | 0x80) {
            return Err(INVALID_BOOT_FLAG[n]);
        }
    }
    let used = entries().filter(|(_, entry)| entry[4] != 0).count();
    for (_, entry) in entries().filter(|(_, entry)| entry[4] == PROTECTIVE) {
        if entry[1..4] != [0, 2, 0] {
            return Err("GPT protective MBR has an invalid start CHS");
        }
        if entry[8..12] != [1, 0, 0, 0] {
            return Err("GPT protective MBR does not start at LBA 1");
        }
        if used > 1 {
            return Err("GPT protective MBR has further partitions");
        }
    }
    if used == 0 { Err("GPT MBR has no partitions defined") } else { Ok(()) }
}

const INVALID_BOOT_FLAG: [&str; ENTRIES] = [
    "MBR PTE 0 has invalid boot flag",
    "MBR PTE 1 has invalid boot flag",
    "MBR PTE 2 has invalid boot flag",
    "MBR PTE 3 has invalid boot flag",
];
