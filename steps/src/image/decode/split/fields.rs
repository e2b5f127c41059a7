//! Formats whose parts say how long they are: small fields, and long stretches between them that need no look.

use super::{Cut, Cuts, Input, Split};

/// Parts are joined, with what lies between them, up to this many compressed bytes where the format permits it.
const JOIN: u64 = 512 << 10;

/// The fields of a format.
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

/// A file as fields.
pub(super) struct Fields<G> {
    grammar: G,
    /// The field being collected, and how long it will be.
    field: (Vec<u8>, usize),
    skip: u64,
    /// The length of the part that is open.
    part: Option<u64>,
}

impl<G: Grammar> Fields<G> {
    pub(super) fn new(grammar: G) -> Self {
        Self { field: (Vec::new(), grammar.first()), grammar, skip: 0, part: None }
    }

    /// Whether a part is open that must end where the next field begins.
    fn ends(&self, belongs: &Belongs) -> bool {
        !matches!(belongs, Belongs::Same) && self.part.is_some_and(|bytes| !self.grammar.can_join() || bytes >= JOIN)
    }

    fn feed(&self, input: Input, cuts: Cuts<'_>) {
        if self.part.is_some() && !input.is_empty() {
            cuts(Cut::Bytes(input));
        }
    }
}

impl<G: Grammar> Split for Fields<G> {
    fn push(&mut self, input: &Input, cuts: Cuts<'_>) -> Result<(), String> {
        // From here on nothing has gone to the open part: fields and what they announce go there together, as pieces
        // of the input, so that many small ones take no memory of their own.
        let mut kept = 0;
        let mut at = 0;
        while at < input.len() {
            if self.skip > 0 {
                let part = usize::try_from(self.skip).unwrap_or(usize::MAX).min(input.len() - at);
                self.skip -= part as u64;
                at += part;
                continue;
            }
            let start = at;
            let (field, length) = &mut self.field;
            let before = field.len();
            at = input.len().min(start + *length - before);
            field.extend_from_slice(&input[start..at]);
            if field.len() < *length {
                self.feed(input.slice(kept..start), cuts);
                return Ok(());
            }
            let mut field = std::mem::take(field);
            let Next { belongs, skip, field: length } = self.grammar.read(&field)?;
            if self.ends(&belongs) {
                self.feed(input.slice(kept..start), cuts);
                cuts(Cut::End);
                self.part = None;
            }
            if self.part.is_none() {
                kept = start;
                if let Belongs::New(header) = belongs {
                    cuts(Cut::Begin { header, skip_bits: 0 });
                    self.part = Some(0);
                }
            }
            if let Some(bytes) = &mut self.part {
                *bytes = bytes.saturating_add(field.len() as u64).saturating_add(skip);
            }
            // What came with the input before this one.
            field.truncate(before);
            self.feed(Input::Field(field), cuts);
            (self.skip, self.field.1) = (skip, length);
        }
        self.feed(input.slice(kept..input.len()), cuts);
        Ok(())
    }

    fn finish(&mut self, cuts: Cuts<'_>) -> Result<(), String> {
        if !self.field.0.is_empty() || self.skip > 0 || !self.grammar.may_end() {
            return Err("the data end before their end mark".to_string());
        }
        cuts(Cut::End);
        Ok(())
    }
}

/// The number that a field is.
pub(super) fn little_endian(field: &[u8]) -> u64 {
    field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::super::super::Compression;
    use super::super::split;
    use super::*;

    /// The parts of a file that comes in pieces of `piece` bytes, and in how many pieces they went on.
    fn parts(file: &[u8], piece: usize) -> (Vec<Vec<u8>>, usize) {
        let (mut parts, mut pieces) = (Vec::new(), 0);
        let mut split = split(Compression::Zstd, file).unwrap();
        let mut cuts = |cut| match cut {
            Cut::Begin { header, .. } => parts.push(header),
            Cut::Bytes(bytes) => {
                pieces += 1;
                parts.last_mut().unwrap().extend_from_slice(&bytes);
            }
            Cut::End | Cut::Sum(_) => {}
        };
        for piece in file.chunks(piece) {
            split.push(&Input::Field(piece.to_vec()), &mut cuts).unwrap();
        }
        split.finish(&mut cuts).unwrap();
        (parts, pieces)
    }

    #[test]
    fn a_part_is_what_lies_between_its_ends_however_the_file_comes() {
        // Longer than what is joined, so that the frames are parts.
        let noise = |seed: u64| {
            let mut state = seed + 1;
            (0..JOIN + 99).map(move |_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            })
        };
        let frames: Vec<Vec<u8>> =
            (0..3).map(|seed| zstd::encode_all(&noise(seed).collect::<Vec<_>>()[..], 1).unwrap()).collect();
        assert!(frames.iter().all(|frame| frame.len() as u64 > JOIN));
        let file = frames.concat();
        for piece in [1, 7, 4096, 1 << 20, file.len()] {
            assert!(parts(&file, piece).0 == frames, "in pieces of {piece}");
        }
    }

    #[test]
    fn many_small_fields_go_on_as_few_pieces() {
        let file = zstd::encode_all(&vec![0; 64 << 20][..], 1).unwrap();
        let (parts, pieces) = parts(&file, 1 << 10);
        assert!(parts == [&file[..]]);
        let most = 2 * file.len().div_ceil(1 << 10);
        assert!(pieces <= most, "{pieces} pieces for {} bytes", file.len());
    }
}
