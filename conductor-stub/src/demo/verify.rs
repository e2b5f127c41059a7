//! The disk against the image: every byte but the partition tables, and these entry by entry.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// Bytes of one sector; both image and disk have these.
const SECTOR_BYTES: u64 = 512;
/// Protective MBR, header and 128 entries of 128 bytes (UEFI specification 5.3).
const FRONT_BYTES: u64 = 34 * SECTOR_BYTES;
/// 128 entries and the backup header.
const BACK_BYTES: u64 = 33 * SECTOR_BYTES;
/// Where the entries begin, and how large and many they are.
const ENTRIES_AT: u64 = 2 * SECTOR_BYTES;
const ENTRY_BYTES: usize = 128;
const ENTRIES: usize = 128;

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Bytes that are equal.
    pub compared_bytes: u64,
    /// Partitions of the image that are on the disk.
    pub partitions: usize,
    /// Whether a config drive follows them.
    pub config_drive: bool,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let drive = if self.config_drive { "config drive found" } else { "no config drive" };
        write!(f, "identical; {} partitions, backup GPT at the end of the disk, {drive}", self.partitions)
    }
}

/// Compares `disk` with `image`.
///
/// # Errors
/// Names the first difference.
pub fn compare(image: &Path, disk: &Path) -> Result<Found> {
    let open = |path: &Path| File::open(path).with_context(|| format!("opening {}", path.display()));
    let (mut image, mut disk) = (open(image)?, open(disk)?);
    let image_bytes = image.seek(SeekFrom::End(0))?;
    let disk_bytes = disk.seek(SeekFrom::End(0))?;
    ensure!(disk_bytes >= image_bytes, "the disk has {disk_bytes} bytes, the image {image_bytes}");
    let compared_bytes = compare_content(&image, &disk, FRONT_BYTES..image_bytes - BACK_BYTES)?;

    let (wanted, found) = (entries(&mut image)?, entries(&mut disk)?);
    for entry in &wanted {
        ensure!(found.contains(entry), "partition {} of the image is not on the disk", name(entry));
    }
    for at in [SECTOR_BYTES, disk_bytes - SECTOR_BYTES] {
        ensure!(read(&mut disk, at, 8)? == b"EFI PART", "no GPT header at byte {at} of the disk");
    }
    let mut config_drive = false;
    for entry in found.iter().filter(|entry| !wanted.contains(entry)) {
        let start = first_sector(entry) * SECTOR_BYTES;
        // ECMA-119 8.4: the identifier of the primary volume descriptor.
        config_drive |= read(&mut disk, start + 16 * 2048 + 1, 5)? == b"CD001";
    }
    Ok(Found { compared_bytes, partitions: wanted.len(), config_drive })
}

fn compare_content(image: &File, disk: &File, range: std::ops::Range<u64>) -> Result<u64> {
    let reader = |mut file: &File| -> Result<_> {
        file.seek(SeekFrom::Start(range.start))?;
        Ok(BufReader::with_capacity(1 << 20, file.try_clone()?))
    };
    let (mut image, mut disk) = (reader(image)?, reader(disk)?);
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut at = range.start;
    while at < range.end {
        let length = usize::try_from(range.end - at)?.min(left.len());
        image.read_exact(&mut left[..length])?;
        disk.read_exact(&mut right[..length])?;
        let (left, right) = (&left[..length], &right[..length]);
        // The whole slice at once is much faster than looking for the place, which is seldom needed.
        if left != right {
            let offset = left.iter().zip(right).position(|(a, b)| a != b).unwrap_or_default();
            bail!("the disk differs from the image at byte {}", at + offset as u64);
        }
        at += length as u64;
    }
    Ok(range.end - range.start)
}

fn entries(file: &mut File) -> Result<Vec<Vec<u8>>> {
    let table = read(file, ENTRIES_AT, ENTRY_BYTES * ENTRIES)?;
    Ok(table.chunks(ENTRY_BYTES).filter(|entry| entry[..16] != [0; 16]).map(<[u8]>::to_vec).collect())
}

fn first_sector(entry: &[u8]) -> u64 {
    entry[32..40].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn name(entry: &[u8]) -> String {
    let units: Vec<u16> = entry[56..]
        .chunks(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .take_while(|unit| *unit != 0)
        .collect();
    String::from_utf16_lossy(&units)
}

fn read(file: &mut File, at: u64, length: usize) -> Result<Vec<u8>> {
    let mut buffer = vec![0; length];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut buffer)?;
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn partitioned(directory: &Path, name: &str, bytes: u64, partition: &str) -> std::path::PathBuf {
        let path = directory.join(name);
        File::create(&path).unwrap().set_len(bytes).unwrap();
        let guid = "--partition-guid=1:11111111-2222-3333-4444-555555555555";
        let status = Command::new("/usr/sbin/sgdisk").args([partition, guid]).arg(&path).output().unwrap();
        assert!(status.status.success());
        path
    }

    #[test]
    fn a_turned_bit_and_a_lost_partition_are_seen() {
        let directory = tempfile::tempdir().unwrap();
        let image = partitioned(directory.path(), "image", 8 << 20, "--new=1:2048:+1M");
        let disk = partitioned(directory.path(), "disk", 16 << 20, "--new=1:2048:+1M");
        let found = compare(&image, &disk).unwrap();
        assert_eq!((found.partitions, found.config_drive), (1, false));
        let mut bytes = std::fs::read(&disk).unwrap();
        bytes[5 << 20] ^= 1;
        std::fs::write(&disk, &bytes).unwrap();
        assert!(compare(&image, &disk).unwrap_err().to_string().contains("5242880"));
        let other = partitioned(directory.path(), "other", 16 << 20, "--new=1:4096:+1M");
        assert!(compare(&image, &other).unwrap_err().to_string().contains("partition"));
    }
}
