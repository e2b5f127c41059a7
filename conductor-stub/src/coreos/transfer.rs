//! One file from a server to a disk: goes on where it stopped, and has its digest in the end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::RANGE;
use reqwest::{Client, Response, StatusCode};
use sha2::{Digest, Sha256};
use thiserror::Error;
use url::Url;

/// Pauses before further tries; bytes that come start them again.
const PAUSES_SECONDS: [u64; 7] = [1, 2, 4, 8, 16, 32, 60];
/// A try that brought so many bytes brought something.
const PROGRESS_BYTES: u64 = 1 << 20;
const BUFFER_BYTES: usize = 1 << 20;
/// Larger files are none of CoreOS'.
const MAX_BYTES: u64 = 32 << 30;

/// Why a file is not here.
#[derive(Debug, Error)]
pub enum TransferError {
    /// By the server, after all tries.
    #[error("{url}: {reason}")]
    Server {
        /// Where.
        url: Url,
        /// What it said.
        reason: String,
    },
    /// By its digest.
    #[error("{url} has the SHA-256 {actual} instead of {expected}")]
    Digest {
        /// Where.
        url: Url,
        /// Of the stream metadata.
        expected: String,
        /// Of what came.
        actual: String,
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
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| TransferError::File { path, cause }
    };
    match digest_of(target).await {
        Ok(actual) if actual == *sha256 => return Ok(()),
        Ok(_) => fs::remove_file(target).map_err(failed(target))?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(target)(error)),
    }
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = target.with_file_name(name);
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&part).map_err(failed(&part))?;
    let mut partial = Partial::new(file).map_err(failed(&part))?;
    let mut failures = 0;
    loop {
        let before = partial.bytes;
        let refusal = match partial.go_on(client, url, progress).await {
            Ok(()) => break,
            Err(Stop::Disk(cause)) => return Err(failed(&part)(cause)),
            Err(Stop::Server(refusal)) => refusal,
        };
        if partial.bytes >= before + PROGRESS_BYTES {
            failures = 0;
        }
        match PAUSES_SECONDS.get(failures).filter(|_| refusal.may_pass) {
            None => return Err(TransferError::Server { url: url.clone(), reason: refusal.reason }),
            Some(seconds) => {
                tracing::warn!(%url, reason = refusal.reason, bytes = partial.bytes, seconds, "going on in a while");
                tokio::time::sleep(Duration::from_secs(*seconds)).await;
            }
        }
        failures += 1;
    }
    let actual = partial.hash.clone().finalize();
    if actual.as_slice() != sha256 {
        fs::remove_file(&part).map_err(failed(&part))?;
        let [expected, actual] = [sha256.as_slice(), actual.as_slice()].map(hex::encode);
        return Err(TransferError::Digest { url: url.clone(), expected, actual });
    }
    partial.file.sync_all().map_err(failed(&part))?;
    fs::rename(&part, target).map_err(failed(target))
}

/// The digest of a file that is here.
async fn digest_of(path: &Path) -> io::Result<[u8; 32]> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let mut hash = Sha256::new();
        hash_all(&mut File::open(path)?, &mut hash)?;
        Ok(hash.finalize().into())
    });
    read.await.map_err(io::Error::other)?
}

fn hash_all(file: &mut File, hash: &mut Sha256) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut all = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(all),
            bytes => {
                hash.update(&buffer[..bytes]);
                all += bytes as u64;
            }
        }
    }
}

/// Why a try ended.
enum Stop {
    Server(Refusal),
    Disk(io::Error),
}

struct Refusal {
    reason: String,
    may_pass: bool,
}

/// A file that is here in part.
struct Partial {
    file: File,
    bytes: u64,
    hash: Sha256,
}

impl Partial {
    fn new(mut file: File) -> io::Result<Self> {
        let mut hash = Sha256::new();
        let bytes = hash_all(&mut file, &mut hash)?;
        Ok(Self { file, bytes, hash })
    }

    fn start_again(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        (self.bytes, self.hash) = (0, Sha256::new());
        Ok(())
    }

    /// One request for what is missing.
    async fn go_on(&mut self, client: &Client, url: &Url, progress: OnProgress<'_>) -> Result<(), Stop> {
        let mut request = client.get(url.clone());
        if self.bytes > 0 {
            request = request.header(RANGE, format!("bytes={}-", self.bytes));
        }
        let mut response = request.send().await.map_err(broken)?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if self.bytes > 0 && starts_at(&response, self.bytes) => {}
            // All of it is here, or it has become shorter: the digest tells.
            StatusCode::RANGE_NOT_SATISFIABLE if self.bytes > 0 => return Ok(()),
            StatusCode::OK => self.start_again().map_err(Stop::Disk)?,
            StatusCode::PARTIAL_CONTENT => {
                self.start_again().map_err(Stop::Disk)?;
                return Err(Stop::Server(Refusal {
                    reason: "another part than was asked for".to_owned(),
                    may_pass: true,
                }));
            }
            status => {
                let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
                let may_pass = status.is_server_error() || passing.contains(&status);
                return Err(Stop::Server(Refusal { reason: status.to_string(), may_pass }));
            }
        }
        let total = response.content_length().map(|rest| self.bytes + rest);
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            self.bytes += chunk.len() as u64;
            if self.bytes > MAX_BYTES {
                return Err(Stop::Server(Refusal { reason: "the file does not end".to_owned(), may_pass: false }));
            }
            self.hash.update(&chunk);
            self.file.write_all(&chunk).map_err(Stop::Disk)?;
            progress(self.bytes, total);
        }
        Ok(())
    }
}

fn broken(error: reqwest::Error) -> Stop {
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        reason = format!("{reason}: {error}");
        cause = error.source();
    }
    Stop::Server(Refusal { reason, may_pass: !error.is_builder() && !error.is_redirect() })
}

fn starts_at(response: &Response, byte: u64) -> bool {
    let range = response.headers().get(reqwest::header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {byte}-")))
}
