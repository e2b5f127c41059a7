//! The folder of what came or was made: a record of each, and as many bytes as are allowed. When room is needed, what was
//! not used for longest goes, and never what is in use: held by somebody, or published for a node.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::transfer::Version;
use crate::clock;
use crate::mask;
use crate::state_dir::{private_file, private_folder};
use crate::store::{Store, StoreError};

const RECORD: &str = "json";
const PART: &str = "part";

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// A file of it.
    #[error("{}: {cause}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// What is published is not known.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ShelfError {
    /// A file that cannot be read or written.
    pub fn new(path: &Path, cause: io::Error) -> Self {
        Self::File { path: path.to_owned(), cause }
    }
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It came from there.
    Url(String),
    /// It was made of that.
    Made(String),
}

impl Origin {
    /// The name of its record.
    fn key(&self) -> String {
        let (kind, text) = match self {
            Self::Url(url) => ("url", url),
            Self::Made(of) => ("made", of),
        };
        hex::encode(&Sha256::digest(format!("{kind} {text}"))[..16])
    }
}

/// What is known of a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// What it is.
    pub origin: Origin,
    /// Its name in the folder.
    file: String,
    /// Its size.
    pub bytes: u64,
    /// Its digest.
    pub sha256: String,
    /// The checksum that it was found to have, as it was asked for.
    pub checksum: Option<String>,
    /// The server's words for the version.
    pub version: Version,
    /// Since when it is here, seconds since the epoch.
    pub since: f64,
    /// Whether it goes as soon as nobody uses it.
    pub one_shot: bool,
    /// What was noted when it was made.
    pub notes: Value,
}

/// As long as this is there, the file is.
#[derive(Debug, Clone)]
pub struct Lease(#[expect(dead_code, reason = "its end is what counts")] Arc<Leased>);

type Leases = Arc<Mutex<HashMap<String, usize>>>;

#[derive(Debug)]
struct Leased {
    file: String,
    leases: Leases,
}

impl Drop for Leased {
    fn drop(&mut self) {
        let mut leases = guard(&self.leases);
        if let Some(count) = leases.get_mut(&self.file) {
            *count -= 1;
            if *count == 0 {
                leases.remove(&self.file);
            }
        }
    }
}

/// One file, as people are shown it.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// Where it came from, without what is secret, or what it was made of.
    pub source: String,
    /// Its size.
    pub bytes: u64,
    /// Its digest.
    pub sha256: String,
    /// Since when it is here, seconds since the epoch.
    pub since: f64,
    /// When it was used last.
    pub used: f64,
    /// Whether it goes as soon as nobody uses it.
    pub one_shot: bool,
    /// Whether it is held or published, and so stays.
    pub in_use: bool,
    /// Where it is.
    pub path: PathBuf,
}

/// The folder.
#[derive(Debug)]
pub struct Shelf {
    folder: PathBuf,
    limit_bytes: u64,
    store: Arc<Store>,
    leases: Leases,
}

impl Shelf {
    /// The folder, made where it is missing; what only came in part is taken away.
    ///
    /// # Errors
    /// When it cannot be made or read.
    pub fn open(folder: &Path, limit_bytes: u64, store: Arc<Store>) -> Result<Self, ShelfError> {
        let failed = |cause| ShelfError::new(folder, cause);
        private_folder(folder).map_err(failed)?;
        let folder = folder.canonicalize().map_err(failed)?;
        for file in fs::read_dir(&folder).map_err(failed)? {
            let path = file.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == PART) {
                gone(&path)?;
            }
        }
        let shelf = Self { folder, limit_bytes, store, leases: Arc::default() };
        shelf.tidy()?;
        Ok(shelf)
    }

    /// How many bytes there may be.
    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// Where the file of a record is.
    pub fn path(&self, record: &Record) -> PathBuf {
        self.folder.join(&record.file)
    }

    /// Where a file is put together.
    pub fn part(&self, origin: &Origin) -> PathBuf {
        self.folder.join(origin.key()).with_extension(PART)
    }

    /// The file of this origin, if it is here; it counts as used.
    pub fn take(&self, origin: &Origin) -> Option<(Record, Lease)> {
        let record = self.record(&self.folder.join(origin.key()).with_extension(RECORD))?;
        // First held, then looked at: it may be on its way out.
        let lease = self.lease(&record);
        let path = self.path(&record);
        let is_whole = path.metadata().is_ok_and(|metadata| metadata.len() == record.bytes);
        if !is_whole {
            return None;
        }
        let used = File::open(&path).and_then(|file| file.set_times(FileTimes::new().set_accessed(SystemTime::now())));
        if let Err(error) = used {
            tracing::warn!(file = %path.display(), %error, "noting that a file is used");
        }
        Some((record, lease))
    }

    /// What was put together for this origin is whole; `fill` says more of it.
    ///
    /// # Errors
    /// When it cannot be put in its place.
    pub fn put(
        &self,
        origin: &Origin,
        sha256: &[u8; 32],
        fill: impl FnOnce(&mut Record),
    ) -> Result<(Record, Lease), ShelfError> {
        let part = self.part(origin);
        let bytes = part.metadata().map_err(|cause| ShelfError::new(&part, cause))?.len();
        let sha256 = hex::encode(sha256);
        let mut record = Record {
            origin: origin.clone(),
            file: format!("{}-{}", origin.key(), &sha256[..16]),
            bytes,
            sha256,
            checksum: None,
            version: Version::default(),
            since: clock::seconds(),
            one_shot: false,
            notes: Value::Null,
        };
        fill(&mut record);
        let lease = self.lease(&record);
        let path = self.path(&record);
        // The same bytes may be published: those stay.
        let outcome = match path.metadata().is_ok_and(|there| there.len() == bytes) {
            true => fs::remove_file(&part),
            false => fs::rename(&part, &path),
        };
        outcome.map_err(|cause| ShelfError::new(&path, cause))?;
        let place = self.folder.join(origin.key()).with_extension(RECORD);
        let new = place.with_extension("new");
        let write = private_file(&new).and_then(|file| {
            serde_json::to_writer(&file, &record)?;
            fs::rename(&new, &place)
        });
        write.map_err(|cause| ShelfError::new(&place, cause))?;
        Ok((record, lease))
    }

    /// Makes room for a file of so many bytes.
    ///
    /// # Errors
    /// Says how much is missing, and of what.
    pub fn make_room(&self, bytes: u64) -> Result<(), String> {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        if bytes > self.limit_bytes {
            let limit = mib(self.limit_bytes);
            return Err(format!("{} MiB are more than media_cache_size ({limit} MiB) has room for", mib(bytes)));
        }
        let free = || {
            let disk = nix::sys::statvfs::statvfs(&self.folder).map_err(|error| error.to_string())?;
            Ok::<u64, String>(disk.blocks_available() * disk.fragment_size())
        };
        let missing = |used: u64| {
            let of_limit = (used + bytes).saturating_sub(self.limit_bytes);
            Ok::<u64, String>(of_limit.max(bytes.saturating_sub(free()?)))
        };
        self.remove(missing).map_err(|error| error.to_string())?;
        let used =
            self.records().map_err(|error| error.to_string())?.iter().map(|(_, record)| record.bytes).sum::<u64>();
        match missing(used)? {
            0 => Ok(()),
            left if used + bytes > self.limit_bytes => Err(format!(
                "{} MiB are missing in media_cache_size ({} MiB), the rest is in use",
                mib(left),
                mib(self.limit_bytes)
            )),
            left => Err(format!("{} MiB are missing on the disk of {}", mib(left), self.folder.display())),
        }
    }

    /// Takes away what was to be used once and is not in use, and what is of no record.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn tidy(&self) -> Result<(), ShelfError> {
        self.remove(|used| Ok::<u64, String>(used.saturating_sub(self.limit_bytes)))
    }

    /// Everything that is here, what was used last first.
    ///
    /// # Errors
    /// When the folder or the database cannot be read.
    pub fn entries(&self) -> Result<Vec<Entry>, ShelfError> {
        let leases = guard(&self.leases);
        let published = self.published()?;
        let records = self.records()?;
        let entry = |(used, record): (SystemTime, Record)| Entry {
            source: match &record.origin {
                Origin::Url(url) => mask::text(url),
                Origin::Made(of) => mask::text(of),
            },
            bytes: record.bytes,
            since: record.since,
            used: used.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()),
            one_shot: record.one_shot,
            in_use: leases.contains_key(&record.file) || published.contains(&self.path(&record)),
            path: self.path(&record),
            sha256: record.sha256,
        };
        Ok(records.into_iter().rev().map(entry).collect())
    }

    /// Removes what is to go anyway, and as much more of what is not in use as `missing` says at this many bytes.
    fn remove(&self, missing: impl Fn(u64) -> Result<u64, String>) -> Result<(), ShelfError> {
        // Nobody takes a lease on a file meanwhile.
        let leases = guard(&self.leases);
        let published = self.published()?;
        let in_use = |file: &str| leases.contains_key(file) || published.contains(&self.folder.join(file));
        let records = self.records()?;
        let mut used: u64 = records.iter().map(|(_, record)| record.bytes).sum();
        let mut kept = BTreeSet::new();
        for (_, record) in records {
            let goes = record.one_shot || missing(used).is_ok_and(|missing| missing > 0);
            if goes && !in_use(&record.file) {
                tracing::info!(source = %record.shown(), bytes = record.bytes, "a file is not kept any longer");
                let place = self.folder.join(record.origin.key()).with_extension(RECORD);
                for path in [place, self.path(&record)] {
                    gone(&path)?;
                }
                used -= record.bytes;
            } else {
                kept.insert(record.file);
            }
        }
        let failed = |cause| ShelfError::new(&self.folder, cause);
        for file in fs::read_dir(&self.folder).map_err(failed)? {
            let path = file.map_err(failed)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // Its record names another version by now.
            if path.extension().is_none() && !kept.contains(&name) && !in_use(&name) {
                gone(&path)?;
            }
        }
        Ok(())
    }

    fn published(&self) -> Result<BTreeSet<PathBuf>, StoreError> {
        Ok(self.store.published()?.into_iter().map(|published| published.path).collect())
    }

    fn lease(&self, record: &Record) -> Lease {
        *guard(&self.leases).entry(record.file.clone()).or_default() += 1;
        Lease(Arc::new(Leased { file: record.file.clone(), leases: Arc::clone(&self.leases) }))
    }

    /// By their last use, the longest ago first.
    fn records(&self) -> Result<Vec<(SystemTime, Record)>, ShelfError> {
        let failed = |cause| ShelfError::new(&self.folder, cause);
        let mut records = Vec::new();
        for file in fs::read_dir(&self.folder).map_err(failed)? {
            let path = file.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == RECORD)
                && let Some(record) = self.record(&path)
            {
                let used = self.path(&record).metadata().and_then(|metadata| metadata.accessed());
                records.push((used.unwrap_or(UNIX_EPOCH), record));
            }
        }
        records.sort_by_key(|(used, _)| *used);
        Ok(records)
    }

    fn record(&self, path: &Path) -> Option<Record> {
        let record: Record = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        // It is a name of ours and no path.
        (!record.file.contains('/') && !record.file.contains('.')).then_some(record)
    }
}

impl Record {
    fn shown(&self) -> String {
        let (Origin::Url(text) | Origin::Made(text)) = &self.origin;
        mask::text(text)
    }
}

fn gone(path: &Path) -> Result<(), ShelfError> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(ShelfError::new(path, cause)),
        _ => Ok(()),
    }
}

fn guard(leases: &Mutex<HashMap<String, usize>>) -> MutexGuard<'_, HashMap<String, usize>> {
    leases.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
