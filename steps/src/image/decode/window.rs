//! How much memory the window of a compressed file may take. What compressors do without being asked is always
//! accepted; what takes more, when the machine has it free.

use std::fmt;

/// A window of this size is always accepted: what `zstd -d` and `xz -d` accept without being asked, and twice that of
/// the largest preset of xz.
const ALWAYS: u64 = 160 << 20;

/// What decoders may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    /// Bytes for one decoder.
    pub(super) bytes: u64,
}

impl Limit {
    /// Half of the memory that is free now, divided among `decoders`.
    pub(super) fn of_machine(decoders: usize) -> Self {
        Self::of(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default(), decoders)
    }

    /// The same by `/proc/meminfo` (proc_meminfo(5)).
    fn of(meminfo: &str, decoders: usize) -> Self {
        let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).unwrap_or(0);
        Self { bytes: (kib.saturating_mul(1024) / 2 / decoders.max(1) as u64).max(ALWAYS) }
    }

    /// The largest window of that many bytes as the power of two that zstd counts in; never more than it knows.
    pub(super) fn zstd_log(self) -> u32 {
        const LARGEST: u32 = if cfg!(target_pointer_width = "64") { 31 } else { 30 };
        self.bytes.ilog2().min(LARGEST)
    }
}

/// A window that is too large for this machine.
#[derive(Debug)]
pub(super) struct TooLarge {
    /// Bytes that it takes.
    pub(super) needed: u64,
    /// Bytes that one decoder may take now.
    pub(super) limit: u64,
    /// How to make a file that needs less.
    pub(super) remedy: &'static str,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        write!(
            f,
            "its window takes {} MiB of memory, and this machine can give a decoder {} MiB now; compress it with a smaller \
             one ({})",
            mib(self.needed),
            self.limit >> 20,
            self.remedy
        )
    }
}

/// The window that the header of a zstd frame asks for (RFC 8878 section 3.1.1.1), of which `start` are the first bytes.
pub(super) fn of_zstd_frame(start: &[u8]) -> Option<u64> {
    let descriptor = *start.get(4)?;
    if descriptor & 0x20 == 0 {
        let window = *start.get(5)?;
        let base = 1_u64 << (10 + u32::from(window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // A single segment: the window is the content.
    let at = 5 + [0, 1, 2, 4][usize::from(descriptor & 3)];
    let length = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    let size = start.get(at..at + length)?.iter().rev().fold(0_u64, |size, byte| size << 8 | u64::from(*byte));
    Some(if length == 2 { size + 256 } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_what_is_free_is_divided_and_never_less_than_what_is_usual() {
        let meminfo = "MemTotal:       16384000 kB\nMemFree: 1 kB\nMemAvailable:    8388608 kB\n";
        assert_eq!(Limit::of(meminfo, 1).bytes, 4 << 30);
        assert_eq!(Limit::of(meminfo, 4).bytes, 1 << 30);
        assert_eq!((Limit::of(meminfo, 1).zstd_log(), Limit::of(meminfo, 4).zstd_log()), (31, 30));
        for little in ["MemAvailable: 1000 kB\n", "", "MemAvailable: many\n"] {
            assert_eq!((Limit::of(little, 2).bytes, Limit::of(little, 2).zstd_log()), (ALWAYS, 27));
        }
    }

    #[test]
    fn the_window_is_in_the_header_of_a_frame() {
        let frame = |window_log: Option<u32>, content: &[u8]| {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            encoder.include_contentsize(true).unwrap();
            match window_log {
                Some(log) => encoder.window_log(log).unwrap(),
                None => encoder.set_pledged_src_size(Some(content.len() as u64)).unwrap(),
            }
            std::io::Write::write_all(&mut encoder, content).unwrap();
            encoder.finish().unwrap()
        };
        for log in [10, 20, 27, 30] {
            assert_eq!(of_zstd_frame(&frame(Some(log), &[7; 5000])), Some(1 << log));
        }
        for size in [100, 300, 70_000] {
            assert_eq!(of_zstd_frame(&frame(None, &vec![7; size])), Some(size as u64));
        }
        assert_eq!(of_zstd_frame(&[0x28, 0xb5, 0x2f, 0xfd]), None);
    }
}
