//! Finds the parts of a compressed file that can be decoded on their own, without decoding: zstd frames and xz
//! blocks say how long they are.

use super::Compression;

/// The file as a sequence of small fields and long stretches between them.
pub(super) trait Grammar: Send {
    /// Length of the first field.
    fn first(&self) -> usize;
    /// Reads a field; says to what it belongs, how many bytes follow it that need not be looked at, and how long the
    /// next field is.
    ///
    /// # Errors
    /// What is wrong with it.
    fn read(&mut self, field: &[u8]) -> Result<Next, String>;
    /// Whether the file may end where the next field would begin.
    fn may_end(&self) -> bool;
    /// Whether several parts may be joined to one.
    fn can_join(&self) -> bool;
}

/// What follows a field.
pub(super) struct Next {
    pub(super) belongs: Belongs,
    pub(super) skip: u64,
    pub(super) field: usize,
}

/// To which part a field, and what is skipped after it, belongs.
pub(super) enum Belongs {
    /// To a new part, whose decoder needs these bytes first.
    New(Vec<u8>),
    /// To the part begun before.
    Same,
    /// To none.
    None,
}

/// The grammar of a file, if its beginning shows that it can be divided.
pub(super) fn grammar(compression: Compression, start: &[u8]) -> Option<Box<dyn Grammar>> {
    match compression {
        Compression::Zstd => Some(Box::new(Zstd { state: Frame::Magic, checksum: false, frames: 0 })),
        // Only files of parallel compressors have the sizes in the headers of their blocks.
        Compression::Xz if start.get(12).is_some_and(|size| *size != 0) && start.get(13)? & HAS_SIZES == HAS_SIZES => {
            Some(Box::new(Xz::default()))
        }
        Compression::Xz | Compression::Gzip | Compression::Bzip2 => None,
    }
}

/// zstd frames (RFC 8878 section 3).
struct Zstd {
    state: Frame,
    checksum: bool,
    frames: u64,
}

enum Frame {
    Magic,
    SkippableSize,
    Descriptor,
    Block,
}

impl Grammar for Zstd {
    fn first(&self) -> usize {
        4
    }

    fn read(&mut self, field: &[u8]) -> Result<Next, String> {
        let number = little_endian(field);
        let (belongs, skip, length) = match self.state {
            Frame::Magic if number == 0 => (Belongs::None, 0, 4),
            Frame::Magic if number == 0xfd2f_b528 => {
                self.state = Frame::Descriptor;
                self.frames += 1;
                (Belongs::New(Vec::new()), 0, 1)
            }
            Frame::Magic if number >> 4 == 0x0184_d2a5 => {
                self.state = Frame::SkippableSize;
                (Belongs::None, 0, 4)
            }
            Frame::Magic => return Err("no frame begins where the last one ended".to_string()),
            Frame::SkippableSize => {
                self.state = Frame::Magic;
                (Belongs::None, number, 4)
            }
            Frame::Descriptor => {
                self.state = Frame::Block;
                self.checksum = number & 4 != 0;
                let single_segment = number & 0x20 != 0;
                let window = u64::from(!single_segment);
                let dictionary = [0, 1, 2, 4][(number & 3) as usize];
                let content = [u64::from(single_segment), 2, 4, 8][(number >> 6) as usize];
                (Belongs::Same, window + dictionary + content, 3)
            }
            Frame::Block => {
                let (last, kind, size) = (number & 1 != 0, number >> 1 & 3, number >> 3);
                let size = if kind == 1 { 1 } else { size };
                match last {
                    false => (Belongs::Same, size, 3),
                    true => {
                        self.state = Frame::Magic;
                        (Belongs::Same, size + if self.checksum { 4 } else { 0 }, 4)
                    }
                }
            }
        };
        Ok(Next { belongs, skip, field: length })
    }

    fn may_end(&self) -> bool {
        matches!(self.state, Frame::Magic) && self.frames > 0
    }

    fn can_join(&self) -> bool {
        true
    }
}

/// The flags of a block header that say that both sizes are in it.
const HAS_SIZES: u8 = 0xc0;
const XZ_MAGIC: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];

/// xz blocks (the .xz file format, version 1.2). Every block is decoded behind a copy of its stream's header; the
/// index is compared with the blocks here.
#[derive(Default)]
struct Xz {
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

fn little_endian(field: &[u8]) -> u64 {
    field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
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
