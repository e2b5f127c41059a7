//! The stages of one thread: decode, format, disk. Each begins when the first bytes have told what is needed.

use std::sync::mpsc::{Sender, SyncSender};
use std::time::{Duration, Instant};

use ferric_hardware::units::Bytes;

use super::Plan;
use crate::image::decode::{Compression, Decoder, Parallel};
use crate::image::digest::Hashing;
use crate::image::disk::{Disk, Done};
use crate::image::inspect::{self, HEAD_BYTES};
use crate::image::source::{Access, Event};
use crate::image::{Chunk, Digest, Finished, ImageError, Pool, format};

/// Where the chunks of a file end.
pub(super) struct Sink<'a> {
    stages: Stages<'a>,
    decoder: Decode,
    /// Where decoders on other threads say that they have something.
    events: Option<Sender<Event>>,
    compression: Option<Compression>,
    started: bool,
    busy: Duration,
}

/// How the file is decoded.
enum Decode {
    /// Not at all, or not known yet.
    None,
    /// On this thread.
    Here(Decoder),
    /// On several others.
    Beside(Parallel),
}

/// What comes behind decompression.
struct Stages<'a> {
    plan: &'a Plan,
    access: Option<Access>,
    /// Size of the decoded file, where it is known.
    decoded_bytes: Option<Bytes>,
    /// The first bytes of the decoded file, until there are enough of them to be judged.
    head: Vec<u8>,
    begun: Option<Begun>,
    hashing: Option<(SyncSender<Chunk>, Hashing)>,
    decoded_digest: Option<Digest>,
    pool: Pool,
    waited: Duration,
}

/// What exists once the first bytes have been judged.
struct Begun {
    format: format::Open,
    disk: Disk,
}

/// All is on the disk but the ends.
pub(super) struct Ended {
    pub(super) disk: Disk,
    pub(super) format: &'static str,
    pub(super) notes: Vec<String>,
    pub(super) compression: Option<Compression>,
    pub(super) image_bytes: Bytes,
    pub(super) done: Done,
    pub(super) decoded_digest: Option<Digest>,
    pub(super) decode: Duration,
    pub(super) flush: Duration,
}

impl<'a> Sink<'a> {
    pub(super) fn new(plan: &'a Plan, access: Access, served_bytes: Option<u64>, pool: Pool) -> Self {
        let stages = Stages {
            plan,
            access: Some(access),
            decoded_bytes: served_bytes.map(Bytes),
            head: Vec::new(),
            begun: None,
            hashing: plan.decoded.as_ref().map(|decoded| Hashing::start(decoded.algorithm(), pool.count())),
            decoded_digest: None,
            pool,
            waited: Duration::ZERO,
        };
        Self { stages, decoder: Decode::None, events: None, compression: None, started: false, busy: Duration::ZERO }
    }

    /// Whether more than the first bytes have been looked at. Decoders on other threads may be behind the bytes that
    /// make no sense.
    pub(super) fn has_begun(&self) -> bool {
        self.stages.begun.is_some() || matches!(self.decoder, Decode::Beside(_))
    }

    /// Says where [`Event::Ready`] goes in the pass that begins.
    pub(super) fn listen(&mut self, events: Sender<Event>) {
        self.events = Some(events);
    }

    /// Takes what decoders on other threads have ready.
    pub(super) fn ready(&mut self) -> Result<(), ImageError> {
        match &mut self.decoder {
            Decode::Beside(decoder) => decoder.ready(&mut |decoded| self.stages.decoded(decoded)),
            _ => Ok(()),
        }
    }

    /// Takes the next piece of the file.
    pub(super) fn push(&mut self, chunk: Chunk) -> Result<(), ImageError> {
        let started = Instant::now();
        if !std::mem::replace(&mut self.started, true) {
            // A disk with a partition table may begin with any boot code.
            self.compression = Compression::detect(&chunk).filter(|_| !inspect::has_partitions(&chunk));
            if let Some(compression) = self.compression {
                let events = self.events.take();
                let beside = events.and_then(|e| Parallel::new(compression, &chunk, &self.stages.pool, &e));
                self.decoder = match beside {
                    Some(parallel) => Decode::Beside(parallel),
                    None => Decode::Here(Decoder::new(compression)?),
                };
                // Neither the size nor the places of a compressed file are those of the image in it.
                self.stages.decoded_bytes = None;
                self.stages.access = None;
            }
        }
        let pool = self.stages.pool.clone();
        let result = match &mut self.decoder {
            Decode::None => self.stages.decoded(chunk),
            Decode::Here(decoder) => {
                decoder.push(&chunk, &|| pool.take_blocking(), &mut |decoded| self.stages.decoded(decoded))
            }
            Decode::Beside(decoder) => decoder.push(&chunk, &mut |decoded| self.stages.decoded(decoded)),
        };
        self.busy += started.elapsed();
        result
    }

    /// The file is complete: brings everything but the ends to the medium; nothing when the format wants the file
    /// once more.
    pub(super) fn end(&mut self) -> Result<Option<Ended>, ImageError> {
        let started = Instant::now();
        let pool = self.stages.pool.clone();
        match std::mem::replace(&mut self.decoder, Decode::None) {
            Decode::None => {}
            Decode::Here(mut decoder) => {
                decoder.finish(&|| pool.take_blocking(), &mut |decoded| self.stages.decoded(decoded))?;
                self.stages.waited += decoder.waited();
            }
            Decode::Beside(mut decoder) => {
                decoder.finish(&mut |decoded| self.stages.decoded(decoded))?;
                self.busy += decoder.busy();
            }
        }
        self.started = false;
        self.stages.complete()?;
        let Some(Begun { mut format, mut disk }) = self.stages.begun.take() else {
            return Err(ImageError::Invalid("The image is empty".to_string()));
        };
        let finished = format.stage.finish(&mut |extent| disk.put(extent))?;
        self.busy += started.elapsed();
        if let Some((sender, hashing)) = self.stages.hashing.take() {
            drop(sender);
            self.stages.decoded_digest = Some(hashing.finish().0);
        }
        let Finished::Complete(image_bytes) = finished else {
            self.stages.begun = Some(Begun { format, disk });
            return Ok(None);
        };
        let flushing = Instant::now();
        let done = disk.flush()?;
        Ok(Some(Ended {
            disk,
            format: format.name,
            notes: format.notes,
            compression: self.compression,
            image_bytes,
            done,
            decoded_digest: self.stages.decoded_digest.clone(),
            decode: self.busy.saturating_sub(self.stages.waited),
            flush: flushing.elapsed(),
        }))
    }
}

impl Stages<'_> {
    /// Takes the next piece of the decoded file. Small pieces at its beginning (decoders of many parts give them) are put
    /// together until all signs of a format can be seen.
    fn decoded(&mut self, chunk: Chunk) -> Result<(), ImageError> {
        if self.begun.is_some() {
            return self.pass(chunk);
        }
        if self.head.is_empty() && chunk.len() >= HEAD_BYTES {
            self.begin(&chunk)?;
            return self.pass(chunk);
        }
        let missing = HEAD_BYTES.saturating_sub(self.head.len()).min(chunk.len());
        self.head.extend_from_slice(&chunk[..missing]);
        if self.head.len() < HEAD_BYTES {
            return Ok(());
        }
        self.complete()?;
        if missing == chunk.len() { Ok(()) } else { self.pass(chunk.slice(missing..chunk.len())) }
    }

    /// The first bytes are complete.
    fn complete(&mut self) -> Result<(), ImageError> {
        let head = std::mem::take(&mut self.head);
        if head.is_empty() {
            return Ok(());
        }
        if self.begun.is_none() {
            self.begin(&head)?;
        }
        // None of the common buffers: others may wait for those that are in hand here.
        let mut buffer = Pool::new(Bytes(HEAD_BYTES as u64), HEAD_BYTES).take_blocking();
        buffer[..head.len()].copy_from_slice(&head);
        self.pass(buffer.freeze(head.len()))
    }

    fn begin(&mut self, head: &[u8]) -> Result<(), ImageError> {
        self.begun = Some(Begun::with(head, self.plan, self.access.take(), self.decoded_bytes)?);
        Ok(())
    }

    /// Brings a piece to the disk.
    fn pass(&mut self, chunk: Chunk) -> Result<(), ImageError> {
        let Some(begun) = &mut self.begun else { return Ok(()) };
        if let Some((sender, _)) = &self.hashing {
            // The thread ends only after the sender.
            let _ = sender.send(chunk.clone());
        }
        let (disk, waited) = (&mut begun.disk, &mut self.waited);
        begun.format.stage.push(chunk, &mut |extent| {
            let started = Instant::now();
            let result = disk.put(extent);
            *waited += started.elapsed();
            result
        })
    }
}

impl Begun {
    /// Judges the first bytes; only then is anything written.
    fn with(
        first: &[u8],
        plan: &Plan,
        access: Option<Access>,
        decoded_bytes: Option<Bytes>,
    ) -> Result<Self, ImageError> {
        let format = format::open(&plan.expected, first, decoded_bytes, access)?;
        let target = (plan.open)()?;
        if let Some(image) = format.disk_bytes
            && image > target.size()
        {
            let device = target.name().to_string();
            return Err(ImageError::TooLarge { image, device, capacity: target.size() });
        }
        if let Some(head) = &format.head {
            plan.check_table(head, format.disk_bytes, &*target)?;
        }
        Ok(Self { format, disk: Disk::begin(target, plan.read_back)? })
    }
}
