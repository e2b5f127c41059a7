//! VMware disks (VMware "Virtual Disk Format 5.0"): a binary header with a text descriptor behind it, or a
//! descriptor alone. None is ever written; what matters is to name them, and the files they refer to.

const SECTOR: usize = 512;

/// Whether `head` starts a VMware disk.
pub(super) fn matches(head: &[u8]) -> bool {
    if head.starts_with(b"KDMV") {
        return head.get(4..8).is_some_and(|version| matches!(version, [1..=3, 0, 0, 0]));
    }
    head.is_ascii() && !head.contains(&0) && contains(head, b"createType=\"")
}

/// Checks that the disk is all in this one file.
pub(super) fn check(head: &[u8]) -> Result<(), &'static str> {
    if !head.starts_with(b"KDMV") {
        return Err("a descriptor without data names other files");
    }
    let word = |at: usize| head.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    if word(28) != Some(1) {
        return Err("Wrong descriptor location");
    }
    let sectors = word(36).unwrap_or(0).min(head.len() as u64 / SECTOR as u64) as usize;
    let descriptor = head.get(SECTOR..SECTOR + sectors * SECTOR).ok_or("the descriptor is incomplete")?;
    let text = descriptor.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = std::str::from_utf8(text).map_err(|_| "the descriptor is no text")?;
    let lines = || text.lines().map(str::trim);
    let kind = lines().find_map(|line| line.strip_prefix("createType=")).unwrap_or_default().trim_matches('"');
    if !matches!(kind, "monolithicSparse" | "streamOptimized") {
        return Err("Unsupported subformat");
    }
    let mut extents =
        lines().filter(|line| ["RW ", "RDONLY ", "NOACCESS "].iter().any(|access| line.starts_with(access)));
    let Some(first) = extents.next() else { return Err("No extents found") };
    if first.contains('/') || extents.any(|line| line.contains('/')) {
        return Err("Invalid extent filenames found");
    }
    Ok(())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
