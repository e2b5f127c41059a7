//! The fixed pool of aligned buffers: memory is bounded because there is no more, and a stage that finds
//! none waits for the stages after it.

use std::ops::{Deref, DerefMut, Range};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use ferric_hardware::aligned::AlignedBuffer;
use ferric_hardware::units::Bytes;
use tokio::sync::Notify;

/// A pool of equal buffers. Clones share the same buffers.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    buffer_bytes: usize,
    count: usize,
    state: Mutex<State>,
    returned: Condvar,
    returned_async: Notify,
}

#[derive(Debug, Default)]
struct State {
    free: Vec<AlignedBuffer>,
    in_use: usize,
    peak: usize,
}

impl Pool {
    /// A pool of `budget / buffer_bytes` buffers (at least two). They are allocated when first needed.
    pub fn new(budget: Bytes, buffer_bytes: usize) -> Self {
        let count = usize::try_from(budget.0).unwrap_or(usize::MAX) / buffer_bytes.max(1);
        Self(Arc::new(Shared {
            buffer_bytes,
            count: count.max(2),
            state: Mutex::default(),
            returned: Condvar::new(),
            returned_async: Notify::new(),
        }))
    }

    /// Size of each buffer in bytes.
    pub fn buffer_bytes(&self) -> usize {
        self.0.buffer_bytes
    }

    /// Number of buffers.
    pub fn count(&self) -> usize {
        self.0.count
    }

    /// The most memory that was in use at one time.
    pub fn peak(&self) -> Bytes {
        Bytes((self.0.lock().peak * self.0.buffer_bytes) as u64)
    }

    /// Waits for a free buffer. Its content is whatever was in it before.
    pub async fn take(&self) -> Buffer {
        loop {
            let returned = self.0.returned_async.notified();
            if let Some(buffer) = self.try_take() {
                return buffer;
            }
            returned.await;
        }
    }

    /// [`Pool::take`] for threads; blocks.
    pub fn take_blocking(&self) -> Buffer {
        self.take_leaving(|| 0)
    }

    /// [`Pool::take_blocking`] that leaves `spare()` buffers to others. When what `spare` says changes, somebody must
    /// call [`Pool::wake`].
    pub(crate) fn take_leaving(&self, spare: impl Fn() -> usize) -> Buffer {
        let mut state = self.0.lock();
        loop {
            if self.0.count - state.in_use > spare()
                && let Some(memory) = self.0.allot(&mut state)
            {
                return Buffer { memory: Some(memory), pool: Arc::clone(&self.0) };
            }
            state = self.0.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until `condition()`. When what it says changes, somebody must call [`Pool::wake`].
    pub(crate) fn wait_until(&self, condition: impl Fn() -> bool) {
        let state = self.0.lock();
        let _state = self.0.returned.wait_while(state, |_| !condition()).unwrap_or_else(PoisonError::into_inner);
    }

    /// Makes those who wait look again.
    pub(crate) fn wake(&self) {
        // With the lock, so that nobody is between looking and waiting.
        let _state = self.0.lock();
        self.0.returned.notify_all();
    }

    /// A free buffer, if there is one now.
    pub fn try_take(&self) -> Option<Buffer> {
        let memory = self.0.allot(&mut self.0.lock())?;
        Some(Buffer { memory: Some(memory), pool: Arc::clone(&self.0) })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn allot(&self, state: &mut State) -> Option<AlignedBuffer> {
        if state.in_use == self.count {
            return None;
        }
        state.in_use += 1;
        state.peak = state.peak.max(state.in_use);
        Some(state.free.pop().unwrap_or_else(|| AlignedBuffer::new(self.buffer_bytes)))
    }
}

/// A buffer being filled by its only owner; goes back to its pool when dropped.
#[derive(Debug)]
pub struct Buffer {
    memory: Option<AlignedBuffer>,
    pool: Arc<Shared>,
}

impl Buffer {
    /// Ends the filling: the first `len` bytes become a [`Chunk`] that can be shared.
    pub fn freeze(self, len: usize) -> Chunk {
        let len = len.min(self.len());
        Chunk { buffer: Arc::new(self), range: 0..len }
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.memory.as_deref().unwrap_or_default()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.memory.as_deref_mut().unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        state.free.extend(self.memory.take());
        state.in_use -= 1;
        drop(state);
        self.pool.returned.notify_all();
        self.pool.returned_async.notify_one();
    }
}

/// A read-only, reference-counted piece of a pooled buffer. Cloning and slicing copy nothing; the buffer
/// is free again when its last piece is gone, so a stage must not keep pieces for long.
#[derive(Debug, Clone)]
pub struct Chunk {
    buffer: Arc<Buffer>,
    range: Range<usize>,
}

impl Chunk {
    /// The piece `range` of this piece, cut to what exists.
    pub fn slice(&self, range: Range<usize>) -> Self {
        let end = range.end.min(self.len());
        let start = range.start.min(end);
        Self { buffer: Arc::clone(&self.buffer), range: self.range.start + start..self.range.start + end }
    }
}

impl Deref for Chunk {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.buffer[self.range.clone()]
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_gives_no_more_than_its_budget_and_takes_buffers_back() {
        let pool = Pool::new(Bytes(8192), 4096);
        let first = pool.try_take().unwrap();
        let second = pool.try_take().unwrap();
        assert!(pool.try_take().is_none());
        let chunk = second.freeze(100);
        let piece = chunk.slice(10..20);
        drop(chunk);
        assert!(pool.try_take().is_none(), "a slice keeps the buffer");
        drop(piece);
        assert!(pool.try_take().is_some());
        drop(first);
        assert_eq!(pool.peak(), Bytes(8192));
    }

    #[test]
    fn a_waiting_thread_gets_the_returned_buffer() {
        let pool = Pool::new(Bytes(8192), 4096);
        let held = [pool.take_blocking(), pool.take_blocking()];
        let waiter = {
            let pool = pool.clone();
            std::thread::spawn(move || pool.take_blocking().len())
        };
        drop(held);
        assert_eq!(waiter.join().unwrap(), 4096);
    }

    #[test]
    fn slices_stay_inside() {
        let pool = Pool::new(Bytes(8192), 4096);
        let mut buffer = pool.take_blocking();
        buffer[..4].copy_from_slice(b"abcd");
        let chunk = buffer.freeze(4).slice(1..4);
        assert_eq!(&*chunk.slice(1..99), b"cd");
        assert!(chunk.slice(5..9).is_empty());
    }
}
