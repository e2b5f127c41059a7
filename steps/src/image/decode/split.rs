//! Finds the parts of a compressed file that can be decoded on their own, without decoding: zstd frames, xz blocks and
//! bzip2 blocks.

mod bzip2;
mod fields;
mod xz;
mod zstd;

use std::ops::{Deref, Range};

use self::bzip2::Bzip2;
use self::fields::Fields;
use self::xz::Xz;
use self::zstd::Zstd;
use super::Compression;
use crate::image::Chunk;

/// Cuts a file into parts.
pub(super) trait Split: Send {
    /// Takes the next piece of the file.
    ///
    /// # Errors
    /// What is wrong with it.
    fn push(&mut self, input: &Input, cuts: Cuts<'_>) -> Result<(), String>;
    /// The file is complete.
    ///
    /// # Errors
    /// That it may not end here.
    fn finish(&mut self, cuts: Cuts<'_>) -> Result<(), String>;
}

/// Where the cuts go.
pub(super) type Cuts<'a> = &'a mut dyn FnMut(Cut);

/// A step through the file.
pub(super) enum Cut {
    /// A part begins: what its decoder needs first, and how many bits of the first byte of the part are not its own.
    Begin { header: Vec<u8>, skip_bits: u32 },
    /// The next bytes of the part.
    Bytes(Input),
    /// The part is complete.
    End,
    /// The parts since the last of these sum up to this (bzip2).
    Sum(u32),
}

/// A piece of the file.
pub(super) enum Input {
    Field(Vec<u8>),
    Chunk(Chunk),
}

impl Input {
    /// The piece `range` of this piece.
    pub(super) fn slice(&self, range: Range<usize>) -> Self {
        match self {
            Self::Field(bytes) => Self::Field(bytes[range].to_vec()),
            Self::Chunk(chunk) => Self::Chunk(chunk.slice(range)),
        }
    }
}

impl Deref for Input {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Self::Field(bytes) => bytes,
            Self::Chunk(chunk) => chunk,
        }
    }
}

/// What cuts a file, if its beginning shows that it can be divided.
pub(super) fn split(compression: Compression, start: &[u8]) -> Option<Box<dyn Split>> {
    match compression {
        Compression::Zstd => Some(Box::new(Fields::new(Zstd::default()))),
        Compression::Xz if xz::has_sizes(start) => Some(Box::new(Fields::new(Xz::default()))),
        Compression::Bzip2 => Some(Box::new(Bzip2::default())),
        Compression::Xz | Compression::Gzip | Compression::Deflate => None,
    }
}
