//! The word all stages speak: a range of the disk and what belongs there. And what a format is.

use ferric_hardware::units::Bytes;

use super::{Chunk, ImageError};

/// A range of the disk and what belongs there.
#[derive(Debug, Clone)]
pub struct Extent {
    /// Where it starts on the disk.
    pub at: Bytes,
    /// Its length; that of the data when there are data.
    pub len: Bytes,
    /// What belongs there.
    pub content: Content,
}

impl Extent {
    /// Data that belong at `at`.
    pub fn data(at: Bytes, chunk: Chunk) -> Self {
        Self { at, len: Bytes(chunk.len() as u64), content: Content::Data(chunk) }
    }

    /// A range that must read as zeroes.
    pub fn zeroes(at: Bytes, len: Bytes) -> Self {
        Self { at, len, content: Content::Zeroes }
    }

    /// The first byte behind the extent.
    pub fn end(&self) -> Bytes {
        self.at + self.len
    }
}

/// What belongs in an [`Extent`].
#[derive(Debug, Clone)]
pub enum Content {
    /// These bytes.
    Data(Chunk),
    /// Zeroes, whatever is on the disk now.
    Zeroes,
}

/// Where a format puts its extents.
pub type Emit<'a> = &'a mut dyn FnMut(Extent) -> Result<(), ImageError>;

/// Turns the decoded stream into extents of the disk. Extents may come in any order but must not overlap,
/// and together must cover the whole disk image: what is not emitted keeps its old content.
pub trait Format: Send {
    /// Takes the next bytes of the stream, in order and without gaps.
    ///
    /// # Errors
    /// [`ImageError::Invalid`] when they cannot be right; what `out` returns.
    fn push(&mut self, chunk: Chunk, out: Emit<'_>) -> Result<(), ImageError>;

    /// The stream is complete: emits what is left and says whether that was all.
    ///
    /// # Errors
    /// [`ImageError::Invalid`] when bytes are missing, or when what was read ahead was not what was streamed.
    fn finish(&mut self, out: Emit<'_>) -> Result<Finished, ImageError>;
}

/// What the end of a stream means to a [`Format`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// The whole disk image, of this size, has been emitted.
    Complete(Bytes),
    /// Parts are missing whose place became known after they had passed: the same stream, verified again,
    /// has to be pushed once more from its start.
    Again,
}

/// A source that can be read at any place, for formats that need their tables before the stream.
/// Blocks; to be called from threads only.
pub trait RandomAccess: Send + Sync {
    /// Size of the file.
    fn total_bytes(&self) -> Bytes;

    /// Exactly `len` bytes at `at`.
    ///
    /// # Errors
    /// [`ImageError`] when the source fails, ends before that, or is no longer the same object.
    fn read_at(&self, at: Bytes, len: usize) -> Result<Vec<u8>, ImageError>;
}
