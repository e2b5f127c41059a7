//! The data of a bzip2 block, decoded at about thrice the speed of the library: Huffman codes are looked up by ten bits,
//! and the Burrows-Wheeler transformation is undone at eight places at once, as every step there waits for memory.

use std::ops::Range;

use crc32fast::Hasher;

use super::codes::{Bits, Codes, MAX_CODE};
use super::{BLOCK_MARK, END_MARK};

/// A block begins with the sum of its data.
const SUM_BITS: usize = 32;
/// Symbols that use the same table.
const GROUP: usize = 50;
/// Where the transformation is undone at one time.
const LANES: usize = 8;
/// Into how many segments the text is divided; each is as long as it happens to be.
const SEGMENTS: usize = 256;
/// Marks the first place of a segment; places take 20 bits, above the byte.
const FIRST: u32 = 1 << 31;

/// How many steps of every lane are made before looking whether there is anything left to do.
const STEPS: usize = 64;

/// The text of a block; its memory is used again from block to block.
#[derive(Default)]
pub(crate) struct Text {
    selectors: Vec<u8>,
    codes: Vec<Codes>,
    /// A byte and the place of the next one, for each place.
    links: Vec<u32>,
    lanes: [Lane; LANES],
    /// In the order of their first places, but for the first one, with which the text begins.
    segments: Vec<Segment>,
}

/// A stretch of the text.
struct Segment {
    first_place: u32,
    /// Where it is.
    lane: usize,
    range: Range<usize>,
    /// The first place of the one that follows.
    next_place: u32,
}

/// Segments of the text, one after the other.
#[derive(Default)]
struct Lane {
    text: Vec<u8>,
    place: u32,
    segment: Option<usize>,
}

impl Text {
    /// Reads the block that begins `skip_bits` into `bytes`, behind its mark, of at most `max` bytes of text; nothing
    /// when it is not whole, does not end with another mark, or is not as today's compressors make it.
    pub(crate) fn read(&mut self, bytes: &[u8], skip_bits: u32, max: usize) -> Option<()> {
        let mut bits = Bits { bytes, at: skip_bits as usize + SUM_BITS };
        // Set by no compressor since 1997.
        let is_randomised = bits.take(1) != 0;
        if is_randomised {
            return None;
        }
        let origin = bits.take(24) as usize;
        let (order, used) = bytes_used(&mut bits);
        if used == 0 {
            return None;
        }
        self.tables(&mut bits, used + 2)?;
        self.links.resize(max, 0);
        let (length, mut counts) = self.symbols(&mut bits, order, used + 1)?;
        let mark = bits.take(48);
        if bits.at > bytes.len() * 8 || (mark != BLOCK_MARK && mark != END_MARK) || origin >= length {
            return None;
        }
        // From how often there is a byte to where its places begin.
        counts.iter_mut().fold(0, |begin, count| begin + std::mem::replace(count, begin));
        self.links.truncate(length);
        for place in 0..length {
            let to = &mut counts[(self.links[place] & 0xff) as usize];
            self.links[*to as usize] |= (place as u32) << 8;
            *to += 1;
        }
        self.walk(self.links[origin] >> 8);
        Some(())
    }

    fn tables(&mut self, bits: &mut Bits<'_>, symbols: usize) -> Option<()> {
        let (tables, count) = (bits.take(3) as usize, bits.take(15) as usize);
        if !(2..=6).contains(&tables) || count == 0 {
            return None;
        }
        let mut order = [0, 1, 2, 3, 4, 5];
        self.selectors.clear();
        for _ in 0..count {
            let index = bits.window().leading_ones() as usize;
            if index >= tables {
                return None;
            }
            bits.at += index + 1;
            order[..=index].rotate_right(1);
            self.selectors.push(order[0]);
        }
        self.codes.clear();
        for _ in 0..tables {
            let mut lengths = [0; 258];
            let mut length = bits.take(5) as u8;
            for symbol in &mut lengths[..symbols] {
                while bits.take(1) == 1 {
                    length = if bits.take(1) == 0 { length + 1 } else { length.wrapping_sub(1) };
                    if !(1..=20).contains(&length) {
                        return None;
                    }
                }
                if !(1..=20).contains(&length) {
                    return None;
                }
                *symbol = length;
            }
            self.codes.push(Codes::new(&lengths[..symbols])?);
        }
        Some(())
    }

    /// Reads the symbols into the links' bytes; says how many bytes, and how often there is each.
    fn symbols(&mut self, bits: &mut Bits<'_>, mut order: [u8; 256], last: usize) -> Option<(usize, [u32; 256])> {
        let mut counts = [0; 256];
        let mut at = 0;
        let (mut run, mut weight) = (0_usize, 1_usize);
        for selector in &self.selectors {
            let codes = self.codes.get(usize::from(*selector))?;
            let (mut window, mut left) = (bits.window(), 57_u32);
            for _ in 0..GROUP {
                if left < MAX_CODE {
                    (window, left) = (bits.window(), 57);
                }
                let (symbol, length) = codes.symbol(window)?;
                window <<= length;
                left -= length;
                bits.at += length as usize;
                if symbol <= 1 {
                    run += weight << symbol;
                    weight <<= 1;
                    if run > self.links.len() {
                        return None;
                    }
                    continue;
                }
                if run > 0 {
                    self.links.get_mut(at..at + run)?.fill(u32::from(order[0]));
                    counts[usize::from(order[0])] += run as u32;
                    at += run;
                    (run, weight) = (0, 1);
                }
                if symbol == last {
                    return Some((at, counts));
                }
                let index = symbol - 1;
                let byte = order[index];
                order.copy_within(0..index, 1);
                order[0] = byte;
                *self.links.get_mut(at)? = u32::from(byte);
                counts[usize::from(byte)] += 1;
                at += 1;
            }
        }
        None
    }

    /// Follows the links from `start` on: there, and at other places until somebody has begun where they come to.
    fn walk(&mut self, start: u32) {
        let Self { links, lanes, segments, .. } = self;
        segments.clear();
        let length = links.len();
        for first_place in std::iter::once(start).chain((0..SEGMENTS).map(|index| (index * length / SEGMENTS) as u32)) {
            let link = &mut links[first_place as usize];
            if *link & FIRST == 0 {
                *link |= FIRST;
                segments.push(Segment { first_place, lane: 0, range: 0..0, next_place: start });
            }
        }
        let mut waiting = 0..segments.len();
        for lane in &mut *lanes {
            lane.text.clear();
            // Enough for nearly all, so that memory does not grow in steps.
            lane.text.reserve_exact(length / LANES * 5 / 4);
            lane.place = start;
        }
        loop {
            for _ in 0..STEPS {
                for (index, lane) in lanes.iter_mut().enumerate() {
                    let link = links[lane.place as usize];
                    if link & FIRST == 0 {
                        lane.text.push(link as u8);
                        lane.place = link >> 8;
                        continue;
                    }
                    lane.end(segments);
                    if let Some(next) = waiting.next() {
                        lane.begin(index, next, segments, links);
                    }
                }
            }
            if lanes.iter().all(|lane| lane.segment.is_none()) {
                return;
            }
        }
    }

    /// The text, in pieces.
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let mut left = self.links.len();
        let mut segment = self.segments.first();
        // A text of equal parts goes in circles.
        std::iter::from_fn(move || {
            let Segment { lane, range, next_place, .. } = segment.filter(|_| left > 0)?;
            let piece = &self.lanes[*lane].text[range.clone()];
            let piece = &piece[..piece.len().min(left)];
            left -= piece.len();
            segment = self.segment(*next_place);
            Some(piece)
        })
    }

    fn segment(&self, first_place: u32) -> Option<&Segment> {
        let (start, others) = self.segments.split_first()?;
        match others.binary_search_by_key(&first_place, |segment| segment.first_place) {
            Ok(index) => others.get(index),
            Err(_) => Some(start),
        }
    }

    /// The data of the block: in its text, a number follows every four equal bytes, of how often they go on.
    pub(crate) fn data<E>(&self, mut put: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let (mut last, mut run) = (0, 0);
        for piece in self.pieces() {
            let mut from = 0;
            for (at, byte) in piece.iter().enumerate() {
                if run == 4 {
                    put(&piece[from..at])?;
                    put(&[last; 255][..usize::from(*byte)])?;
                    from = at + 1;
                    run = 0;
                } else if run > 0 && *byte == last {
                    run += 1;
                } else {
                    (last, run) = (*byte, 1);
                }
            }
            put(&piece[from..])?;
        }
        Ok(())
    }
}

impl Lane {
    fn begin(&mut self, lane: usize, index: usize, segments: &mut [Segment], links: &[u32]) {
        let segment = &mut segments[index];
        (segment.lane, segment.range.start) = (lane, self.text.len());
        let link = links[segment.first_place as usize] & !FIRST;
        self.text.push(link as u8);
        (self.segment, self.place) = (Some(index), link >> 8);
    }

    fn end(&mut self, segments: &mut [Segment]) {
        if let Some(index) = self.segment.take() {
            (segments[index].range.end, segments[index].next_place) = (self.text.len(), self.place);
        }
    }
}

/// The bytes that are used, in order, and how many.
fn bytes_used(bits: &mut Bits<'_>) -> ([u8; 256], usize) {
    let (mut order, mut used) = ([0; 256], 0);
    let groups = bits.take(16);
    for group in (0..16).filter(|group| groups >> (15 - group) & 1 == 1) {
        let members = bits.take(16);
        for member in (0..16).filter(|member| members >> (15 - member) & 1 == 1) {
            order[used] = group * 16 + member;
            used += 1;
        }
    }
    (order, used)
}

/// The sum of data: CRC-32 that takes the bits of every byte from the highest on.
#[derive(Default)]
pub(crate) struct Sum(Hasher);

impl Sum {
    pub(crate) fn update(&mut self, data: &[u8]) {
        let mut reversed = [0; 4096];
        for piece in data.chunks(reversed.len()) {
            reversed.iter_mut().zip(piece).for_each(|(to, from)| *to = from.reverse_bits());
            self.0.update(&reversed[..piece.len()]);
        }
    }

    pub(crate) fn value(&self) -> u32 {
        self.0.clone().finalize().reverse_bits()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// The data of a file with one block.
    fn decode(text: &mut Text, file: &[u8]) -> Option<Vec<u8>> {
        let (mut data, mut sum) = (Vec::new(), Sum::default());
        let block = &file[10..];
        text.read(block, 0, 100_000)?;
        text.data(|piece| data.write_all(piece)).unwrap();
        sum.update(&data);
        assert_eq!(sum.value().to_be_bytes(), block[..4]);
        Some(data)
    }

    fn encode(data: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn noise(len: u64) -> impl Iterator<Item = u8> {
        (0..len).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(at | 1) >> 56) as u8)
    }

    #[test]
    fn blocks_of_every_kind_come_back() {
        let mut text = Text::default();
        for data in [
            vec![7],
            vec![7; 4],
            vec![7; 5],
            vec![7; 259],
            vec![0; 4 << 20],
            noise(99_981).collect(),
            b"ab".repeat(40_000),
            b"of equal parts ".repeat(6_000),
            // Few symbols often and most seldom, so that codes become long.
            noise(90_000).map(|byte| if byte < 250 { 1 << (byte.leading_zeros() / 3) } else { byte }).collect(),
            noise(80_000).enumerate().map(|(at, byte)| if at % 997 == 0 { byte } else { byte & 1 }).collect(),
            (0..=255).collect(),
            noise(200).collect(),
        ] {
            let decoded = decode(&mut text, &encode(&data));
            assert!(decoded.as_deref() == Some(&data[..]), "{} bytes, {:?}…", data.len(), &data[..data.len().min(9)]);
        }
    }

    #[test]
    fn a_block_that_is_not_whole_or_not_followed_by_a_mark_gives_nothing() {
        let file = encode(&noise(5_000).collect::<Vec<_>>());
        let mut text = Text::default();
        for cut in (20..file.len() - 11).step_by(7) {
            assert!(decode(&mut text, &file[..cut]).is_none(), "cut at {cut}");
        }
        let mut damaged = file.clone();
        let mark = file.len() - 8;
        damaged[mark] ^= 1;
        assert!(decode(&mut text, &damaged).is_none());
    }

    #[test]
    fn a_long_code_is_told_from_its_neighbours() {
        // Lengths 1, 2, … 19, 20, 20: every bit string is a code.
        let lengths: Vec<u8> = (1..=20).chain([20]).collect();
        let codes = Codes::new(&lengths).unwrap();
        for (symbol, length) in lengths.iter().enumerate() {
            let ones = u64::MAX.checked_shl(64 - symbol as u32).unwrap_or(0);
            assert_eq!(codes.symbol(ones), Some((symbol, u32::from(*length))));
        }
        assert!(Codes::new(&[1, 1, 1]).is_none(), "more codes than there can be");
    }
}
