//! Bytes from a file of this machine.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ferric_hardware::units::Bytes;

use super::{Closed, Feed, Received};
use crate::image::{ImageError, RandomAccess};

/// An open file and its size when it was opened.
pub(crate) struct FileSource {
    file: File,
    path: PathBuf,
    total: u64,
}

impl FileSource {
    pub(crate) fn open(path: &Path) -> Result<Self, ImageError> {
        let failed = |source| ImageError::File { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(failed(std::io::Error::new(ErrorKind::InvalidInput, "not a regular file")));
        }
        Ok(Self { file, path: path.to_path_buf(), total: metadata.len() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn total_bytes(&self) -> u64 {
        self.total
    }

    pub(crate) fn access(&self) -> Option<FileAccess> {
        let file = self.file.try_clone().ok()?;
        Some(FileAccess { file, path: self.path.clone(), total: self.total })
    }

    pub(crate) fn run(mut self, mut feed: Feed) -> Result<Received, ImageError> {
        let mut received = Received { location: self.path.display().to_string(), ..Received::default() };
        let mut busy = Duration::ZERO;
        while received.bytes < self.total {
            let mut buffer = feed.pool.take_blocking();
            let started = Instant::now();
            let want = usize::try_from(self.total - received.bytes).unwrap_or(usize::MAX).min(buffer.len());
            let read = self.file.read_exact(&mut buffer[..want]);
            read.map_err(|source| ImageError::File { path: self.path.clone(), source })?;
            busy += started.elapsed();
            received.bytes += want as u64;
            feed.buffer = Some((buffer, want));
            if let Err(Closed) = feed.send() {
                break;
            }
        }
        received.busy = busy;
        Ok(received)
    }
}

/// Random access to a file.
pub(crate) struct FileAccess {
    file: File,
    path: PathBuf,
    total: u64,
}

impl RandomAccess for FileAccess {
    fn total_bytes(&self) -> Bytes {
        Bytes(self.total)
    }

    fn read_at(&self, at: Bytes, len: usize) -> Result<Vec<u8>, ImageError> {
        let mut bytes = vec![0; len];
        let read = self.file.read_exact_at(&mut bytes, at.0);
        read.map_err(|source| ImageError::File { path: self.path.clone(), source })?;
        Ok(bytes)
    }
}
