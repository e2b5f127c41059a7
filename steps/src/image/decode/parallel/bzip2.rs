//! bzip2 blocks on several threads.
//!
//! A block is a part that ends where the next mark does. A mark that its symbols showed by chance makes two parts of
//! it. No output can come of the first one, as the transformation of a block is undone only when all of it is there;
//! nor of the second one, which does not begin as a block does. So a part that gives nothing waits for its turn, and
//! is put behind what gave nothing before it, or is left for the next one.
//!
//! Our own decoder is quick and knows what today's compressors write; where it gives up, the library has the last word.

use std::time::{Duration, Instant};

use super::block::Block;
use super::shared::{Part, Shared};
use crate::image::ImageError;
use crate::image::buffer::Buffer;
use crate::image::bzip2_block::{Sum, Text};
use crate::image::decode::{Compression, Decoder, broken};

/// What a worker uses again from part to part.
#[derive(Default)]
pub(super) struct Memory {
    bytes: Vec<u8>,
    text: Text,
}

/// Decodes a part; gives the sum of the block if one ended with it.
pub(super) fn decode(shared: &Shared, part: &Part, memory: &mut Memory) -> Result<Option<u32>, ImageError> {
    let mut block =
        Block { header: part.header.clone(), skip_bits: part.skip_bits, bytes: std::mem::take(&mut memory.bytes) };
    block.bytes.clear();
    for input in &part.input {
        block.append(&input)?;
    }
    let mut decoded = attempt(shared, part, &block, &mut memory.text);
    if matches!(decoded, Attempted::Nothing(_)) {
        shared.wait_for_turn(part);
        let begun = shared.unfinished().take();
        if let Some(mut begun) = begun {
            begun.join(&block)?;
            block = begun;
            decoded = attempt(shared, part, &block, &mut memory.text);
        }
    }
    match decoded {
        Attempted::Decoded(result) => {
            let sum = block.sum();
            memory.bytes = block.bytes;
            result.map(|()| Some(sum))
        }
        Attempted::Nothing(result) => {
            *shared.unfinished() = Some(block);
            result.map(|()| None)
        }
    }
}

enum Attempted {
    /// Data were handed back; whether they were right to the end.
    Decoded(Result<(), ImageError>),
    /// No data; whether that is because they end too early, or wrong.
    Nothing(Result<(), ImageError>),
}

fn attempt(shared: &Shared, part: &Part, block: &Block, text: &mut Text) -> Attempted {
    let started = Instant::now();
    if text.read(&block.bytes, block.skip_bits, block.max_text()).is_none() {
        return by_library(shared, part, block);
    }
    let mut filling = Filling { shared, part, buffer: None, waited: Duration::ZERO, sum: Sum::default(), any: false };
    let put = text.data(|data| filling.put(data));
    let result = put.and_then(|()| filling.finish(block.sum()));
    shared.was_busy(started.elapsed().saturating_sub(filling.waited));
    if filling.any { Attempted::Decoded(result) } else { Attempted::Nothing(result) }
}

fn by_library(shared: &Shared, part: &Part, block: &Block) -> Attempted {
    let mut any = false;
    let mut out = |chunk| {
        any = true;
        shared.hand_back(part, chunk)
    };
    let take = || shared.take(part);
    let result = Decoder::new(Compression::Bzip2).and_then(|mut decoder| {
        block.stream(|piece| decoder.push(piece, &take, &mut out))?;
        decoder.finish_part(&take, &mut out)
    });
    if any { Attempted::Decoded(result) } else { Attempted::Nothing(result) }
}

/// Data on their way into buffers.
struct Filling<'a> {
    shared: &'a Shared,
    part: &'a Part,
    /// The one being filled, and how far it is.
    buffer: Option<(Buffer, usize)>,
    /// Time spent waiting for them.
    waited: Duration,
    sum: Sum,
    /// Whether any has been handed back.
    any: bool,
}

impl Filling<'_> {
    fn put(&mut self, mut data: &[u8]) -> Result<(), ImageError> {
        while !data.is_empty() {
            let (buffer, filled) = self.buffer.get_or_insert_with(|| {
                let started = Instant::now();
                let buffer = self.shared.take(self.part);
                self.waited += started.elapsed();
                (buffer, 0)
            });
            let (now, later) = data.split_at(data.len().min(buffer.len() - *filled));
            buffer[*filled..*filled + now.len()].copy_from_slice(now);
            *filled += now.len();
            data = later;
            if *filled == buffer.len() {
                self.sum_up();
                self.hand_back()?;
            }
        }
        Ok(())
    }

    /// Hands back the rest of the data, if all of them are right.
    fn finish(&mut self, sum: u32) -> Result<(), ImageError> {
        self.sum_up();
        if self.sum.value() != sum {
            return Err(broken(Compression::Bzip2, &"the sum of a block is wrong"));
        }
        self.hand_back()
    }

    fn sum_up(&mut self) {
        if let Some((buffer, filled)) = &self.buffer {
            self.sum.update(&buffer[..*filled]);
        }
    }

    fn hand_back(&mut self) -> Result<(), ImageError> {
        let Some((buffer, filled)) = self.buffer.take() else { return Ok(()) };
        self.any = true;
        self.shared.hand_back(self.part, buffer.freeze(filled))
    }
}
