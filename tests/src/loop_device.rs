//! A disk for one test: a loop device over a sparse file.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::wait::limit_the_program;

/// A loop device over a file of its own; both are gone when this is dropped.
#[derive(Debug)]
pub struct LoopDevice {
    device: PathBuf,
    directory: tempfile::TempDir,
}

impl LoopDevice {
    /// A disk of `size_bytes` zero bytes with 512-byte blocks.
    ///
    /// # Errors
    /// When the machine has no free loop device or this is not root.
    pub fn new(size_bytes: u64) -> Result<Self> {
        Self::with_block_size(size_bytes, 512)
    }

    /// A disk of `size_bytes` zero bytes with blocks of `block_bytes` (512 or 4096).
    ///
    /// # Errors
    /// As [`LoopDevice::new`].
    pub fn with_block_size(size_bytes: u64, block_bytes: u32) -> Result<Self> {
        Self::in_directory(&std::env::temp_dir(), size_bytes, block_bytes)
    }

    /// As [`LoopDevice::with_block_size`], with its file somewhere below `parent`.
    ///
    /// # Errors
    /// As [`LoopDevice::new`].
    pub fn in_directory(parent: &Path, size_bytes: u64, block_bytes: u32) -> Result<Self> {
        limit_the_program();
        let directory = tempfile::Builder::new().prefix("ferric-disk-").tempdir_in(parent)?;
        std::fs::File::create(directory.path().join("disk.raw"))?.set_len(size_bytes)?;
        let file = directory.path().join("disk.raw");
        let output = Command::new("losetup")
            .args(["--find", "--show", "--partscan", "--sector-size", &block_bytes.to_string()])
            .arg(&file)
            .output()
            .context("running losetup")?;
        ensure!(output.status.success(), "losetup: {}", String::from_utf8_lossy(&output.stderr));
        let device = PathBuf::from(String::from_utf8(output.stdout)?.trim());
        Ok(Self { device, directory })
    }

    /// `/dev/loopN`.
    pub fn path(&self) -> &Path {
        &self.device
    }

    /// The file behind the device.
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("disk.raw")
    }

    /// Everything that is on the disk now, past the page cache of the device.
    ///
    /// # Errors
    /// When reading fails.
    pub fn read(&self) -> Result<Vec<u8>> {
        let status = Command::new("blockdev").arg("--flushbufs").arg(&self.device).status()?;
        ensure!(status.success(), "blockdev --flushbufs {}", self.device.display());
        Ok(std::fs::read(self.file())?)
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // Partition nodes hold the device; both calls may find nothing to do.
        let _ = Command::new("partx").arg("-d").arg(&self.device).output();
        let _ = Command::new("losetup").arg("--detach").arg(&self.device).output();
    }
}
