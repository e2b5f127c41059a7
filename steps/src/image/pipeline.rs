//! Joins the stages; the only place that knows their order.
//!
//! ```text
//! source ─┬─► digest                        one thread
//!         └─► decode ─► format ─► disk ─►   this thread, then several writers; zstd, xz, bzip2 on several before it
//! ```
//! Buffers come from fixed pools, so a slow stage makes the ones before it wait.

mod sink;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use ferric_hardware::units::Bytes;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use self::sink::{Ended, Sink};
use super::decode::Compression;
use super::digest::Hashing;
use super::disk::{Done, Target};
use super::inspect::{Expected, table};
use super::source::{Event, Feed, Received, Source};
use super::{Decoded, Digest, ImageError, Pool, ReadBack, Verify};
use crate::progress::Progress;

/// Size of each buffer: large enough for fast disks, small enough for caches.
const BUFFER_BYTES: usize = 1 << 20;

/// What one try does to the bytes of a source.
pub(crate) struct Plan {
    pub(crate) verify: Verify,
    pub(crate) decoded: Option<Decoded>,
    pub(crate) expected: Expected,
    pub(crate) buffer_budget: Bytes,
    pub(crate) read_back: bool,
    /// Opens what is written to; called when the first bytes have been judged.
    pub(crate) open: Box<dyn Fn() -> Result<Arc<dyn Target>, ImageError> + Send + Sync>,
}

impl Plan {
    /// Checks the partition table of an image that is to be a whole disk. `head` is its beginning; its size may be known.
    fn check_table(&self, head: &[u8], image: Option<Bytes>, target: &dyn Target) -> Result<(), ImageError> {
        if self.expected.is_partition {
            return Ok(());
        }
        let disk = table::Disk { name: target.name().to_string(), size: target.size(), block: target.block() };
        Ok(table::check(head, image, &disk)?)
    }
}

/// What came of one try.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) received: Received,
    pub(crate) format: &'static str,
    pub(crate) compression: Option<Compression>,
    pub(crate) image_bytes: Bytes,
    pub(crate) done: Done,
    pub(crate) digest: Option<(Digest, Duration)>,
    pub(crate) decoded_digest: Option<Digest>,
    pub(crate) decode: Duration,
    pub(crate) commit: Duration,
    pub(crate) read_back: Option<ReadBack>,
}

/// Runs one try to its end; `reopen` opens the source once more, for formats that need a further pass. Blocks.
pub(crate) fn run(
    plan: &Plan,
    source: Source,
    reopen: &dyn Fn() -> Result<Source, ImageError>,
    progress: &Progress,
    cancel: &CancellationToken,
    handle: &Handle,
) -> Result<Written, ImageError> {
    let half = Bytes(plan.buffer_budget.0 / 2);
    let pools = [Pool::new(half, BUFFER_BYTES), Pool::new(half, BUFFER_BYTES)];
    let [served, decoded] = &pools;
    let mut sink = Sink::new(plan, source.access(), source.total_bytes(), decoded.clone());
    let passes = Passes { plan, pool: served, progress, cancel, handle };
    let (mut received, mut digest, mut ended) = passes.run(source, &mut sink)?;
    let mut count = 1;
    let ended = loop {
        if let Some(ended) = ended {
            break ended;
        }
        let before = received;
        (received, digest, ended) = passes.run(reopen()?, &mut sink)?;
        received.resumes += before.resumes;
        received.busy += before.busy;
        received.notes.splice(0..0, before.notes);
        count += 1;
    };
    if count > 1 {
        received.notes.push(format!("The tables of the image come after its data: the file was read {count} times"));
    }
    if cancel.is_cancelled() {
        return Err(ImageError::Cancelled);
    }
    if let (Some(Decoded::Verify(expected)), Some(actual)) = (&plan.decoded, &ended.decoded_digest)
        && expected != actual
    {
        return Err(ImageError::DecodedChecksum { expected: expected.clone(), actual: actual.clone() });
    }
    // Of a compressed image neither the size nor, in some formats, the beginning was known before.
    plan.check_table(ended.disk.head(ended.image_bytes), Some(ended.image_bytes), ended.disk.target())?;
    received.notes.extend(ended.notes);
    let committed = ended.disk.commit(ended.image_bytes)?;
    Ok(Written {
        received,
        format: ended.format,
        compression: ended.compression,
        image_bytes: ended.image_bytes,
        done: Done { written: ended.done.written + committed.written, ..ended.done },
        digest,
        decoded_digest: ended.decoded_digest,
        decode: ended.decode,
        commit: ended.flush + committed.duration,
        read_back: committed.read_back,
    })
}

/// What every pass over the file needs.
struct Passes<'a> {
    plan: &'a Plan,
    pool: &'a Pool,
    progress: &'a Progress,
    cancel: &'a CancellationToken,
    handle: &'a Handle,
}

/// What one pass brought: the source's account, the digest and its cost, and what is on the disk unless the format
/// needs another pass.
type Pass = (Received, Option<(Digest, Duration)>, Option<Ended>);

impl Passes<'_> {
    /// Lets the whole file through, and verifies it.
    fn run(&self, source: Source, sink: &mut Sink<'_>) -> Result<Pass, ImageError> {
        self.progress.total(source.total_bytes().unwrap_or(0));
        self.progress.done(0);
        let (sender, events) = channel();
        let (digest, hashing) = match &self.plan.verify {
            Verify::Digest(expected) => {
                let (sender, thread) = Hashing::start(expected.algorithm, self.pool.count());
                (Some(sender), Some(thread))
            }
            Verify::Unchecked => (None, None),
        };
        sink.listen(sender.clone());
        let receiving = source.start(Feed::new(self.pool.clone(), sender, digest), self.handle);

        let defect = match flow(&events, sink, self.progress, self.cancel) {
            Ok(()) => None,
            // Bytes that make no sense were perhaps damaged on their way: then the digest of all says so.
            Err(error @ ImageError::Invalid(_)) if sink.has_begun() => {
                events.iter().take_while(|event| !matches!(event, Event::End)).for_each(drop);
                Some(error)
            }
            Err(error) => return Err(error),
        };
        let received = receiving.join()?;
        let ended = match defect {
            Some(error) => Err(error),
            None => sink.end(),
        };
        let digest = match hashing.map(Hashing::finish) {
            Some((actual, busy)) => Some((self.verify(actual, &received)?, busy)),
            None => None,
        };
        Ok((received, digest, ended?))
    }

    /// The digest that was promised, if the content of the file has it, or what was sent of it in a coding of HTTP: that is
    /// what the file was when somebody wrote its checksum down.
    fn verify(&self, actual: Digest, received: &Received) -> Result<Digest, ImageError> {
        let Verify::Digest(expected) = &self.plan.verify else { return Ok(actual) };
        let sent = received.coded.as_ref().and_then(|coded| coded.digest.as_ref());
        if actual == *expected || sent == Some(expected) {
            return Ok(expected.clone());
        }
        let coding = received.coded.as_ref().map(|coded| coded.name);
        Err(ImageError::Checksum { expected: expected.clone(), actual, coding })
    }
}

/// Lets everything through the stages of this thread.
fn flow(
    events: &Receiver<Event>,
    sink: &mut Sink<'_>,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<(), ImageError> {
    for event in events {
        if cancel.is_cancelled() {
            return Err(ImageError::Cancelled);
        }
        match event {
            Event::Bytes(chunk) => {
                let bytes = chunk.len() as u64;
                sink.push(chunk)?;
                progress.add(bytes);
            }
            Event::Ready => sink.ready()?,
            Event::End => break,
        }
    }
    Ok(())
}
