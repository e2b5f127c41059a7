//! An image as a stream, for a program that writes it itself: its last bytes come when all of them are verified.

use std::sync::mpsc::{Receiver, channel};

use ferric_hardware::units::Bytes;
use tokio::runtime::Handle;

use super::digest::Hashing;
use super::source::{Event, Feed, Receiving, Source, Terms};
use super::{Chunk, Digest, ImageError, Location, Pool};

/// Size of each piece.
const BUFFER_BYTES: usize = 1 << 20;

/// An image on its way. Whoever drops it before its end stops it.
pub(crate) struct Stream {
    total_bytes: Option<u64>,
    events: Receiver<Event>,
    /// The last piece that came: it may be the last of all.
    held: Option<Chunk>,
    rest: Option<(Receiving, Hashing)>,
    expected: Digest,
}

impl Stream {
    /// Opens the first of the image's locations that answers.
    ///
    /// # Errors
    /// Those of a download.
    pub(crate) async fn open(
        locations: &[Location],
        terms: &Terms,
        expected: Digest,
        buffer_budget: Bytes,
    ) -> Result<Self, ImageError> {
        let source = Source::open(locations, terms).await?;
        let total_bytes = source.total_bytes();
        let pool = Pool::new(buffer_budget, BUFFER_BYTES);
        let (sender, events) = channel();
        let (digest, hashing) = Hashing::start(expected.algorithm, pool.count());
        let receiving = source.start(Feed::new(pool, sender, Some(digest)), &Handle::current());
        Ok(Self { total_bytes, events, held: None, rest: Some((receiving, hashing)), expected })
    }

    /// Size of the file as served, where it is known before its end.
    pub(crate) fn total_bytes(&self) -> Option<u64> {
        self.total_bytes
    }

    /// Whether all bytes have been verified: the last piece was handed out.
    pub(crate) fn is_verified(&self) -> bool {
        self.rest.is_none()
    }

    /// The next piece; nothing at the end. Blocks.
    ///
    /// # Errors
    /// Those of a download; [`ImageError::Checksum`] in the place of the last piece.
    pub(crate) fn next(&mut self) -> Result<Option<Chunk>, ImageError> {
        loop {
            match self.events.recv() {
                Ok(Event::Bytes(chunk)) => {
                    if let Some(before) = self.held.replace(chunk) {
                        return Ok(Some(before));
                    }
                }
                Ok(Event::Ready) => {}
                Ok(Event::End) | Err(_) => break,
            }
        }
        let Some((receiving, hashing)) = self.rest.take() else { return Ok(None) };
        let coded = receiving.join()?.coded;
        let (actual, _) = hashing.finish();
        // A checksum may have been made of what is sent in a coding of HTTP.
        let sent = coded.as_ref().and_then(|coded| coded.digest.as_ref());
        if actual != self.expected && sent != Some(&self.expected) {
            let coding = coded.map(|coded| coded.name);
            return Err(ImageError::Checksum { expected: self.expected.clone(), actual, coding });
        }
        Ok(self.held.take())
    }
}
