//! The bytes of a bzip2 block, as they lie in the file: at any bit.

use crate::image::ImageError;
use crate::image::decode::{Compression, broken};

/// The most that a block can take: 900,000 symbols of 20 bits, and its tables.
const MAX_BYTES: usize = 2_400_000;

/// Bytes that are shifted at one time.
const PIECE: usize = 16 << 10;

/// A block, or what may be one.
pub(super) struct Block {
    /// Header of the stream and mark.
    pub(super) header: Vec<u8>,
    /// Bits of the first byte that are not the block's.
    pub(super) skip_bits: u32,
    pub(super) bytes: Vec<u8>,
}

impl Block {
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        if self.bytes.len() + bytes.len() > MAX_BYTES {
            return Err(broken(Compression::Bzip2, &"a block has no end"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Takes what the next mark was thought to begin.
    pub(super) fn join(&mut self, next: &Self) -> Result<(), ImageError> {
        // The byte where that mark ended is in both.
        self.append(&next.bytes[usize::from(next.skip_bits > 0).min(next.bytes.len())..])
    }

    /// The bytes of a stream of this block alone, as far as they are known, in pieces.
    pub(super) fn stream(&self, mut piece: impl FnMut(&[u8]) -> Result<(), ImageError>) -> Result<(), ImageError> {
        piece(&self.header)?;
        let mut shifted = Vec::with_capacity(PIECE);
        for start in (0..self.bytes.len()).step_by(PIECE) {
            let end = self.bytes.len().min(start + PIECE);
            let pairs = self.bytes[start..self.bytes.len().min(end + 1)].windows(2);
            shifted.clear();
            shifted.extend(pairs.map(|pair| (u16::from_be_bytes([pair[0], pair[1]]) >> (8 - self.skip_bits)) as u8));
            if end == self.bytes.len() {
                shifted.push(self.bytes[end - 1] << self.skip_bits);
            }
            piece(&shifted)?;
        }
        Ok(())
    }

    /// The longest text that the header permits, of runs that are not expanded yet.
    pub(super) fn max_text(&self) -> usize {
        usize::from(self.header[3] - b'0') * 100_000
    }

    /// The sum of its data, which follows the mark.
    pub(super) fn sum(&self) -> u32 {
        let start = self.bytes.iter().take(5).fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        (start >> (8 - self.skip_bits)) as u32
    }
}
