//! xz blocks whose headers say how long they are (the .xz file format, version 1.2).

use super::fields::{Belongs, Grammar, Next, little_endian};

/// The flags of a block header that say that both sizes are in it.
const HAS_SIZES: u8 = 0xc0;
const XZ_MAGIC: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];

/// Whether the beginning of a file shows that its blocks say how long they are: only parallel compressors write that.
pub(super) fn has_sizes(start: &[u8]) -> bool {
    start.get(12).is_some_and(|size| *size != 0) && start.get(13).is_some_and(|flags| flags & HAS_SIZES == HAS_SIZES)
}

/// The blocks of a file. Every block is decoded behind a copy of its stream's header; the index is compared with the
/// blocks here.
#[derive(Default)]
pub(super) struct Xz {
    state: Stream,
    header: Vec<u8>,
    size_byte: u8,
    /// (unpadded size, decoded size) of each block of this stream.
    blocks: Vec<(u64, u64)>,
    index: Vec<u8>,
}

#[derive(Default)]
enum Stream {
    #[default]
    Header,
    /// A block header's size, or the mark of the index.
    BlockOrIndex,
    BlockHeader,
    Index,
    IndexEnd,
    Footer,
    /// Padding, or the next stream.
    After,
    RestOfHeader,
}

impl Xz {
    fn stream(&mut self, header: &[u8]) -> Result<Next, String> {
        if !header.starts_with(XZ_MAGIC) {
            return Err("no stream begins where the last one ended".to_string());
        }
        self.header = header.to_vec();
        self.blocks.clear();
        self.state = Stream::BlockOrIndex;
        Ok(Next { belongs: Belongs::None, skip: 0, field: 1 })
    }

    fn check_bytes(&self) -> u64 {
        [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64][usize::from(self.header[7] & 15)]
    }

    fn block(&mut self, rest: &[u8]) -> Result<Next, String> {
        let flags = rest[0];
        if flags & HAS_SIZES != HAS_SIZES {
            return Err("a block without its sizes follows one with them".to_string());
        }
        let damaged = || "a block header is damaged".to_string();
        let mut fields = &rest[1..];
        let packed = number(&mut fields).ok_or_else(damaged)?;
        let decoded = number(&mut fields).ok_or_else(damaged)?;
        let header_bytes = rest.len() as u64 + 1;
        let body = packed.checked_next_multiple_of(4).and_then(|body| body.checked_add(self.check_bytes()));
        self.blocks.push((header_bytes.saturating_add(packed).saturating_add(self.check_bytes()), decoded));
        self.state = Stream::BlockOrIndex;
        let mut before = self.header.clone();
        before.push(self.size_byte);
        Ok(Next { belongs: Belongs::New(before), skip: body.ok_or_else(damaged)?, field: 1 })
    }

    /// Whether the index is complete up to its padding, and right.
    fn index(&self) -> Result<bool, String> {
        let mut fields = &self.index[1..];
        let Some(count) = number(&mut fields) else { return Ok(false) };
        if count != self.blocks.len() as u64 {
            return Err(format!("the index has {count} blocks, the stream {}", self.blocks.len()));
        }
        for block in &self.blocks {
            let (Some(unpadded), Some(decoded)) = (number(&mut fields), number(&mut fields)) else { return Ok(false) };
            if (unpadded, decoded) != *block {
                return Err("the index and the blocks disagree".to_string());
            }
        }
        Ok(true)
    }
}

impl Grammar for Xz {
    fn first(&self) -> usize {
        12
    }

    fn read(&mut self, field: &[u8]) -> Result<Next, String> {
        let none = |field| Ok(Next { belongs: Belongs::None, skip: 0, field });
        match self.state {
            Stream::Header => self.stream(field),
            Stream::BlockOrIndex if field[0] == 0 => {
                self.index = vec![0];
                self.state = Stream::Index;
                // The smallest index that these blocks can have; then byte by byte.
                none((1 + 2 * self.blocks.len()).max(1))
            }
            Stream::BlockOrIndex => {
                self.size_byte = field[0];
                self.state = Stream::BlockHeader;
                none(usize::from(field[0]) * 4 + 3)
            }
            Stream::BlockHeader => self.block(field),
            Stream::Index => {
                self.index.extend_from_slice(field);
                if !self.index()? {
                    return none(1);
                }
                self.state = Stream::IndexEnd;
                none(self.index.len().next_multiple_of(4) - self.index.len() + 4)
            }
            Stream::IndexEnd => {
                let (padding, sum) = field.split_at(field.len() - 4);
                self.index.extend_from_slice(padding);
                if u64::from(crc32fast::hash(&self.index)) != little_endian(sum) {
                    return Err("the index is damaged".to_string());
                }
                self.state = Stream::Footer;
                none(12)
            }
            Stream::Footer if field[10..] != *b"YZ" || field[8..10] != self.header[6..8] => {
                Err("the stream has no right footer".to_string())
            }
            Stream::Footer => {
                self.state = Stream::After;
                none(4)
            }
            Stream::After if field == [0; 4] => none(4),
            Stream::After => {
                self.header = field.to_vec();
                self.state = Stream::RestOfHeader;
                none(8)
            }
            Stream::RestOfHeader => {
                let header = [&self.header, field].concat();
                self.stream(&header)
            }
        }
    }

    fn may_end(&self) -> bool {
        matches!(self.state, Stream::After)
    }

    fn can_join(&self) -> bool {
        false
    }
}

/// A number of seven bits per byte, at most nine bytes; nothing when it is cut short or longer.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in 0..9 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * shift);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
