//! The threads that keep several writes in flight.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ferric_hardware::units::Bytes;

use super::manifest::Manifest;
use super::target::Target;
use crate::image::{Content, Extent, ImageError};

/// Writes in flight at one time: enough to keep a fast disk busy, few enough for a slow one.
const DEPTH: usize = 4;

/// A queue of extents and the threads that empty it, in any order.
#[derive(Debug)]
pub(crate) struct Writers {
    queue: Option<SyncSender<Extent>>,
    threads: Vec<JoinHandle<Done>>,
    failure: Failure,
}

/// The first failure of any thread.
type Failure = Arc<Mutex<Option<ImageError>>>;

/// What the writers did.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Done {
    /// Bytes written.
    pub(crate) written: u64,
    /// Bytes zeroed.
    pub(crate) zeroed: u64,
    /// Time spent in the calls, all threads together.
    pub(crate) busy: Duration,
    /// The sum over what was written, if it was asked for.
    pub(crate) manifest: Manifest,
}

impl Writers {
    /// Starts the threads; `sum_up` makes them keep a [`Manifest`].
    pub(crate) fn start(target: &Arc<dyn Target>, sum_up: bool) -> Self {
        let (queue, extents) = sync_channel(DEPTH);
        let extents = Arc::new(Mutex::new(extents));
        let failure = Failure::default();
        let threads = (0..DEPTH)
            .map(|_| {
                let (target, extents, failure) = (Arc::clone(target), Arc::clone(&extents), Arc::clone(&failure));
                std::thread::spawn(move || run(&*target, &extents, &failure, sum_up))
            })
            .collect();
        Self { queue: Some(queue), threads, failure }
    }

    /// Queues one extent; waits while the queue is full.
    ///
    /// # Errors
    /// The failure of an earlier one.
    pub(crate) fn put(&self, extent: Extent) -> Result<(), ImageError> {
        self.failed()?;
        // The receiver lives as long as the threads, which end only after the queue.
        self.queue.as_ref().map(|queue| queue.send(extent));
        Ok(())
    }

    /// Waits until all that was queued is done.
    ///
    /// # Errors
    /// The failure of any of it.
    pub(crate) fn finish(&mut self) -> Result<Done, ImageError> {
        self.queue = None;
        let mut all = Done::default();
        for thread in self.threads.drain(..) {
            let Ok(done) = thread.join() else { continue };
            all.written += done.written;
            all.zeroed += done.zeroed;
            all.busy += done.busy;
            all.manifest.merge(done.manifest);
        }
        self.failed().map(|()| all)
    }

    fn failed(&self) -> Result<(), ImageError> {
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

fn run(
    target: &dyn Target,
    extents: &Mutex<Receiver<Extent>>,
    failure: &Mutex<Option<ImageError>>,
    sum_up: bool,
) -> Done {
    let mut done = Done::default();
    loop {
        let next = extents.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Extent { at, len, content }) = next else { return done };
        let started = Instant::now();
        let (action, result) = match content {
            Content::Data(chunk) => {
                done.written += len.0;
                if sum_up {
                    done.manifest.add(at.0, &chunk);
                }
                ("writing", target.write(at.0, &chunk))
            }
            Content::Zeroes => {
                done.zeroed += len.0;
                ("zeroing", target.zero(at.0, len.0))
            }
        };
        done.busy += started.elapsed();
        if let Err(source) = result {
            let error = ImageError::Disk { action, device: target.name().to_string(), at: Bytes(at.0), source };
            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }
}
