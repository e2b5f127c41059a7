//! Decoding on several cores: the parts of a file, each on its own thread, handed on in their order.
//!
//! The thread that owns this gets the file's bytes and must never wait for decoded ones while more bytes may come;
//! so workers tell it by [`Event::Ready`], in the channel that brings the bytes.

mod block;
mod bzip2;
mod shared;
mod worker;

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use self::shared::{Decoded, Part, Shared};
use self::worker::work;
use super::split::{Cut, Input, Split, split};
use super::{Compression, Output, broken};
use crate::image::source::Event;
use crate::image::{Chunk, ImageError, Pool};

/// A decoder on several threads.
pub(crate) struct Parallel {
    split: Box<dyn Split>,
    queue: Queue,
    /// The sum over the blocks handed on since the last [`Cut::Sum`].
    sum: u32,
    threads: Vec<JoinHandle<()>>,
}

/// The parts of the file, from being cut to being handed on.
struct Queue {
    /// Where the bytes go now.
    part: Option<Sender<Input>>,
    jobs: Option<Sender<Part>>,
    begun: usize,
    outputs: VecDeque<Expected>,
    shared: Arc<Shared>,
}

/// What is handed on, or looked at, when its turn comes.
enum Expected {
    Part(Receiver<Decoded>),
    Sum(u32),
}

impl Parallel {
    /// A decoder for a file that begins with `start`, if it can be divided.
    pub(crate) fn new(compression: Compression, start: &[u8], pool: &Pool, events: &Sender<Event>) -> Option<Self> {
        let split = split(compression, start)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = cores.min(pool.count() / 4).max(1);
        let shared = Arc::new(Shared::new(compression, workers, pool.clone(), events.clone()));
        let (jobs, parts) = channel();
        let parts = Arc::new(Mutex::new(parts));
        let threads = (0..workers)
            .map(|_| {
                let (shared, parts) = (Arc::clone(&shared), Arc::clone(&parts));
                std::thread::spawn(move || work(&shared, &parts))
            })
            .collect();
        let queue = Queue { part: None, jobs: Some(jobs), begun: 0, outputs: VecDeque::new(), shared };
        Some(Self { split, queue, sum: 0, threads })
    }

    /// Takes the next piece of the file, and hands on what is decoded by now.
    pub(crate) fn push(&mut self, chunk: &Chunk, out: Output<'_>) -> Result<(), ImageError> {
        let (split, queue) = (&mut self.split, &mut self.queue);
        split.push(&Input::Chunk(chunk.clone()), &mut |cut| queue.put(cut)).map_err(|e| self.broken(&e))?;
        self.ready(out)
    }

    /// Hands on what is decoded by now.
    pub(crate) fn ready(&mut self, out: Output<'_>) -> Result<(), ImageError> {
        self.hand_on(Receiver::try_recv, out)
    }

    /// The file is complete: hands on the rest.
    pub(crate) fn finish(&mut self, out: Output<'_>) -> Result<(), ImageError> {
        let (split, queue) = (&mut self.split, &mut self.queue);
        split.finish(&mut |cut| queue.put(cut)).map_err(|e| self.broken(&e))?;
        self.queue.jobs = None;
        self.hand_on(|output| Ok(output.recv()?), out)
    }

    /// Time spent on decoding, all threads together.
    pub(crate) fn busy(&self) -> Duration {
        Duration::from_nanos(self.queue.shared.busy_nanoseconds.load(Ordering::Relaxed))
    }

    /// Hands on what `receive` brings, until there is nothing.
    fn hand_on(
        &mut self,
        receive: impl Fn(&Receiver<Decoded>) -> Result<Decoded, TryRecvError>,
        out: Output<'_>,
    ) -> Result<(), ImageError> {
        while let Some(front) = self.queue.outputs.front() {
            match front {
                Expected::Part(output) => match receive(output) {
                    Ok(Decoded::Chunk(chunk)) => out(chunk)?,
                    Ok(Decoded::End(result)) => {
                        self.queue.next();
                        if let Some(sum) = result? {
                            self.sum = self.sum.rotate_left(1) ^ sum;
                        }
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Err(self.broken("a decoder thread is gone")),
                },
                Expected::Sum(sum) => {
                    if self.queue.shared.unfinished().is_some() || std::mem::take(&mut self.sum) != *sum {
                        return Err(self.broken("the blocks and the sum at the end of their stream disagree"));
                    }
                    self.queue.next();
                }
            }
        }
        Ok(())
    }

    fn broken(&self, error: &str) -> ImageError {
        broken(self.queue.shared.compression, &error)
    }
}

impl Queue {
    fn put(&mut self, cut: Cut) {
        match cut {
            Cut::Begin { header, skip_bits } => {
                let ((input, inputs), (output, outputs)) = (channel(), channel());
                self.expect(Expected::Part(outputs));
                // Workers end only after the queue, so somebody takes it.
                if let Some(jobs) = &self.jobs {
                    let _ = jobs.send(Part { index: self.begun - 1, header, skip_bits, input: inputs, output });
                }
                self.part = Some(input);
            }
            Cut::Bytes(input) => {
                if let Some(part) = &self.part {
                    // A worker that has failed has said so in its output.
                    let _ = part.send(input);
                }
            }
            Cut::End => self.part = None,
            Cut::Sum(sum) => self.expect(Expected::Sum(sum)),
        }
    }

    fn expect(&mut self, expected: Expected) {
        self.outputs.push_back(expected);
        self.begun += 1;
    }

    /// It is the next one's turn.
    fn next(&mut self) {
        self.outputs.pop_front();
        self.shared.next_turn();
    }
}

impl Drop for Parallel {
    fn drop(&mut self) {
        self.queue.part = None;
        self.queue.jobs = None;
        self.queue.outputs.clear();
        self.queue.shared.every_turn();
        for thread in self.threads.drain(..) {
            // Its panic has been printed, and its part has failed.
            let _ = thread.join();
        }
    }
}
