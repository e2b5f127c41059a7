//! The live ISO without its root file system, which a live system can also fetch by network: a tenth of the size. How it is
//! put together from the whole one is written down in there (coreos-installer, `src/miniso.rs`).

use std::io::{self, Read, Seek, SeekFrom, Write};

use liblzma::read::XzDecoder;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::iso9660::{Extent, Iso9660, IsoError, SECTOR_BYTES};

const DESCRIPTION: &str = "coreos/miniso.dat";
const MAX_DESCRIPTION_BYTES: u64 = 1 << 20;
const MAGIC: &[u8] = b"MINISO\0\0";
const VERSION: u64 = 1;

/// Why there is no minimal ISO.
#[derive(Debug, Error)]
pub enum MinimalIsoError {
    /// The image does not say how.
    #[error("this ISO does not say how a minimal one is made of it ({0})")]
    NotDescribed(IsoError),
    /// What it says is not understood.
    #[error("{DESCRIPTION} of the ISO: {0}")]
    Description(&'static str),
    /// The result is not the one that was described: the image was changed.
    #[error("the minimal ISO does not have the digest that it should have: the ISO is not as it was made")]
    Digest,
    /// The image as such cannot be read.
    #[error(transparent)]
    Iso(#[from] IsoError),
    /// Reading or writing failed.
    #[error("making the minimal ISO: {0}")]
    Io(#[from] io::Error),
}

const DAMAGED: MinimalIsoError = MinimalIsoError::Description("it is damaged");

/// How to put it together.
#[derive(Debug)]
pub struct MinimalIso {
    files: Vec<Shared>,
    digest: Vec<u8>,
    /// Everything between the shared files, compressed by xz.
    rest: Vec<u8>,
}

/// A run of bytes that both images have.
#[derive(Debug)]
struct Shared {
    minimal_offset: u64,
    full: Extent,
}

impl MinimalIso {
    /// Reads the description in a whole ISO.
    ///
    /// # Errors
    /// When it has none that is understood.
    pub fn read(iso: &mut Iso9660<impl Read + Seek>) -> Result<Self, MinimalIsoError> {
        let extent = iso.find(DESCRIPTION).map_err(|error| match error {
            IsoError::NotFound(_) => MinimalIsoError::NotDescribed(error),
            other => other.into(),
        })?;
        let bytes = iso.read(extent, MAX_DESCRIPTION_BYTES)?;
        let minimal = Self::parse(&mut Fields(&bytes))?;
        let mut end = 0;
        for file in &minimal.files {
            let length = iso.inside(file.full)?.length;
            if file.minimal_offset < end {
                return Err(MinimalIsoError::Description("files overlap"));
            }
            end = file.minimal_offset.checked_add(length).ok_or(DAMAGED)?;
        }
        Ok(minimal)
    }

    fn parse(fields: &mut Fields<'_>) -> Result<Self, MinimalIsoError> {
        if fields.take(8).ok_or(DAMAGED)? != MAGIC {
            return Err(MinimalIsoError::Description("it does not begin as it should"));
        }
        if fields.number().ok_or(DAMAGED)? != VERSION {
            return Err(MinimalIsoError::Description("it is of another version"));
        }
        Self::parse_version_1(fields).ok_or(DAMAGED)
    }

    fn parse_version_1(fields: &mut Fields<'_>) -> Option<Self> {
        let _written_by = fields.bytes()?;
        let count = fields.number()?;
        let mut files = Vec::new();
        for _ in 0..count {
            let (minimal_sector, full_sector, length) = (fields.number()?, fields.number()?, fields.number()?);
            let full = Extent { offset: full_sector.checked_mul(SECTOR_BYTES)?, length };
            files.push(Shared { minimal_offset: minimal_sector.checked_mul(SECTOR_BYTES)?, full });
        }
        Some(Self { files, digest: fields.take(32)?.to_vec(), rest: fields.bytes()?.to_vec() })
    }

    /// Writes the minimal ISO, front to back.
    ///
    /// # Errors
    /// When it is not the one that was described; what was written is then of no use.
    pub fn write(&self, full: &mut (impl Read + Seek), output: &mut impl Write) -> Result<(), MinimalIsoError> {
        // It is not larger than what it is made of.
        let limit = full.seek(SeekFrom::End(0))?;
        let mut rest = XzDecoder::new(&self.rest[..]).take(limit);
        let mut output = Hashing { output, sha256: Sha256::new(), position: 0 };
        for Shared { minimal_offset, full: extent } in &self.files {
            let before = minimal_offset - output.position;
            copy_exactly(&mut rest, before, &mut output)?;
            full.seek(SeekFrom::Start(extent.offset))?;
            copy_exactly(full, extent.length, &mut output)?;
        }
        io::copy(&mut rest, &mut output)?;
        output.flush()?;
        if output.sha256.finalize()[..] == self.digest[..] { Ok(()) } else { Err(MinimalIsoError::Digest) }
    }
}

fn copy_exactly(source: &mut impl Read, length: u64, output: &mut impl Write) -> io::Result<()> {
    if io::copy(&mut source.take(length), output)? < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

struct Hashing<'a, W> {
    output: &'a mut W,
    sha256: Sha256,
    position: u64,
}

impl<W: Write> Write for Hashing<'_, W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.output.write(buffer)?;
        self.sha256.update(&buffer[..count]);
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// The notation of the crate `bincode`, version 1, with numbers of variable length.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// Up to 250 in one byte; behind 251, 252 and 253 follow two, four and eight, little-endian.
    fn number(&mut self) -> Option<u64> {
        let length = match self.take(1)?[0] {
            small @ 0..=250 => return Some(u64::from(small)),
            251 => 2,
            252 => 4,
            253 => 8,
            _ => return None,
        };
        Some(self.take(length)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_length_that_they_need() {
        let bytes = [0, 250, 251, 1, 2, 252, 1, 2, 3, 4, 253, 1, 0, 0, 0, 0, 0, 0, 0, 254];
        let mut fields = Fields(&bytes);
        let numbers: Vec<_> = std::iter::from_fn(|| fields.number()).collect();
        assert_eq!(numbers, [0, 250, 0x0201, 0x0403_0201, 1]);
    }

    #[test]
    fn damage_is_an_error() {
        for bytes in [&b""[..], b"MINISO\0\0", b"MINISO\0\0\x01\x00\xff", b"MINISO\0\x01\x01", b"MINISO\0\0\x02"] {
            assert!(MinimalIso::parse(&mut Fields(bytes)).is_err(), "{bytes:?}");
        }
    }
}
