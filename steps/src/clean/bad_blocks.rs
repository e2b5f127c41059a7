//! The blocks of a disk that do not keep what is written to them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

/// So many are remembered; a disk with more is beyond naming them.
const MOST: usize = 1024;
/// So many are named.
const NAMED: usize = 8;

/// What is wrong with a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It cannot be written.
    Unwritable,
    /// It cannot be read.
    Unreadable,
    /// It holds something else than what was written.
    Forgetful,
}

impl Fault {
    fn words(self) -> &'static str {
        match self {
            Self::Unwritable => "cannot be written",
            Self::Unreadable => "cannot be read",
            Self::Forgetful => "holds something else than was written",
        }
    }
}

/// The bad blocks of one disk, by byte offset, each with what was wrong first. As JSON, the offsets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BadBlocks(BTreeMap<u64, Fault>);

impl BadBlocks {
    /// Notes one.
    pub(super) fn note(&mut self, byte: u64, fault: Fault) {
        if !self.are_too_many() {
            self.0.entry(byte).or_insert(fault);
        }
    }

    /// Whether looking for more makes no sense.
    pub(super) fn are_too_many(&self) -> bool {
        self.0.len() >= MOST
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for BadBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, more) = (self.0.len(), if self.are_too_many() { " or more" } else { "" });
        let mut named = self.0.iter().take(NAMED).map(|(byte, fault)| format!("byte {byte} {}", fault.words()));
        let list = named.by_ref().collect::<Vec<_>>().join(", ");
        let rest = if count > NAMED { ", …" } else { "" };
        match count {
            0 => write!(f, "no bad blocks"),
            _ => write!(f, "bad blocks: {count}{more} ({list}{rest})"),
        }
    }
}

impl Serialize for BadBlocks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.keys())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ones_are_named_and_too_many_end_the_search() {
        let mut bad = BadBlocks::default();
        assert_eq!(bad.to_string(), "no bad blocks");
        bad.note(512, Fault::Unreadable);
        bad.note(512, Fault::Forgetful);
        bad.note(0, Fault::Unwritable);
        assert_eq!(bad.to_string(), "bad blocks: 2 (byte 0 cannot be written, byte 512 cannot be read)");
        assert_eq!(serde_json::to_value(&bad).unwrap(), serde_json::json!([0, 512]));
        (0..2000).for_each(|block| bad.note(block * 512, Fault::Forgetful));
        assert!(
            bad.are_too_many()
                && bad.to_string().starts_with("bad blocks: 1024 or more (")
                && bad.to_string().ends_with(", …)")
        );
    }
}
