//! One file from a server to a disk: goes on where it stopped, and is what it should be in the end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{ETAG, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE};
use reqwest::{Client, Response, StatusCode};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

use super::checksum::{Checksum, Digests};
use crate::http;
use crate::mask;

/// Pauses before further tries; bytes that come start them again.
const PAUSES_SECONDS: [u64; 7] = [1, 2, 4, 8, 16, 32, 60];
/// As often as there are pauses, and once more.
const TRIES: usize = PAUSES_SECONDS.len() + 1;
/// A try that brought so many bytes brought something.
const PROGRESS_BYTES: u64 = 1 << 20;
/// Of a file whose length nobody says, room is made for so much at a time.
const UNANNOUNCED_BYTES: u64 = 64 << 20;
/// Larger files are no boot media and no images of disks.
const MAX_BYTES: u64 = 1 << 40;

/// Why a file is not here.
#[derive(Debug, Error)]
pub enum TransferError {
    /// By the server, after all tries.
    #[error("{url}: {reason}")]
    Server {
        /// Where, without what is secret.
        url: String,
        /// What it said.
        reason: String,
        /// Whether it may be other another time.
        may_pass: bool,
    },
    /// By its digest.
    #[error("{url} has the checksum {actual} instead of {expected}")]
    Digest {
        /// Where, without what is secret.
        url: String,
        /// What it should be.
        expected: Box<Checksum>,
        /// Of what came.
        actual: Box<Checksum>,
    },
    /// There is no place for it.
    #[error("{url}: {reason}")]
    NoRoom {
        /// Where, without what is secret.
        url: String,
        /// How much there would have to be.
        reason: String,
    },
    /// By the disk.
    #[error("{}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        cause: io::Error,
    },
}

/// How far a file has come: bytes here, and in all where that is known.
pub type OnProgress<'a> = &'a mut (dyn FnMut(u64, Option<u64>) + Send);

/// Makes room for so many bytes, or says why there is none.
pub type MakeRoom<'a> = &'a (dyn Fn(u64) -> Result<(), String> + Send + Sync);

/// What a server says of the version that it has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    etag: Option<String>,
    last_modified: Option<String>,
}

impl Version {
    fn of(response: &Response) -> Self {
        let text = |name: HeaderName| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        Self { etag: text(ETAG), last_modified: text(LAST_MODIFIED) }
    }

    /// What a range is asked for with, so that it is one of the same version.
    fn for_range(&self) -> Option<&str> {
        self.etag.as_deref().filter(|tag| !tag.starts_with("W/")).or(self.last_modified.as_deref())
    }
}

/// A file that is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// Where it is.
    pub url: &'a Url,
    /// What it must be.
    pub checksum: Option<&'a Checksum>,
    /// The version that is here already.
    pub known: Option<&'a Version>,
    /// How often at most it is asked for without anything coming.
    pub tries: usize,
}

/// What came of an order.
#[derive(Debug)]
pub enum Transfer {
    /// The server has what is here already.
    Same,
    /// Another one came.
    New {
        /// Of what version.
        version: Version,
        /// Its digest.
        sha256: [u8; 32],
    },
}

/// Brings a file to `target`. One that is there with this digest stays; of one that is there in part, the rest is fetched.
///
/// # Errors
/// When it cannot be had or has another digest; nothing is at `target` then.
pub async fn fetch(
    client: &Client,
    url: &Url,
    sha256: &[u8; 32],
    target: &Path,
    progress: OnProgress<'_>,
) -> Result<(), TransferError> {
    match digest_of(target).await {
        Ok(actual) if actual == *sha256 => return Ok(()),
        Ok(_) => fs::remove_file(target).map_err(failed(target))?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(target)(error)),
    }
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = target.with_file_name(name);
    let order = Order { url, checksum: Some(&Checksum::Sha256(*sha256)), known: None, tries: TRIES };
    bring(client, order, &part, &|_| Ok(()), progress).await?;
    fs::rename(&part, target).map_err(failed(target))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> TransferError + use<> {
    let path = path.to_owned();
    move |cause| TransferError::File { path, cause }
}

/// Brings a file to `part`, durable. Where there is a checksum to tell, it goes on with what is there already.
///
/// # Errors
/// When it cannot be had or is not what it should be.
pub async fn bring(
    client: &Client,
    order: Order<'_>,
    part: &Path,
    make_room: MakeRoom<'_>,
    progress: OnProgress<'_>,
) -> Result<Transfer, TransferError> {
    let Order { url, checksum, .. } = order;
    let shown = || mask::text(url.as_str());
    let mut open = OpenOptions::new();
    open.read(true).write(true).create(true).truncate(checksum.is_none()).mode(0o600);
    let file = open.open(part).map_err(failed(part))?;
    let mut partial = Partial::new(file, checksum).map_err(failed(part))?;
    let mut failures = 0;
    loop {
        let before = partial.bytes;
        let refusal = match partial.go_on(client, order, make_room, progress).await {
            Ok(true) => break,
            Ok(false) => return Ok(Transfer::Same),
            Err(Stop::Disk(cause)) => return Err(failed(part)(cause)),
            Err(Stop::NoRoom(reason)) => return Err(TransferError::NoRoom { url: shown(), reason }),
            Err(Stop::Server(refusal)) => refusal,
        };
        if partial.bytes >= before + PROGRESS_BYTES {
            failures = 0;
        }
        let Refusal { reason, may_pass } = refusal;
        match PAUSES_SECONDS.get(failures).filter(|_| may_pass && failures + 1 < order.tries) {
            None => return Err(TransferError::Server { url: shown(), reason, may_pass }),
            Some(seconds) => {
                tracing::warn!(url = shown(), reason, bytes = partial.bytes, seconds, "going on in a while");
                tokio::time::sleep(Duration::from_secs(*seconds)).await;
            }
        }
        failures += 1;
    }
    if let Some(expected) = checksum {
        let actual = partial.digests.like(expected);
        if actual != *expected {
            fs::remove_file(part).map_err(failed(part))?;
            return Err(TransferError::Digest {
                url: shown(),
                expected: Box::new(expected.clone()),
                actual: Box::new(actual),
            });
        }
    }
    partial.file.sync_all().map_err(failed(part))?;
    Ok(Transfer::New { version: partial.version, sha256: partial.digests.sha256() })
}

/// The digest of a file that is here.
async fn digest_of(path: &Path) -> io::Result<[u8; 32]> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let mut digests = Digests::default();
        digests.read(&mut File::open(path)?)?;
        Ok(digests.sha256())
    });
    read.await.map_err(io::Error::other)?
}

/// Why a try ended.
enum Stop {
    Server(Refusal),
    Disk(io::Error),
    NoRoom(String),
}

struct Refusal {
    reason: String,
    may_pass: bool,
}

/// A file that is here in part.
struct Partial<'a> {
    file: File,
    bytes: u64,
    digests: Digests,
    checksum: Option<&'a Checksum>,
    /// Of what is here; unknown when another process brought it.
    version: Version,
}

impl<'a> Partial<'a> {
    fn new(mut file: File, checksum: Option<&'a Checksum>) -> io::Result<Self> {
        let mut digests = Digests::for_checksum(checksum);
        let bytes = digests.read(&mut file)?;
        Ok(Self { file, bytes, digests, checksum, version: Version::default() })
    }

    fn start_again(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        (self.bytes, self.digests) = (0, Digests::for_checksum(self.checksum));
        Ok(())
    }

    /// One request for what is missing; false when nothing is, because what is known is still what there is.
    async fn go_on(
        &mut self,
        client: &Client,
        order: Order<'_>,
        make_room: MakeRoom<'_>,
        progress: OnProgress<'_>,
    ) -> Result<bool, Stop> {
        let mut request = client.get(order.url.clone());
        // Without either, two versions could get mixed and nobody would notice.
        if self.bytes > 0 && self.checksum.is_none() && self.version.for_range().is_none() {
            self.start_again().map_err(Stop::Disk)?;
        }
        if self.bytes > 0 {
            request = request.header(RANGE, format!("bytes={}-", self.bytes));
            if let Some(version) = self.version.for_range() {
                request = request.header(IF_RANGE, version);
            }
        } else if let Some(known) = order.known {
            match (&known.etag, &known.last_modified) {
                (Some(tag), _) => request = request.header(IF_NONE_MATCH, tag),
                (None, Some(date)) => request = request.header(IF_MODIFIED_SINCE, date),
                (None, None) => {}
            }
        }
        let mut response = request.send().await.map_err(broken)?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if self.bytes > 0 && starts_at(&response, self.bytes) => {}
            // All of it is here, or it has become shorter: the digest tells.
            StatusCode::RANGE_NOT_SATISFIABLE if self.bytes > 0 && self.checksum.is_some() => return Ok(true),
            StatusCode::NOT_MODIFIED if self.bytes == 0 && order.known.is_some() => return Ok(false),
            StatusCode::OK => self.start_again().map_err(Stop::Disk)?,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                self.start_again().map_err(Stop::Disk)?;
                let reason = "another part than was asked for".to_owned();
                return Err(Stop::Server(Refusal { reason, may_pass: true }));
            }
            status => {
                let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
                let may_pass = status.is_server_error() || passing.contains(&status);
                return Err(Stop::Server(Refusal { reason: format!("the server answers {status}"), may_pass }));
            }
        }
        self.version = Version::of(&response);
        let total = response.content_length().map(|rest| self.bytes + rest);
        let mut room = total.unwrap_or(self.bytes);
        make_room(room).map_err(Stop::NoRoom)?;
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            self.bytes += chunk.len() as u64;
            if self.bytes > MAX_BYTES {
                return Err(Stop::Server(Refusal { reason: "the file does not end".to_owned(), may_pass: false }));
            }
            if self.bytes > room {
                room = self.bytes + UNANNOUNCED_BYTES;
                make_room(room).map_err(Stop::NoRoom)?;
            }
            self.digests.update(&chunk);
            self.file.write_all(&chunk).map_err(Stop::Disk)?;
            progress(self.bytes, total);
        }
        match total.filter(|total| *total != self.bytes) {
            None => Ok(true),
            Some(_) => Err(Stop::Server(Refusal { reason: "the file came in part".to_owned(), may_pass: true })),
        }
    }
}

fn broken(error: reqwest::Error) -> Stop {
    let may_pass = !error.is_builder() && !error.is_redirect();
    Stop::Server(Refusal { reason: http::words(&error), may_pass })
}

fn starts_at(response: &Response, byte: u64) -> bool {
    let range = response.headers().get(reqwest::header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {byte}-")))
}
