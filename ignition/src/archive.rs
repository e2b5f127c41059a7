//! Initramfs archives: what the kernel, and coreos-installer, read from an embed area or a file for network boot.
//!
//! Format: cpio "newc", see the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`. Archives may
//! be plain or compressed, may follow each other, and zeroes may stand between and behind them.

use std::collections::BTreeMap;
use std::io::{self, BufRead, ErrorKind, Read, Write};

use cpio::newc;
use liblzma::stream::{Check, Filters, LzmaOptions, Stream};
use thiserror::Error;

const DIRECTORY_MODE: u32 = 0o040_755;
const FILE_MODE: u32 = 0o100_600;
const FILE_TYPE_MASK: u32 = 0o170_000;
const REGULAR_FILE: u32 = 0o100_000;
/// More than any configuration needs, and little enough that a decompression bomb does no harm.
const MAX_KEPT_BYTES: u64 = 64 << 20;
/// More than any live system's initramfs holds.
const MAX_SCANNED_BYTES: u64 = 8 << 30;

/// Why bytes are not a readable archive.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The bytes start with no known magic number.
    #[error("not a cpio archive, nor a gzip, xz or zstd one")]
    UnknownFormat,
    /// The bytes end too early, or what is in them is no archive.
    #[error("truncated or damaged archive: {0}")]
    Damaged(#[source] io::Error),
    /// Something stands where nothing may.
    #[error("bytes behind the end of a compressed archive")]
    Trailing,
    /// What is wanted of it is more than is reasonable.
    #[error("the archive holds more than {} MiB", MAX_KEPT_BYTES >> 20)]
    TooLarge,
    /// The source of the bytes failed.
    #[error("reading the archive: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::Other => {
                Self::Damaged(error)
            }
            _ => Self::Io(error),
        }
    }
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
        Self::read_limited(bytes, |_| true, 2 * MAX_KEPT_BYTES)
    }

    /// Reads all archives of a source from front to back and keeps the files with wanted names, not more of anything else
    /// than a buffer.
    ///
    /// # Errors
    /// As [`Archive::decode`]; when the source cannot be read.
    pub fn read(source: impl BufRead, wanted: impl Fn(&str) -> bool) -> Result<Self, ArchiveError> {
        Self::read_limited(source, wanted, MAX_SCANNED_BYTES)
    }

    /// `limit_bytes` is for each compressed archive.
    fn read_limited(
        mut source: impl BufRead,
        wanted: impl Fn(&str) -> bool,
        limit_bytes: u64,
    ) -> Result<Self, ArchiveError> {
        let mut archive = Self::default();
        let mut members = Members { wanted: &wanted, kept_bytes: 0, archive: &mut archive };
        while let Some(first) = skip_zeroes(&mut source)? {
            // The first byte tells the formats apart; their decoders check the rest of the magic number.
            let decoder: Box<dyn Read> = match first {
                b'0' => {
                    members.read(&mut source)?;
                    continue;
                }
                0x1f => Box::new(flate2::bufread::GzDecoder::new(&mut source)),
                0xfd => Box::new(liblzma::bufread::XzDecoder::new(&mut source)),
                0x28 => Box::new(zstd::stream::read::Decoder::with_buffer(&mut source)?.single_frame()),
                _ => return Err(ArchiveError::UnknownFormat),
            };
            let mut decoded = io::BufReader::new(decoder.take(limit_bytes));
            members.read(&mut decoded)?;
            if skip_zeroes(&mut decoded)?.is_some() {
                return Err(ArchiveError::Trailing);
            }
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
        let content = self.to_cpio();
        let mut options = LzmaOptions::new_preset(9).expect("preset 9 exists");
        // Its own dictionary of 64 MiB takes longer to set up than all the rest.
        options.dict_size(u32::try_from(content.len()).unwrap_or(u32::MAX).clamp(4 << 10, 64 << 20));
        let stream = Stream::new_stream_encoder(Filters::new().lzma2(&options), Check::Crc32);
        let stream = stream.expect("these options are allowed");
        let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(&content).and_then(|()| encoder.finish()).expect("memory takes all bytes")
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

    /// Is there no file in it?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    fn to_cpio(&self) -> Vec<u8> {
        let mut members: Vec<(newc::Builder, io::Cursor<&[u8]>)> = Vec::new();
        let mut made: Vec<&str> = Vec::new();
        for (path, contents) in &self.files {
            for (end, _) in path.match_indices('/') {
                let directory = &path[..end];
                if !made.contains(&directory) {
                    made.push(directory);
                    members.push((newc::Builder::new(directory).mode(DIRECTORY_MODE), io::Cursor::new(&[])));
                }
            }
            members.push((newc::Builder::new(path).mode(FILE_MODE), io::Cursor::new(contents)));
        }
        cpio::write_cpio(members.into_iter(), Vec::new()).expect("memory takes all bytes")
    }
}

/// What is taken out of one archive after the other.
struct Members<'a, W> {
    wanted: &'a W,
    kept_bytes: u64,
    archive: &'a mut Archive,
}

impl<W: Fn(&str) -> bool> Members<'_, W> {
    /// Reads up to and including the trailer.
    fn read(&mut self, mut source: &mut dyn Read) -> Result<(), ArchiveError> {
        loop {
            let mut member = newc::Reader::new(source)?;
            let entry = member.entry();
            let is_last = entry.is_trailer();
            let (name, size) = (entry.name().to_owned(), u64::from(entry.file_size()));
            if !is_last && entry.mode() & FILE_TYPE_MASK == REGULAR_FILE && (self.wanted)(&name) {
                self.kept_bytes += size;
                if self.kept_bytes > MAX_KEPT_BYTES {
                    return Err(ArchiveError::TooLarge);
                }
                let mut contents = Vec::new();
                member.read_to_end(&mut contents)?;
                if (contents.len() as u64) < size {
                    return Err(io::Error::from(ErrorKind::UnexpectedEof).into());
                }
                self.archive.files.insert(name, contents);
            }
            source = member.finish()?;
            if is_last {
                return Ok(());
            }
        }
    }
}

/// The first byte that is not zero, which stays in the source; none at the end.
fn skip_zeroes(source: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        let buffer = source.fill_buf()?;
        if buffer.is_empty() {
            return Ok(None);
        }
        match buffer.iter().position(|byte| *byte != 0) {
            Some(position) => {
                let first = buffer[position];
                source.consume(position);
                return Ok(Some(first));
            }
            None => {
                let length = buffer.len();
                source.consume(length);
            }
        }
    }
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
    fn only_wanted_files_are_kept() {
        let mut archive = sample();
        archive.insert("large", vec![b'x'; 1 << 20]);
        let found = Archive::read(&archive.encode()[..], |path| path == "config.ign").unwrap();
        assert_eq!(found.paths().collect::<Vec<_>>(), ["config.ign"]);
    }

    #[test]
    fn a_bomb_is_stopped() {
        let mut header = Vec::new();
        newc::Builder::new("bomb").mode(FILE_MODE).write(&mut header, MAX_KEPT_BYTES as u32 + 1).finish().unwrap();
        let bomb = zstd::encode_all(header.chain(std::io::repeat(0).take(MAX_KEPT_BYTES * 2)), 1).unwrap();
        assert!(matches!(Archive::decode(&bomb), Err(ArchiveError::TooLarge)));
    }
}
