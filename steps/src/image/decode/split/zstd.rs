//! zstd frames, which say how long their blocks are (RFC 8878 section 3).

use super::fields::{Belongs, Grammar, Next, little_endian};

/// The frames of a file.
#[derive(Default)]
pub(super) struct Zstd {
    state: Frame,
    checksum: bool,
    frames: u64,
}

#[derive(Default)]
enum Frame {
    #[default]
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
