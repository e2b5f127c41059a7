//! Decoding on several cores: the parts of a file, each on its own thread, handed on in their order.
//!
//! The thread that owns this gets the file's bytes and must never wait for decoded ones while more bytes may come;
//! so workers tell it by [`Event::Ready`], in the channel that brings the bytes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::split::{Belongs, Grammar, Next, grammar};
use super::{Compression, Decoder, Output, broken};
use crate::image::source::Event;
use crate::image::{Chunk, ImageError, Pool};

/// Parts are joined, with what lies between them, up to this many compressed bytes where the format permits it.
const JOIN: u64 = 512 << 10;
/// Buffers that only the part whose turn it is may take, so that the others cannot starve it.
const SPARE: usize = 2;

/// A decoder on several threads.
pub(crate) struct Parallel {
    compression: Compression,
    grammar: Box<dyn Grammar>,
    /// The field being collected, and how long it will be.
    field: (Vec<u8>, usize),
    skip: u64,
    /// Where the bytes go now, and how many have gone there.
    part: Option<(Sender<Input>, u64)>,
    jobs: Option<Sender<Part>>,
    parts: usize,
    outputs: VecDeque<Receiver<Decoded>>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    compression: Compression,
    pool: Pool,
    /// The part whose output is handed on now.
    turn: AtomicUsize,
    busy_nanoseconds: AtomicU64,
    events: Sender<Event>,
}

/// A part of the file that can be decoded on its own.
struct Part {
    index: usize,
    input: Receiver<Input>,
    output: Sender<Decoded>,
}

enum Input {
    Field(Vec<u8>),
    Chunk(Chunk),
}

/// What a worker hands back: data, or how the part ended.
enum Decoded {
    Chunk(Chunk),
    End(Result<(), ImageError>),
}

impl Parallel {
    /// A decoder for a file that begins with `start`, if it can be divided.
    pub(crate) fn new(compression: Compression, start: &[u8], pool: &Pool, events: &Sender<Event>) -> Option<Self> {
        let grammar = grammar(compression, start)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = cores.min(pool.count() / 4).max(1);
        let shared = Arc::new(Shared {
            compression,
            pool: pool.clone(),
            turn: AtomicUsize::new(0),
            busy_nanoseconds: AtomicU64::new(0),
            events: events.clone(),
        });
        let (jobs, parts) = channel();
        let parts = Arc::new(Mutex::new(parts));
        let threads = (0..workers)
            .map(|_| {
                let (shared, parts) = (Arc::clone(&shared), Arc::clone(&parts));
                std::thread::spawn(move || work(&shared, &parts))
            })
            .collect();
        Some(Self {
            compression,
            field: (Vec::new(), grammar.first()),
            grammar,
            skip: 0,
            part: None,
            jobs: Some(jobs),
            parts: 0,
            outputs: VecDeque::new(),
            shared,
            threads,
        })
    }

    /// Takes the next piece of the file, and hands on what is decoded by now.
    pub(crate) fn push(&mut self, chunk: &Chunk, out: Output<'_>) -> Result<(), ImageError> {
        let mut at = 0;
        while at < chunk.len() {
            if self.skip > 0 {
                let part = usize::try_from(self.skip).unwrap_or(usize::MAX).min(chunk.len() - at);
                self.skip -= part as u64;
                self.feed(Input::Chunk(chunk.slice(at..at + part)));
                at += part;
                continue;
            }
            let (field, length) = &mut self.field;
            let part = (*length - field.len()).min(chunk.len() - at);
            field.extend_from_slice(&chunk[at..at + part]);
            at += part;
            if field.len() == *length {
                let field = std::mem::take(field);
                let next = self.grammar.read(&field).map_err(|e| broken(self.compression, &e))?;
                self.follow(field, next);
            }
        }
        self.ready(out)
    }

    /// Hands on what is decoded by now.
    pub(crate) fn ready(&mut self, out: Output<'_>) -> Result<(), ImageError> {
        while let Some(front) = self.outputs.front() {
            match front.try_recv() {
                Ok(decoded) => self.take(decoded, out)?,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Err(self.lost()),
            }
        }
        Ok(())
    }

    /// The file is complete: hands on the rest.
    pub(crate) fn finish(&mut self, out: Output<'_>) -> Result<(), ImageError> {
        self.part = None;
        self.jobs = None;
        if !self.field.0.is_empty() || self.skip > 0 || !self.grammar.may_end() {
            return Err(broken(self.compression, &"the data end before their end mark"));
        }
        while let Some(front) = self.outputs.front() {
            let decoded = front.recv().map_err(|_| self.lost())?;
            self.take(decoded, out)?;
        }
        Ok(())
    }

    /// Time spent on decoding, all threads together.
    pub(crate) fn busy(&self) -> Duration {
        Duration::from_nanos(self.shared.busy_nanoseconds.load(Ordering::Relaxed))
    }

    fn follow(&mut self, field: Vec<u8>, Next { belongs, skip, field: length }: Next) {
        let joins = self.grammar.can_join();
        if !matches!(belongs, Belongs::Same) {
            self.part = self.part.take().filter(|(_, fed)| joins && *fed < JOIN);
        }
        if let (Belongs::New(before), None) = (belongs, &self.part) {
            self.begin();
            self.feed(Input::Field(before));
        }
        self.feed(Input::Field(field));
        self.skip = skip;
        self.field.1 = length;
    }

    fn begin(&mut self) {
        let ((input, inputs), (output, outputs)) = (channel(), channel());
        self.outputs.push_back(outputs);
        // Workers end only after the queue, so somebody takes it.
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(Part { index: self.parts, input: inputs, output });
        }
        self.parts += 1;
        self.part = Some((input, 0));
    }

    fn feed(&mut self, input: Input) {
        if let Some((part, fed)) = &mut self.part {
            *fed += input.len() as u64;
            // A worker that has failed has said so in its output.
            let _ = part.send(input);
        }
    }

    fn take(&mut self, decoded: Decoded, out: Output<'_>) -> Result<(), ImageError> {
        match decoded {
            Decoded::Chunk(chunk) => out(chunk),
            Decoded::End(result) => {
                self.outputs.pop_front();
                self.shared.turn.fetch_add(1, Ordering::Relaxed);
                self.shared.pool.wake();
                result
            }
        }
    }

    fn lost(&self) -> ImageError {
        broken(self.compression, &"a decoder thread is gone")
    }
}

impl Drop for Parallel {
    fn drop(&mut self) {
        self.part = None;
        self.jobs = None;
        self.outputs.clear();
        self.shared.turn.store(usize::MAX, Ordering::Relaxed);
        self.shared.pool.wake();
        for thread in self.threads.drain(..) {
            // Its panic has been printed, and its part has failed.
            let _ = thread.join();
        }
    }
}

impl Input {
    fn len(&self) -> usize {
        match self {
            Self::Field(bytes) => bytes.len(),
            Self::Chunk(chunk) => chunk.len(),
        }
    }
}

fn work(shared: &Shared, parts: &Mutex<Receiver<Part>>) {
    loop {
        let next = parts.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(part) = next else { return };
        let result = decode(shared, &part);
        let _ = part.output.send(Decoded::End(result));
        let _ = shared.events.send(Event::Ready);
    }
}

fn decode(shared: &Shared, part: &Part) -> Result<(), ImageError> {
    let mut out = |chunk| {
        let sent = part.output.send(Decoded::Chunk(chunk));
        let _ = shared.events.send(Event::Ready);
        sent.map_err(|_| ImageError::Cancelled)
    };
    let take =
        || shared.pool.take_leaving(|| if part.index <= shared.turn.load(Ordering::Relaxed) { 0 } else { SPARE });
    let mut decoder = Decoder::new(shared.compression)?;
    for input in &part.input {
        let (started, waited) = (Instant::now(), decoder.waited());
        match input {
            Input::Field(bytes) => decoder.push(&bytes, &take, &mut out)?,
            Input::Chunk(chunk) => decoder.push(&chunk, &take, &mut out)?,
        }
        let busy = started.elapsed().saturating_sub(decoder.waited().saturating_sub(waited));
        shared.busy_nanoseconds.fetch_add(busy.as_nanos() as u64, Ordering::Relaxed);
    }
    match shared.compression {
        // The index and the end mark of the stream are not part of a block; the length of the block was known.
        Compression::Xz => decoder.finish_part(&take, &mut out),
        _ => decoder.finish(&take, &mut out),
    }
}
