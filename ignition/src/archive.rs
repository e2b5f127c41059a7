//! Initramfs archives: what the kernel, and coreos-installer, read from an embed area.
//!
//! Format: cpio "newc", see the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`. Archives may
//! be plain or compressed, may follow each other, and zeroes may stand between and behind them.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use liblzma::stream::{Check, Stream};
use thiserror::Error;

const MAGIC: &[u8] = b"070701";
const HEADER_BYTES: usize = 110;
const TRAILER: &str = "TRAILER!!!";
const DIRECTORY_MODE: u32 = 0o040_755;
const FILE_MODE: u32 = 0o100_600;
const FILE_TYPE_MASK: u32 = 0o170_000;
const REGULAR_FILE: u32 = 0o100_000;
/// More than any configuration needs, and little enough that a decompression bomb does no harm.
const MAX_DECODED_BYTES: u64 = 64 << 20;

/// Why bytes are not a readable archive.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The bytes start with no known magic number.
    #[error("not a cpio archive, nor a gzip, xz or zstd one")]
    UnknownFormat,
    /// A cpio header or what it announces does not fit into the bytes.
    #[error("truncated or damaged cpio archive: {0}")]
    Damaged(&'static str),
    /// A compressed archive grows beyond what is reasonable.
    #[error("compressed archive holds more than {} MiB", MAX_DECODED_BYTES >> 20)]
    TooLarge,
    /// The decompressor refused the bytes.
    #[error("compressed archive: {0}")]
    Compression(#[from] std::io::Error),
}

/// Regular files by their path in the initramfs (no leading slash).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Archive {
    files: BTreeMap<String, Vec<u8>>,
}

impl Archive {
    /// Reads all archives in `bytes`; of files with the same name the last wins, as in the kernel.
    ///
    /// # Errors
    /// Bytes that are neither zero nor an archive.
    pub fn decode(bytes: &[u8]) -> Result<Self, ArchiveError> {
        let mut archive = Self::default();
        let mut rest = skip_zeroes(bytes);
        while !rest.is_empty() {
            if rest.starts_with(MAGIC) {
                rest = archive.read_members(rest)?;
            } else {
                let (inner, after) = decompress(rest)?;
                let trailing = archive.read_members(&inner)?;
                if !skip_zeroes(trailing).is_empty() {
                    return Err(ArchiveError::Damaged("bytes behind the end of a compressed archive"));
                }
                rest = after;
            }
            rest = skip_zeroes(rest);
        }
        Ok(archive)
    }

    /// One xz archive with the CRC32 check, the only one that the kernel's decoder knows; members are sorted, parent
    /// directories come before what is in them. Nothing at all for an empty archive.
    ///
    /// # Panics
    /// Never: writing into memory does not fail.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        if self.files.is_empty() {
            return Vec::new();
        }
        let stream = Stream::new_easy_encoder(9, Check::Crc32).expect("preset 9 exists");
        let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(&self.to_cpio()).and_then(|()| encoder.finish()).expect("memory takes all bytes")
    }

    /// The contents of a file.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// Adds or replaces a file.
    pub fn insert(&mut self, path: impl Into<String>, contents: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), contents.into());
    }

    /// Takes a file out and tells what it held.
    pub fn remove(&mut self, path: &str) -> Option<Vec<u8>> {
        self.files.remove(path)
    }

    /// Names of all files, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    fn to_cpio(&self) -> Vec<u8> {
        let mut cpio = Vec::new();
        let mut inode = 0;
        let mut made: Vec<&str> = Vec::new();
        for (path, contents) in &self.files {
            for (end, _) in path.match_indices('/') {
                let directory = &path[..end];
                if !made.contains(&directory) {
                    made.push(directory);
                    write_member(&mut cpio, inode, DIRECTORY_MODE, directory, &[]);
                    inode += 1;
                }
            }
            write_member(&mut cpio, inode, FILE_MODE, path, contents);
            inode += 1;
        }
        write_member(&mut cpio, 0, 0, TRAILER, &[]);
        cpio
    }

    /// Reads up to and including the trailer; returns what follows.
    fn read_members<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], ArchiveError> {
        let mut position = 0;
        loop {
            let header = bytes.get(position..position + HEADER_BYTES).ok_or(ArchiveError::Damaged("short header"))?;
            if !header.starts_with(MAGIC) {
                return Err(ArchiveError::Damaged("member without its magic number"));
            }
            let (mode, size, name_size) = (field(header, 1)?, field(header, 6)?, field(header, 11)?);
            let name_start = position + HEADER_BYTES;
            let name = section(bytes, name_start, name_size)?;
            let name = name.strip_suffix(b"\0").ok_or(ArchiveError::Damaged("name without its final zero"))?;
            let name = std::str::from_utf8(name).map_err(|_| ArchiveError::Damaged("name is not UTF-8"))?;
            let data_start = aligned(name_start + name_size as usize);
            let data = section(bytes, data_start, size)?;
            position = aligned(data_start + size as usize);
            if name == TRAILER {
                return Ok(bytes.get(position..).unwrap_or_default());
            }
            if mode & FILE_TYPE_MASK == REGULAR_FILE {
                self.files.insert(name.to_owned(), data.to_owned());
            }
        }
    }
}

fn write_member(cpio: &mut Vec<u8>, inode: u32, mode: u32, name: &str, contents: &[u8]) {
    let fields = [inode, mode, 0, 0, 1, 0, contents.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
    cpio.extend_from_slice(MAGIC);
    for value in fields {
        cpio.extend_from_slice(format!("{value:08x}").as_bytes());
    }
    cpio.extend_from_slice(name.as_bytes());
    cpio.push(0);
    cpio.resize(aligned(cpio.len()), 0);
    cpio.extend_from_slice(contents);
    cpio.resize(aligned(cpio.len()), 0);
}

fn field(header: &[u8], index: usize) -> Result<u32, ArchiveError> {
    let start = MAGIC.len() + index * 8;
    std::str::from_utf8(&header[start..start + 8])
        .ok()
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .ok_or(ArchiveError::Damaged("a header field is not hexadecimal"))
}

fn section(bytes: &[u8], start: usize, length: u32) -> Result<&[u8], ArchiveError> {
    start
        .checked_add(length as usize)
        .and_then(|end| bytes.get(start..end))
        .ok_or(ArchiveError::Damaged("a member is longer than the archive"))
}

fn aligned(position: usize) -> usize {
    position.next_multiple_of(4)
}

fn skip_zeroes(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    &bytes[start..]
}

/// The first compressed archive in `bytes`, unpacked, and the bytes behind it.
fn decompress(bytes: &[u8]) -> Result<(Vec<u8>, &[u8]), ArchiveError> {
    let mut rest = bytes;
    let unpacked = if bytes.starts_with(&[0x1f, 0x8b]) {
        read_limited(flate2::bufread::GzDecoder::new(&mut rest))?
    } else if bytes.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        read_limited(liblzma::bufread::XzDecoder::new(&mut rest))?
    } else if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        read_limited(zstd::stream::read::Decoder::with_buffer(&mut rest)?.single_frame())?
    } else {
        return Err(ArchiveError::UnknownFormat);
    };
    Ok((unpacked, rest))
}

fn read_limited(decoder: impl Read) -> Result<Vec<u8>, ArchiveError> {
    let mut unpacked = Vec::new();
    decoder.take(MAX_DECODED_BYTES + 1).read_to_end(&mut unpacked)?;
    if unpacked.len() as u64 > MAX_DECODED_BYTES {
        return Err(ArchiveError::TooLarge);
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Archive {
        let mut archive = Archive::default();
        archive.insert("config.ign", *b"{}");
        archive.insert("etc/coreos-firstboot-network/eth0.nmconnection", *b"[connection]\n");
        archive
    }

    #[test]
    fn what_was_encoded_is_decoded_among_zeroes() {
        let mut bytes = vec![0; 12];
        bytes.extend(sample().encode());
        bytes.extend([0; 4096]);
        assert_eq!(Archive::decode(&bytes).unwrap(), sample());
    }

    #[test]
    fn plain_gzip_zstd_and_xz_follow_each_other_and_the_last_file_wins() {
        let one = |path: &str, contents: &[u8]| {
            let mut archive = Archive::default();
            archive.insert(path, contents);
            archive.to_cpio()
        };
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&one("a", b"from gzip")).unwrap();
        let mut bytes = one("a", b"plain");
        bytes.extend(gzip.finish().unwrap());
        bytes.extend([0; 3]);
        bytes.extend(zstd::encode_all(&one("b", b"from zstd")[..], 1).unwrap());
        bytes.extend(sample().encode());
        let archive = Archive::decode(&bytes).unwrap();
        assert_eq!(archive.get("a"), Some(&b"from gzip"[..]));
        assert_eq!(archive.get("b"), Some(&b"from zstd"[..]));
        assert_eq!(archive.get("config.ign"), Some(&b"{}"[..]));
    }

    #[test]
    fn parent_directories_precede_their_files() {
        let cpio = sample().to_cpio();
        let names: Vec<_> = ["config.ign\0", "etc\0", "etc/coreos-firstboot-network\0", "eth0.nmconnection\0"]
            .map(|name| cpio.windows(name.len()).position(|window| window == name.as_bytes()).unwrap())
            .into();
        assert!(names.is_sorted(), "{names:?}");
    }

    #[test]
    fn every_truncation_is_an_error_and_never_a_panic() {
        for whole in [sample().to_cpio(), sample().encode()] {
            for length in 1..whole.len() - 3 {
                assert!(Archive::decode(&whole[..length]).is_err(), "{length} of {}", whole.len());
            }
        }
    }

    #[test]
    fn a_bomb_is_stopped() {
        let bomb = zstd::encode_all(std::io::repeat(0).take(MAX_DECODED_BYTES * 2), 1).unwrap();
        assert!(matches!(Archive::decode(&bomb), Err(ArchiveError::TooLarge)));
    }
}
