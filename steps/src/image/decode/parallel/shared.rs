//! What all threads know of each other: whose turn it is, where buffers come from, where decoded data go.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::block::Block;
use crate::image::buffer::Buffer;
use crate::image::decode::Compression;
use crate::image::decode::split::Input;
use crate::image::source::Event;
use crate::image::{Chunk, ImageError, Pool};

/// Buffers that only the part whose turn it is may take, so that the others cannot starve it.
const SPARE: usize = 2;

/// What all threads know.
pub(super) struct Shared {
    pub(super) compression: Compression,
    /// How many threads there are.
    pub(super) workers: usize,
    pool: Pool,
    /// The part whose output is handed on now.
    turn: AtomicUsize,
    /// The beginning of a bzip2 block whose rest was taken for another one; belongs to the part whose turn it is.
    unfinished: Mutex<Option<Block>>,
    pub(super) busy_nanoseconds: AtomicU64,
    pub(super) events: Sender<Event>,
}

/// A part of the file that can be decoded on its own.
pub(super) struct Part {
    pub(super) index: usize,
    pub(super) header: Vec<u8>,
    pub(super) skip_bits: u32,
    pub(super) input: Receiver<Input>,
    pub(super) output: Sender<Decoded>,
}

/// What a worker hands back: data, or how the part ended, with the sum of a bzip2 block.
pub(super) enum Decoded {
    Chunk(Chunk),
    End(Result<Option<u32>, ImageError>),
}

impl Shared {
    pub(super) fn new(compression: Compression, workers: usize, pool: Pool, events: Sender<Event>) -> Self {
        let (turn, unfinished, busy_nanoseconds) = Default::default();
        Self { compression, workers, pool, turn, unfinished, busy_nanoseconds, events }
    }

    pub(super) fn next_turn(&self) {
        self.turn.fetch_add(1, Ordering::Relaxed);
        self.pool.wake();
    }

    /// Nobody has to wait any more.
    pub(super) fn every_turn(&self) {
        self.turn.store(usize::MAX, Ordering::Relaxed);
        self.pool.wake();
    }

    pub(super) fn unfinished(&self) -> MutexGuard<'_, Option<Block>> {
        self.unfinished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_turn(&self, part: &Part) -> bool {
        part.index <= self.turn.load(Ordering::Relaxed)
    }

    pub(super) fn wait_for_turn(&self, part: &Part) {
        self.pool.wait_until(|| self.is_turn(part));
    }

    pub(super) fn take(&self, part: &Part) -> Buffer {
        self.pool.take_leaving(|| if self.is_turn(part) { 0 } else { SPARE })
    }

    pub(super) fn hand_back(&self, part: &Part, chunk: Chunk) -> Result<(), ImageError> {
        let sent = part.output.send(Decoded::Chunk(chunk));
        let _ = self.events.send(Event::Ready);
        sent.map_err(|_| ImageError::Cancelled)
    }

    pub(super) fn was_busy(&self, time: Duration) {
        self.busy_nanoseconds.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }
}
