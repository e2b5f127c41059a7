//! Bytes from one or many URLs or a file, in order, in full buffers.

mod coded;
mod file;
mod object;
mod transfer;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

pub(crate) use self::coded::Coded;
use self::file::{FileAccess, FileSource};
use self::transfer::{HttpAccess, Transfer};
use super::buffer::Buffer;
use super::decode::Members;
use super::{Algorithm, Chunk, ImageError, Location, Pool, RandomAccess};
use crate::http::{HttpOptions, Login};
use crate::options::Retries;
use crate::progress::Progress;

/// How servers are asked.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// Who we are, whom we believe, which way.
    pub(crate) http: HttpOptions,
    /// Who we are to a registry.
    pub(crate) login: Option<Arc<Login>>,
    /// When to try again, and when to give up.
    pub(crate) retries: Retries,
    /// The algorithm of the digest that will be compared; bytes of different servers may be joined only then.
    pub(crate) algorithm: Option<Algorithm>,
    /// Where trouble is shown.
    pub(crate) progress: Progress,
    /// Stops it.
    pub(crate) cancel: CancellationToken,
}

/// An open source: its first answer is there, none of its bytes are read.
pub(crate) enum Source {
    Http(Box<Transfer>),
    File(FileSource),
}

/// What a source did.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// Bytes of the file, as coded for transport.
    pub(crate) bytes: u64,
    /// How often it went on where it had stopped.
    pub(crate) resumes: u32,
    /// Time spent on waiting for bytes and moving them.
    pub(crate) busy: Duration,
    /// Where the last bytes came from.
    pub(crate) location: String,
    /// The coding of HTTP that the bytes came in, or were said to come in.
    pub(crate) coded: Option<Coded>,
    /// What was out of the ordinary.
    pub(crate) notes: Vec<String>,
}

impl Source {
    /// Opens the first of `locations` that answers.
    pub(crate) async fn open(locations: &[Location], terms: &Terms) -> Result<Self, ImageError> {
        let file = locations.iter().find_map(|location| match location {
            Location::File(path) => Some(path),
            Location::Http(_) => None,
        });
        match file {
            // What is here already needs no network.
            Some(path) => FileSource::open(path).map(Self::File),
            None => Ok(Self::Http(Box::new(Transfer::open(locations, terms.clone()).await?))),
        }
    }

    /// Size of the file, where it is known before its end.
    pub(crate) fn total_bytes(&self) -> Option<u64> {
        match self {
            Self::Http(transfer) => transfer.total_bytes(),
            Self::File(file) => Some(file.total_bytes()),
        }
    }

    /// Where the bytes come from now.
    pub(crate) fn location(&self) -> Option<Location> {
        match self {
            Self::Http(transfer) => transfer.location(),
            Self::File(file) => Some(Location::File(file.path().to_path_buf())),
        }
    }

    /// The way to random access to the same bytes, for a stage that turns out to need it.
    pub(crate) fn access(&self) -> Access {
        match self {
            Self::Http(transfer) => Access::Http(transfer.access().map(Box::new)),
            Self::File(file) => Access::File(file.access()),
        }
    }

    /// Lets the bytes flow into `feed`, beside the caller.
    pub(crate) fn start(self, feed: Feed, handle: &Handle) -> Receiving {
        let (done, outcome) = sync_channel(1);
        match self {
            Self::Http(transfer) => {
                handle.spawn(async move {
                    // Nobody waits any more when the other stages have failed.
                    let _ = done.send(transfer.run(feed).await);
                });
            }
            Self::File(file) => {
                std::thread::spawn(move || {
                    let _ = done.send(file.run(feed));
                });
            }
        }
        Receiving(outcome)
    }
}

/// The way to random access; nothing is asked of a server before [`Access::open`].
pub(crate) enum Access {
    Http(Option<Box<HttpAccess>>),
    File(Option<FileAccess>),
}

impl Access {
    /// Random access, where the source has it; the file begins with `known`. Blocks: a server is asked for a part of that.
    pub(crate) fn open(self, known: &[u8]) -> Option<Box<dyn RandomAccess>> {
        match self {
            Self::Http(access) => access.filter(|access| access.works(known)).map(|access| access as _),
            Self::File(access) => access.map(|access| Box::new(access) as _),
        }
    }
}

/// A source whose bytes flow.
pub(crate) struct Receiving(Receiver<Result<Received, ImageError>>);

impl Receiving {
    /// Waits for the end of the flow.
    pub(crate) fn join(self) -> Result<Received, ImageError> {
        // The sender is lost only with the runtime itself.
        self.0.recv().unwrap_or(Err(ImageError::Cancelled))
    }
}

/// What the stages behind a source are told. Their number is bounded by that of the buffers.
pub(crate) enum Event {
    /// The next bytes of the file.
    Bytes(Chunk),
    /// A stage that works beside has something ready.
    Ready,
    /// The source has come to its end, good or bad.
    End,
}

/// Where a source puts its bytes: full buffers, to every stage that wants them.
pub(crate) struct Feed {
    pool: Pool,
    events: Sender<Event>,
    digest: Option<SyncSender<Chunk>>,
    buffer: Option<(Buffer, usize)>,
    waited: Duration,
}

/// Nobody takes bytes any more.
#[derive(Debug)]
pub(crate) struct Closed;

impl Feed {
    /// A feed to channels that can hold all buffers of the pool, so that only the pool makes it wait.
    pub(crate) fn new(pool: Pool, events: Sender<Event>, digest: Option<SyncSender<Chunk>>) -> Self {
        Self { pool, events, digest, buffer: None, waited: Duration::ZERO }
    }

    /// Copies `bytes` into buffers and sends those that are full.
    async fn put(&mut self, mut bytes: &[u8]) -> Result<(), Closed> {
        while !bytes.is_empty() {
            let room = self.room().await;
            let part = bytes.len().min(room.len());
            room[..part].copy_from_slice(&bytes[..part]);
            bytes = &bytes[part..];
            self.advance(part)?;
        }
        Ok(())
    }

    /// As [`Feed::put`], for `bytes` that are still compressed.
    async fn decode(&mut self, mut bytes: &[u8], members: &mut Members) -> Result<Result<(), Closed>, ImageError> {
        loop {
            let room = self.room().await;
            let size = room.len();
            let step = members.run(bytes, room)?;
            bytes = &bytes[step.consumed..];
            if self.advance(step.produced).is_err() {
                return Ok(Err(Closed));
            }
            // A full room may mean that there is more to come of bytes that are consumed.
            if bytes.is_empty() && step.produced < size {
                return Ok(Ok(()));
            }
        }
    }

    /// Where the next bytes go.
    async fn room(&mut self) -> &mut [u8] {
        let (buffer, filled) = match self.buffer.take() {
            Some(begun) => begun,
            None => {
                let started = Instant::now();
                let buffer = self.pool.take().await;
                self.waited += started.elapsed();
                (buffer, 0)
            }
        };
        let (buffer, filled) = self.buffer.insert((buffer, filled));
        &mut buffer[*filled..]
    }

    /// So many bytes have gone into the room; a full buffer is sent.
    fn advance(&mut self, bytes: usize) -> Result<(), Closed> {
        match &mut self.buffer {
            Some((buffer, filled)) => {
                *filled += bytes;
                if *filled == buffer.len() { self.send() } else { Ok(()) }
            }
            None => Ok(()),
        }
    }

    /// Sends what is in the buffer.
    fn send(&mut self) -> Result<(), Closed> {
        let Some((buffer, filled)) = self.buffer.take().filter(|(_, filled)| *filled > 0) else { return Ok(()) };
        let chunk = buffer.freeze(filled);
        if let Some(digest) = &self.digest {
            digest.send(chunk.clone()).map_err(|_| Closed)?;
        }
        self.events.send(Event::Bytes(chunk)).map_err(|_| Closed)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // Nobody listens any more when the other stages have failed.
        let _ = self.events.send(Event::End);
    }
}
