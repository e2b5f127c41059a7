//! A body that is said to be in a coding of HTTP, decoded on the way. Stores repeat what the one who uploaded it said, true
//! or not, and checksum files are made of files, not of bodies: so the digest decides, of the content or of what was sent.

use super::{Closed, Feed};
use crate::http::coding::Coding;
use crate::image::decode::{Compression, Members};
use crate::image::digest::Hasher;
use crate::image::{Algorithm, Digest, ImageError};

/// What is known of a coded body at its end.
#[derive(Debug)]
pub(crate) struct Coded {
    /// The coding's name.
    pub(crate) name: &'static str,
    /// Whether the body really was in it.
    pub(crate) is_true: bool,
    /// The digest of the body as sent, if one is to be compared.
    pub(crate) digest: Option<Digest>,
}

/// Takes a body apart. Its state outlives connections: the next one goes on in the coded bytes.
pub(super) struct Decoding {
    coding: Coding,
    state: State,
    hashing: Option<(Algorithm, Hasher)>,
}

enum State {
    /// So few bytes have come that they say nothing yet.
    Undecided(Vec<u8>),
    Coded(Box<Members>),
    /// It is not in that coding.
    Plain,
}

impl Decoding {
    /// `algorithm` is that of the digest that will be compared, if there is one.
    pub(super) fn new(coding: Coding, algorithm: Option<Algorithm>) -> Self {
        let hashing = algorithm.map(|algorithm| (algorithm, Hasher::new(algorithm)));
        Self { coding, state: State::Undecided(Vec::new()), hashing }
    }

    /// Takes the next bytes.
    pub(super) async fn put(&mut self, bytes: &[u8], feed: &mut Feed) -> Result<Result<(), Closed>, ImageError> {
        if let Some((_, hasher)) = &mut self.hashing {
            hasher.update(bytes);
        }
        match &mut self.state {
            State::Undecided(first) => {
                first.extend_from_slice(bytes);
                match first.len() < Coding::FIRST_BYTES {
                    true => Ok(Ok(())),
                    false => self.decide(feed).await,
                }
            }
            State::Coded(members) => feed.decode(bytes, members).await,
            State::Plain => Ok(feed.put(bytes).await),
        }
    }

    /// The body is complete.
    pub(super) async fn end(mut self, feed: &mut Feed) -> Result<Coded, ImageError> {
        // Nobody takes the last piece when the other stages have failed.
        let _ = self.decide(feed).await?;
        if let State::Coded(members) = &self.state {
            members.end()?;
        }
        let digest = self.hashing.map(|(algorithm, hasher)| Digest { algorithm, value: hasher.finish() });
        Ok(Coded { name: self.coding.name(), is_true: matches!(self.state, State::Coded(_)), digest })
    }

    async fn decide(&mut self, feed: &mut Feed) -> Result<Result<(), Closed>, ImageError> {
        let State::Undecided(first) = &mut self.state else { return Ok(Ok(())) };
        let first = std::mem::take(first);
        // Without a digest nothing would tell which of the two is meant.
        if self.hashing.is_some() && !self.coding.fits(&first) {
            self.state = State::Plain;
            return Ok(feed.put(&first).await);
        }
        let members = State::Coded(Box::new(Members::new(compression(self.coding))?));
        self.state = members;
        match &mut self.state {
            State::Coded(members) => feed.decode(&first, members).await,
            _ => Ok(Ok(())),
        }
    }
}

fn compression(coding: Coding) -> Compression {
    match coding {
        Coding::Gzip => Compression::Gzip,
        Coding::Deflate => Compression::Deflate,
        Coding::Zstd => Compression::Zstd,
    }
}
