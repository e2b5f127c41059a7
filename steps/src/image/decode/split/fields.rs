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

    fn follow(&mut self, field: Vec<u8>, Next { belongs, skip, field: length }: Next, cuts: Cuts<'_>) {
        if !matches!(belongs, Belongs::Same) && self.part.is_some_and(|bytes| !self.grammar.can_join() || bytes >= JOIN)
        {
            cuts(Cut::End);
            self.part = None;
        }
        if let (Belongs::New(header), None) = (belongs, self.part) {
            cuts(Cut::Begin { header, skip_bits: 0 });
            self.part = Some(0);
        }
        self.feed(Input::Field(field), cuts);
        self.skip = skip;
        self.field.1 = length;
    }

    fn feed(&mut self, input: Input, cuts: Cuts<'_>) {
        if let Some(bytes) = &mut self.part {
            *bytes += input.len() as u64;
            cuts(Cut::Bytes(input));
        }
    }
}

impl<G: Grammar> Split for Fields<G> {
    fn push(&mut self, input: &Input, cuts: Cuts<'_>) -> Result<(), String> {
        let mut at = 0;
        while at < input.len() {
            if self.skip > 0 {
                let part = usize::try_from(self.skip).unwrap_or(usize::MAX).min(input.len() - at);
                self.skip -= part as u64;
                self.feed(input.slice(at..at + part), cuts);
                at += part;
                continue;
            }
            let (field, length) = &mut self.field;
            let part = (*length - field.len()).min(input.len() - at);
            field.extend_from_slice(&input[at..at + part]);
            at += part;
            if field.len() == *length {
                let field = std::mem::take(field);
                let next = self.grammar.read(&field)?;
                self.follow(field, next, cuts);
            }
        }
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
