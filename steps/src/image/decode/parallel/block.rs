//! bzip2 blocks on several threads.
//!
//! A block is a part that ends where the next mark does. A mark that its symbols showed by chance makes two parts of
//! it. No output can come of the first one, as the transformation of a block is undone only when all of it is there;
//! nor of the second one, which does not begin as a block does. So a part that gives nothing waits for its turn, and
//! is put behind what gave nothing before it, or is left for the next one.

use std::time::Instant;

use super::worker::{Part, Shared};
use crate::image::ImageError;
use crate::image::decode::{Compression, Decoder, broken};

/// The most that a block can take: 900,000 symbols of 20 bits, and its tables.
const MAX_BYTES: usize = 2_400_000;

/// A block, or what may be one.
pub(super) struct Block {
    /// Header of the stream and mark.
    header: Vec<u8>,
    /// Bits of the first byte that are not the block's.
    skip_bits: u32,
    bytes: Vec<u8>,
}

impl Block {
    fn append(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        if self.bytes.len() + bytes.len() > MAX_BYTES {
            return Err(broken(Compression::Bzip2, &"a block has no end"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Takes what the next mark was thought to begin.
    fn join(&mut self, next: &Self) -> Result<(), ImageError> {
        // The byte where that mark ended is in both.
        self.append(&next.bytes[usize::from(next.skip_bits > 0).min(next.bytes.len())..])
    }

    /// The beginning of a stream of this block alone.
    fn stream(&self) -> Vec<u8> {
        let shifted = |pair: &[u8]| (u16::from_be_bytes([pair[0], pair[1]]) >> (8 - self.skip_bits)) as u8;
        let mut stream = Vec::with_capacity(self.header.len() + self.bytes.len());
        stream.extend_from_slice(&self.header);
        stream.extend(self.bytes.windows(2).map(shifted));
        stream.extend(self.bytes.last().map(|last| last << self.skip_bits));
        stream
    }
}

/// Decodes a part; gives the sum of the block if one ended with it.
pub(super) fn decode(shared: &Shared, part: &Part) -> Result<Option<u32>, ImageError> {
    let mut block = Block { header: part.header.clone(), skip_bits: part.skip_bits, bytes: Vec::new() };
    for input in &part.input {
        block.append(&input)?;
    }
    let mut outcome = attempt(shared, part, &block);
    if matches!(outcome, Outcome::Nothing(_)) {
        shared.wait_for_turn(part);
        let begun = shared.unfinished().take();
        if let Some(mut begun) = begun {
            begun.join(&block)?;
            block = begun;
            outcome = attempt(shared, part, &block);
        }
    }
    match outcome {
        Outcome::Decoded(sum) => sum.map(Some),
        Outcome::Nothing(result) => {
            *shared.unfinished() = Some(block);
            result.map(|()| None)
        }
    }
}

enum Outcome {
    /// Data were handed back; the sum is that of the block, unless it failed further on.
    Decoded(Result<u32, ImageError>),
    /// No data; whether that is because they end too early, or wrong.
    Nothing(Result<(), ImageError>),
}

fn attempt(shared: &Shared, part: &Part, block: &Block) -> Outcome {
    let mut any = false;
    let mut out = |chunk| {
        any = true;
        shared.hand_back(part, chunk)
    };
    let take = || shared.take(part);
    let stream = block.stream();
    let started = Instant::now();
    let result = Decoder::new(Compression::Bzip2).and_then(|mut decoder| {
        decoder.push(&stream, &take, &mut out)?;
        decoder.finish_part(&take, &mut out)?;
        shared.was_busy(started.elapsed().saturating_sub(decoder.waited()));
        Ok(())
    });
    match any {
        // The sum follows the mark.
        true => Outcome::Decoded(result.map(|()| sum(&stream[block.header.len()..]))),
        false => Outcome::Nothing(result),
    }
}

fn sum(start: &[u8]) -> u32 {
    start.iter().take(4).fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}
