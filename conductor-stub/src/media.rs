//! What machines boot and write: every file is here once, however many machines are given it.
//!
//! - [`source`]: what names a file; [`checksum`]: what it must be; [`transfer`]: how it comes here
//! - [`shelf`]: where those are kept that came or were made, and which of them go when room is needed
//! - [`iso`]: whether one could boot
//! - [`uki`] and [`kernel_iso`]: what boots, made of a kernel and an initramfs; [`repack`]: an ISO of others, made to take
//!   kernel arguments; [`areas`]: where those stand
//! - [`overlay`]: what is different in a file for one machine
//!
//! [`Media`] puts them together.

pub mod areas;
pub mod checksum;
pub mod iso;
pub mod kernel_iso;
pub mod overlay;
pub mod repack;
pub mod shelf;
pub mod source;
pub mod transfer;
pub mod uki;

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use reqwest::{Certificate, Client};
use serde_json::Value;
use url::Url;

use crate::files::{AllowedFolders, FileError};
use crate::http;
use checksum::{Checksum, ChecksumError, Digests};
use shelf::{Lease, Origin, Record, Shelf, ShelfError};
use source::{Source, SourceError};
use transfer::{Order, Transfer, TransferError};

/// Limit of connecting and of each silence.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Lists of checksums are some kilobytes.
const MAX_LIST_BYTES: usize = 1 << 20;
/// Tries to have a file, and tries to have a newer one than what is here.
const TRIES: usize = 5;
const TRIES_TO_RENEW: usize = 2;

/// Why a file is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// It is named wrongly.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A file of this host that may not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// It does not come.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// What it should be is no checksum.
    #[error(transparent)]
    Checksum(#[from] ChecksumError),
    /// A file of this host is another one.
    #[error("{} has the checksum {actual} instead of {expected}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: Box<Checksum>,
        /// What it is.
        actual: Box<Checksum>,
    },
    /// The list of checksums does not come.
    #[error("the list of checksums {list}: {reason}")]
    List {
        /// Where it is.
        list: Source,
        /// What is wrong.
        reason: String,
    },
    /// The folder.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// It could not be made.
    #[error("{0}")]
    Made(String),
    /// There is no place for what is to be made.
    #[error("{0}")]
    NoRoom(String),
    /// The work was cut off.
    #[error("having a file was cut off: {0}")]
    Aborted(String),
}

/// A file that is wanted, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where it is.
    pub source: Source,
    /// What it must be: a digest, or the URL of a list that has it.
    pub checksum: Option<String>,
    /// Whether it goes as soon as nobody uses it.
    pub one_shot: bool,
}

impl Wanted {
    /// A file that may stay.
    ///
    /// # Errors
    /// When it is named wrongly.
    pub fn new(source: &str, checksum: Option<&str>) -> Result<Self, SourceError> {
        Ok(Self { source: source.parse()?, checksum: checksum.map(str::to_owned), one_shot: false })
    }
}

/// A file that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Making {
    /// What of: the same is made once.
    pub origin: String,
    /// How much room it needs.
    pub bytes: u64,
    /// Whether it goes as soon as nobody uses it.
    pub one_shot: bool,
}

/// A file that is here, and stays as long as this or a copy of it is held, or it is published.
#[derive(Debug, Clone)]
pub struct Medium {
    /// Where it is.
    pub path: PathBuf,
    /// What was noted when it was made.
    pub notes: Value,
    _lease: Option<Lease>,
}

impl Medium {
    /// Which file it is: another one, or other content, has another identity.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn identity(&self) -> io::Result<String> {
        let metadata = self.path.metadata()?;
        let (inode, seconds, part) = (metadata.ino(), metadata.mtime(), metadata.mtime_nsec());
        Ok(format!("{} ({inode:x} {seconds:x}.{part:x} {:x})", self.path.display(), metadata.len()))
    }

    /// A file of this host, which is not kept here.
    pub fn of_host(path: PathBuf) -> Self {
        Self { path, notes: Value::Null, _lease: None }
    }
}

type UnderWay = Shared<BoxFuture<'static, Result<Medium, Arc<MediaError>>>>;

/// Where files come from and are kept.
#[derive(Debug)]
pub struct Media {
    shelf: Arc<Shelf>,
    client: Client,
    allowed: AllowedFolders,
    under_way: Mutex<HashMap<String, UnderWay>>,
}

/// The client for servers that are believed when they are of the system's authorities or of these (PEM).
///
/// # Errors
/// When those are no certificates.
pub fn client(authorities: Option<&[u8]>) -> Result<Client, reqwest::Error> {
    crate::tls::use_ring();
    let mut client = Client::builder()
        .connect_timeout(TIMEOUT)
        .read_timeout(TIMEOUT)
        .referer(false)
        .redirect(reqwest::redirect::Policy::limited(5));
    if let Some(pem) = authorities {
        for certificate in Certificate::from_pem_bundle(pem)? {
            client = client.add_root_certificate(certificate);
        }
    }
    client.build()
}

impl Media {
    /// Files that `shelf` keeps, `client` brings, or that are below `allowed`.
    pub fn new(shelf: Shelf, client: Client, allowed: AllowedFolders) -> Self {
        Self { shelf: Arc::new(shelf), client, allowed, under_way: Mutex::default() }
    }

    /// What is kept.
    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// Has a file here. A file of this host is used where it is, one of a server is fetched unless its version is here
    /// already; who asks while it comes waits for the same one.
    ///
    /// # Errors
    /// When it cannot be had, or is not what it should be.
    pub async fn get(&self, wanted: &Wanted) -> Result<Medium, Arc<MediaError>> {
        let url = match &wanted.source {
            Source::File(path) => {
                let path = self.allowed.file(path).map_err(MediaError::from)?;
                if let Some(text) = &wanted.checksum {
                    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    let expected = self.checksum(text, &name).await?;
                    verify(path.clone(), expected).await?;
                }
                return Ok(Medium::of_host(path));
            }
            Source::Url(url) => url.clone(),
        };
        let key = format!("{url}\n{}\n{}", wanted.checksum.as_deref().unwrap_or_default(), wanted.one_shot);
        let (shelf, client, wanted) = (Arc::clone(&self.shelf), self.client.clone(), wanted.clone());
        self.once(key, async move { fetch(&shelf, &client, &url, &wanted).await }).await
    }

    /// Has a file here that `make` writes, from what `origin` names; what has the same origin is made once. What `make` returns is
    /// noted with it.
    ///
    /// # Errors
    /// When there is no room for `bytes`, or `make` fails.
    pub async fn make(
        &self,
        making: Making,
        make: impl FnOnce(&Path) -> Result<Value, String> + Send + 'static,
    ) -> Result<Medium, Arc<MediaError>> {
        let Making { origin, bytes, one_shot } = making;
        let (shelf, key, origin) = (Arc::clone(&self.shelf), format!("made {origin}"), Origin::Made(origin));
        let work = async move {
            if let Some((record, lease)) = shelf.take(&origin) {
                return Ok(medium(&shelf, record, lease));
            }
            let work = tokio::task::spawn_blocking(move || {
                shelf.make_room(bytes).map_err(MediaError::NoRoom)?;
                let part = shelf.part(&origin);
                let notes = make(&part).map_err(|reason| {
                    // It may not have come so far.
                    let _ = std::fs::remove_file(&part);
                    MediaError::Made(reason)
                })?;
                let sha256 = digest(&part).map_err(|cause| ShelfError::new(&part, cause))?;
                let (record, lease) = shelf.put(&origin, &sha256, |record| {
                    record.notes = notes;
                    record.one_shot = one_shot;
                })?;
                Ok(medium(&shelf, record, lease))
            });
            work.await.map_err(|error| MediaError::Aborted(error.to_string()))?
        };
        self.once(key, work).await
    }

    /// Everybody who asks for the same while it is under way gets what comes of it.
    async fn once(
        &self,
        key: String,
        work: impl Future<Output = Result<Medium, MediaError>> + Send + 'static,
    ) -> Result<Medium, Arc<MediaError>> {
        let shared = {
            let mut under_way = self.under_way.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            under_way.retain(|_, work| work.peek().is_none());
            let start = || {
                // Goes on when the one who asked first has gone.
                let task = tokio::spawn(work);
                let outcome = async move {
                    let outcome = task.await.unwrap_or_else(|error| Err(MediaError::Aborted(error.to_string())));
                    outcome.map_err(Arc::new)
                };
                outcome.boxed().shared()
            };
            under_way.entry(key.clone()).or_insert_with(start).clone()
        };
        let outcome = shared.await;
        // What is over holds nothing.
        let mut under_way = self.under_way.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        under_way.retain(|_, work| work.peek().is_none());
        outcome
    }

    async fn checksum(&self, text: &str, name: &str) -> Result<Checksum, MediaError> {
        expected(&self.client, text, name).await
    }
}

fn medium(shelf: &Shelf, record: Record, lease: Lease) -> Medium {
    Medium { path: shelf.path(&record), notes: record.notes, _lease: Some(lease) }
}

async fn fetch(shelf: &Shelf, client: &Client, url: &Url, wanted: &Wanted) -> Result<Medium, MediaError> {
    let origin = Origin::Url(url.to_string());
    let checksum = match &wanted.checksum {
        Some(text) => Some(expected(client, text, url.path().rsplit('/').next().unwrap_or_default()).await?),
        None => None,
    };
    let kept = shelf.take(&origin);
    let verified =
        |record: &Record| record.checksum.is_some() && record.checksum == checksum.as_ref().map(Checksum::to_string);
    let kept = match kept {
        Some((record, lease)) if verified(&record) => return Ok(medium(shelf, record, lease)),
        other => other,
    };
    // One that is not known to be the right one is no reason to take another.
    let known = kept.as_ref().filter(|_| checksum.is_none()).map(|(record, _)| record.version.clone());
    let order = Order {
        url,
        checksum: checksum.as_ref(),
        known: known.as_ref(),
        tries: if known.is_some() { TRIES_TO_RENEW } else { TRIES },
    };
    let part = shelf.part(&origin);
    let outcome = transfer::bring(client, order, &part, &|bytes| shelf.make_room(bytes), &mut |_, _| {}).await;
    match (outcome, kept) {
        (Ok(Transfer::New { version, sha256 }), _) => {
            let (record, lease) = shelf.put(&origin, &sha256, |record| {
                record.version = version;
                record.checksum = checksum.as_ref().map(Checksum::to_string);
                record.one_shot = wanted.one_shot;
            })?;
            Ok(medium(shelf, record, lease))
        }
        (Ok(Transfer::Same), Some((record, lease))) => Ok(medium(shelf, record, lease)),
        (Err(TransferError::Server { url, reason, may_pass: true }), Some((record, lease))) if known.is_some() => {
            tracing::warn!(url, reason, "what is here already is used");
            Ok(medium(shelf, record, lease))
        }
        (Err(error), _) => {
            if checksum.is_none() {
                // Nobody could tell whether the rest fits.
                let _ = std::fs::remove_file(&part);
            }
            Err(error.into())
        }
        (Ok(Transfer::Same), None) => {
            Err(MediaError::Made(format!("{}: the server says that it is here", wanted.source)))
        }
    }
}

/// The checksum that is given, or that stands in the list that is given.
async fn expected(client: &Client, text: &str, name: &str) -> Result<Checksum, MediaError> {
    if !text.contains("://") {
        return Ok(text.parse()?);
    }
    let list: Source = text.parse()?;
    let failed = |reason: String| MediaError::List { list: list.clone(), reason };
    let Source::Url(url) = &list else { return Err(failed("must be an http or https URL".into())) };
    let answer = client.get(url.clone()).send().await.map_err(|error| failed(http::words(&error)))?;
    if !answer.status().is_success() {
        return Err(failed(format!("the server answers {}", answer.status())));
    }
    let body = http::whole(answer, MAX_LIST_BYTES).await.map_err(|error| failed(error.to_string()))?;
    Checksum::listed(&String::from_utf8_lossy(&body), name)
        .ok_or_else(|| failed(format!("it has no SHA-256 or SHA-512 of {name}")))
}

async fn verify(path: PathBuf, expected: Checksum) -> Result<(), MediaError> {
    let work = tokio::task::spawn_blocking(move || {
        let mut digests = Digests::for_checksum(Some(&expected));
        let read = std::fs::File::open(&path).and_then(|mut file| digests.read(&mut file));
        read.map_err(|cause| ShelfError::new(&path, cause))?;
        let actual = digests.like(&expected);
        if actual == expected {
            Ok(())
        } else {
            Err(MediaError::Other { path, expected: Box::new(expected), actual: Box::new(actual) })
        }
    });
    work.await.map_err(|error| MediaError::Aborted(error.to_string()))?
}

fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let mut digests = Digests::default();
    digests.read(&mut std::fs::File::open(path)?)?;
    Ok(digests.sha256())
}

#[cfg(test)]
mod tests;
