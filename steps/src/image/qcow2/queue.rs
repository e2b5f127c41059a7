//! Runs of the virtual disk that wait for their bytes, in the order in which the file brings them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::tables::{Place, Run};

/// Runs that may wait at one time, so that the tables of an image of any size take at most 12 MiB.
pub const MAX_WAITING: usize = 1 << 19;

const PACKED: u64 = 1 << 63;

/// Runs with a place in the file, the first of the file first.
#[derive(Debug, Default)]
pub struct Queue(BinaryHeap<Reverse<Waiting>>);

/// A [`Run`] without what its cluster's size says anyway. Ordered by its place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    host: u64,
    guest: u64,
    /// Bytes in the file, and [`PACKED`].
    len: u64,
}

/// The next run of a [`Queue`] and where its bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// First byte in the file.
    pub host: u64,
    /// First byte on the virtual disk.
    pub guest: u64,
    /// Bytes in the file.
    pub len: u64,
    /// The bytes are a compressed cluster.
    pub packed: bool,
}

impl Queue {
    /// Adds a run; one that reads as zeroes waits for nothing and is left out.
    pub fn push(&mut self, run: &Run) {
        match run.place {
            Place::Nowhere => {}
            Place::Plain { host } => self.0.push(Reverse(Waiting { host, guest: run.guest, len: run.len })),
            Place::Packed { host, len } => {
                self.0.push(Reverse(Waiting { host, guest: run.guest, len: len | PACKED }));
            }
        }
    }

    /// Takes the next run if it starts before `end`.
    pub fn pop_before(&mut self, end: u64) -> Option<Next> {
        let Reverse(first) = self.0.peek()?;
        if first.host >= end {
            return None;
        }
        let Reverse(first) = self.0.pop()?;
        let packed = first.len & PACKED != 0;
        Some(Next { host: first.host, guest: first.guest, len: first.len & !PACKED, packed })
    }

    /// Puts back what is left of a run after its first `taken` bytes.
    pub fn put_back(&mut self, rest: Next, taken: u64) {
        self.0.push(Reverse(Waiting { host: rest.host + taken, guest: rest.guest + taken, len: rest.len - taken }));
    }

    /// How many runs wait.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
