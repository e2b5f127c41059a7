//! bzip2 blocks, which are found by the mark that each begins with, at any bit.
//!
//! ```text
//! "BZh9" mark sum tables symbols… mark sum tables symbols… end-mark sum-of-sums 0-7 bits │ zeroes │ "BZh9" mark …
//! └ stream └ block                └ block                  └ end of the stream           └ padding └ stream
//! ```
//! The symbols of a block may look like a mark by chance. For a block's mark that shows only in decoding: such parts
//! give nothing, and who decodes them puts them together again. An end mark counts when a stream or nothing follows.

use super::{Cut, Cuts, Input, Split};
use crate::image::bzip2_block::{BLOCK_MARK, END_MARK};

const MARK_BITS: u32 = 48;
const MARK: u64 = (1 << MARK_BITS) - 1;

/// Length of the sum behind an end mark that lies at no whole byte: 32 bits begin in the byte where the mark ends.
const SUM_BYTES: usize = 4;
/// Length of a stream's header and its first mark.
const HEADER_BYTES: usize = 10;
/// Longer padding is no part of a block.
const MAX_DOUBTFUL_PADDING: u64 = 64 << 10;

/// For any two bytes, a bit that says whether they are bits 16 to 31 of eight that end, but for up to seven bits, with
/// a mark: one look rules out nearly all places.
static CANDIDATES: [u64; 1024] = candidates();

const fn candidates() -> [u64; 1024] {
    let mut table = [0; 1024];
    let mut shift = 0;
    while shift < 8 {
        let pairs = [(BLOCK_MARK << shift >> 16) as u16, (END_MARK << shift >> 16) as u16];
        table[(pairs[0] >> 6) as usize] |= 1 << (pairs[0] & 63);
        table[(pairs[1] >> 6) as usize] |= 1 << (pairs[1] & 63);
        shift += 1;
    }
    table
}

/// The blocks of a file.
pub(super) struct Bzip2 {
    /// The last eight bytes.
    last: u64,
    /// The digit in the header of the stream.
    level: u8,
    state: State,
}

enum State {
    /// In a block.
    Block,
    /// Behind an end mark, or what looks like one.
    Between(Between),
}

/// What lies between two streams.
#[derive(Default)]
struct Between {
    /// Whether this may be in the middle of a block after all.
    doubtful: bool,
    /// The eight bytes that ended with the end mark, and how many bits of the last one are behind it.
    mark: u64,
    rest_bits: u32,
    sum: Vec<u8>,
    padding: u64,
    header: Vec<u8>,
}

impl Default for Bzip2 {
    /// At the start of a file, which is as behind a stream without blocks: such a one sums up to 0.
    fn default() -> Self {
        let between = Between { sum: vec![0; SUM_BYTES], ..Between::default() };
        Self { last: 0, level: b'9', state: State::Between(between) }
    }
}

/// A mark: which, the index of its last byte, and how many bits of that are behind it.
struct Found {
    mark: u64,
    at: usize,
    rest_bits: u32,
}

impl Bzip2 {
    /// Looks for the next mark that ends in `bytes`.
    fn find(&mut self, bytes: &[u8]) -> Option<Found> {
        let mut last = self.last;
        for (at, byte) in bytes.iter().enumerate() {
            last = last << 8 | u64::from(*byte);
            let pair = (last >> 16) as u16;
            if CANDIDATES[usize::from(pair >> 6)] >> (pair & 63) & 1 == 0 {
                continue;
            }
            for rest_bits in 0..8 {
                let mark = last >> rest_bits & MARK;
                if mark == BLOCK_MARK || mark == END_MARK {
                    self.last = last;
                    return Some(Found { mark, at, rest_bits });
                }
            }
        }
        self.last = last;
        None
    }

    /// Goes on in a block; says how many bytes were taken.
    fn block(&mut self, input: &Input, cuts: Cuts<'_>) -> usize {
        let mut start = 0;
        let mut at = 0;
        while let Some(found) = self.find(&input[at..]) {
            at += found.at + 1;
            // The mark behind a block makes its last byte whole.
            cuts(Cut::Bytes(input.slice(start..at)));
            if found.mark == END_MARK {
                let (mark, rest_bits) = (self.last, found.rest_bits);
                self.state = State::Between(Between { doubtful: true, mark, rest_bits, ..Between::default() });
                return at;
            }
            cuts(Cut::End);
            cuts(begin(self.level, (8 - found.rest_bits) % 8));
            start = if found.rest_bits == 0 { at } else { at - 1 };
        }
        cuts(Cut::Bytes(input.slice(start..input.len())));
        input.len()
    }

    /// Goes on between two streams; says how many bytes were taken.
    fn between(&mut self, bytes: &[u8], cuts: Cuts<'_>) -> Result<usize, String> {
        let State::Between(between) = &mut self.state else { return Ok(0) };
        let taken = between.take(bytes);
        if between.header.len() < HEADER_BYTES {
            return Ok(taken);
        }
        let between = std::mem::take(between);
        match between.first_mark() {
            Some(mark) => {
                between.close(cuts);
                self.level = between.header[3];
                self.state = if mark == BLOCK_MARK {
                    cuts(begin(self.level, 0));
                    State::Block
                } else {
                    State::Between(Between { mark, ..Between::default() })
                };
            }
            None if between.doubtful && between.padding <= MAX_DOUBTFUL_PADDING => {
                self.last = between.mark;
                self.state = State::Block;
                self.push(&Input::Field(between.bytes()), cuts)?;
            }
            None => return Err("no stream begins where the last one ended".to_string()),
        }
        Ok(taken)
    }
}

impl Between {
    /// Takes what is between the streams up to the first mark of the next one; says how many bytes that is.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        take_until(SUM_BYTES, &mut self.sum, &mut rest);
        if self.header.is_empty() {
            let padding = rest.iter().take_while(|byte| **byte == 0).count();
            self.padding += padding as u64;
            rest = &rest[padding..];
        }
        take_until(HEADER_BYTES, &mut self.header, &mut rest);
        bytes.len() - rest.len()
    }

    /// The mark behind the header of the stream that follows, if one does.
    fn first_mark(&self) -> Option<u64> {
        let (header, mark) = self.header.split_at(4);
        let mark = mark.iter().fold(0, |mark, byte| mark << 8 | u64::from(*byte));
        let is_header = matches!(header, [b'B', b'Z', b'h', b'1'..=b'9']);
        (is_header && (mark == BLOCK_MARK || mark == END_MARK)).then_some(mark)
    }

    /// The end mark was one.
    fn close(&self, cuts: Cuts<'_>) {
        cuts(Cut::End);
        let sum = self.sum.iter().fold(self.mark & 0xff, |sum, byte| sum << 8 | u64::from(*byte));
        cuts(Cut::Sum((sum >> self.rest_bits) as u32));
    }

    /// Everything that was taken.
    fn bytes(&self) -> Vec<u8> {
        [&self.sum[..], &vec![0; self.padding as usize], &self.header].concat()
    }
}

impl Split for Bzip2 {
    fn push(&mut self, input: &Input, cuts: Cuts<'_>) -> Result<(), String> {
        let mut at = 0;
        while at < input.len() {
            let rest = input.slice(at..input.len());
            at += match &self.state {
                State::Block => self.block(&rest, cuts),
                State::Between(_) => self.between(&rest, cuts)?,
            };
        }
        Ok(())
    }

    fn finish(&mut self, cuts: Cuts<'_>) -> Result<(), String> {
        match &self.state {
            State::Between(between) if between.sum.len() == SUM_BYTES && between.header.is_empty() => {
                between.close(cuts);
                Ok(())
            }
            _ => Err("the data end before their end mark".to_string()),
        }
    }
}

fn begin(level: u8, skip_bits: u32) -> Cut {
    let mark = &BLOCK_MARK.to_be_bytes()[2..];
    Cut::Begin { header: [b"BZh", &[level][..], mark].concat(), skip_bits }
}

/// Moves bytes from `rest` to `field` until that is complete.
fn take_until(length: usize, field: &mut Vec<u8>, rest: &mut &[u8]) {
    let (taken, left) = rest.split_at(rest.len().min(length - field.len()));
    field.extend_from_slice(taken);
    *rest = left;
}
