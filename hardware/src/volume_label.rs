//! The label of the file system of a removable medium and who published it, read from the medium itself: udev may not run
//! here.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// The label of an ISO 9660 (ECMA-119 8.4.8) or FAT file system (its boot sector); nothing for any other.
pub fn of(device: &Path) -> Option<String> {
    let text = |offset, mark, at, length| text(device, (offset, mark), at, length);
    text(32_769, b"CD001", 32_808, 32).or_else(|| text(82, b"FAT32", 71, 11)).or_else(|| text(54, b"FAT", 43, 11))
}

/// The publisher of an ISO 9660 file system (ECMA-119 8.4.20).
pub fn publisher(device: &Path) -> Option<String> {
    text(device, (32_769, b"CD001"), 33_086, 128)
}

/// The text at `at`, when `mark` is where it belongs.
fn text(device: &Path, (offset, mark): (u64, &[u8]), at: u64, length: usize) -> Option<String> {
    let mut file = File::open(device).ok()?;
    let mut found = vec![0; mark.len()];
    file.seek(SeekFrom::Start(offset)).ok()?;
    file.read_exact(&mut found).ok()?;
    let mut label = vec![0; length];
    file.seek(SeekFrom::Start(at)).ok()?;
    file.read_exact(&mut label).ok()?;
    (found == mark).then(|| String::from_utf8_lossy(&label).trim_matches(['\0', ' ']).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_both_kinds_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let medium = |parts: &[(usize, &[u8])]| {
            let mut content = vec![b' '; 40_000];
            parts.iter().for_each(|(at, bytes)| content[*at..at + bytes.len()].copy_from_slice(bytes));
            let path = directory.path().join("medium");
            std::fs::write(&path, content).unwrap();
            of(&path)
        };
        assert_eq!(medium(&[(32_769, b"CD001"), (32_808, b"config-2")]).as_deref(), Some("config-2"));
        assert_eq!(medium(&[(82, b"FAT32"), (71, b"IR-VFD-DEV")]).as_deref(), Some("IR-VFD-DEV"));
        assert_eq!(medium(&[(54, b"FAT12"), (43, b"IR-VFD-DEV")]).as_deref(), Some("IR-VFD-DEV"));
        assert_eq!(medium(&[]), None);
    }
}
