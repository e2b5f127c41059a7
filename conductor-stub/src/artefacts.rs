//! Files for machines, each under a URL that cannot be guessed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use crate::media::overlay::Overlay;
use crate::store::artefacts::Stored;
use crate::store::{Store, StoreError};
use crate::token;
use crate::urls::Urls;

/// What all readers together may take of memory for what was read and not sent.
const MEMORY_BYTES: usize = 16 << 20;
/// Reads at the same time.
const READS: usize = 16;

/// What is published for machines.
#[derive(Debug)]
pub struct Artefacts {
    store: Arc<Store>,
    urls: Urls,
    readers: Arc<Readers>,
}

#[derive(Debug)]
struct Readers {
    count: AtomicUsize,
    turns: Semaphore,
}

/// What is published under a URL: a file, and what is different in it for the one who is given it.
#[derive(Debug)]
pub struct Published {
    /// The file.
    pub path: PathBuf,
    /// What is to be laid over it.
    pub overlay: Option<Overlay>,
}

/// Somebody who fetches a file, until this is dropped.
#[derive(Debug)]
pub struct Reader(Arc<Readers>);

impl Reader {
    /// How much is read at once: the more readers there are, the less.
    pub fn chunk_bytes(&self) -> usize {
        let readers = self.0.count.load(Ordering::Relaxed).max(1);
        (MEMORY_BYTES / readers).clamp(64 << 10, 1 << 20)
    }

    /// The right to read a chunk, until it is dropped.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.0.turns.acquire().await.ok()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Artefacts {
    /// What the store remembers, under these URLs.
    pub fn new(store: Arc<Store>, urls: Urls) -> Self {
        let readers = Arc::new(Readers { count: AtomicUsize::new(0), turns: Semaphore::new(READS) });
        Self { store, urls, readers }
    }

    /// One more who fetches a file.
    pub fn reader(&self) -> Reader {
        self.readers.count.fetch_add(1, Ordering::Relaxed);
        Reader(Arc::clone(&self.readers))
    }

    /// Publishes a file for one node; the URL of a name does not change.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn publish(&self, node: Uuid, name: &str, file: &Path) -> Result<String, StoreError> {
        self.save(node, name, file, None)
    }

    /// The same with other bytes in some places.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn publish_variant(
        &self,
        node: Uuid,
        name: &str,
        file: &Path,
        overlay: &Overlay,
    ) -> Result<String, StoreError> {
        self.save(node, name, file, Some(&overlay.encode()))
    }

    fn save(&self, node: Uuid, name: &str, file: &Path, overlay: Option<&[u8]>) -> Result<String, StoreError> {
        let secret = self.store.save_artefact(node, name, &token::generate(), file, overlay)?;
        Ok(format!("{}/artefacts/{secret}/{name}", self.urls.files()))
    }

    /// What is published as `name` under `secret`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn find(&self, secret: &str, name: &str) -> Result<Option<Published>, StoreError> {
        let Some(Stored { path, overlay }) = self.store.artefact(secret, name)? else { return Ok(None) };
        // A folder on the way may have become a link to somewhere else meanwhile.
        if !path.canonicalize().is_ok_and(|real| real == path) {
            return Ok(None);
        }
        Ok(match overlay.map(|encoded| Overlay::decode(&encoded)) {
            None => Some(Published { path, overlay: None }),
            Some(Some(overlay)) => Some(Published { path, overlay: Some(overlay) }),
            Some(None) => None,
        })
    }

    /// Notes that the file under `secret` is fetched.
    pub fn note_fetch(&self, secret: &str) {
        if let Err(error) = self.store.note_fetch(secret) {
            tracing::warn!("writing down that a file is fetched: {error}");
        }
    }

    /// What is published for a node, and when it was first fetched, seconds since the epoch.
    ///
    /// # Errors
    /// When the database fails.
    pub fn fetches(&self, node: Uuid) -> Result<Vec<(String, Option<f64>)>, StoreError> {
        self.store.fetches(node)
    }

    /// Takes back what was published as `name` of a node.
    ///
    /// # Errors
    /// When the database fails.
    pub fn withdraw(&self, node: Uuid, name: &str) -> Result<(), StoreError> {
        self.store.delete_artefact(node, name)
    }

    /// Takes back everything published for a node.
    ///
    /// # Errors
    /// When the database fails.
    pub fn withdraw_all(&self, node: Uuid) -> Result<(), StoreError> {
        self.store.delete_artefacts(node)
    }
}
