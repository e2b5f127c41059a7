//! A device that may be touched.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;

use super::busy::when_free;
use super::device::BlockDevice;

/// How long a device may be busy when it is opened.
const BUSY_LIMIT: Duration = Duration::from_secs(1);

/// A device that passed every check of [`list`](super::list); only the listing can make one.
#[derive(Debug, Clone)]
pub struct EligibleDevice {
    pub(super) device: BlockDevice,
    pub(super) node: PathBuf,
    pub(super) number: (u32, u32),
    /// The kernel's running number of disks, where it has one: a new disk under an old name differs.
    pub(super) sequence: Option<(PathBuf, String)>,
    pub(super) partitions: Vec<EligibleDevice>,
}

impl std::ops::Deref for EligibleDevice {
    type Target = BlockDevice;
    fn deref(&self) -> &BlockDevice {
        &self.device
    }
}

impl EligibleDevice {
    /// Its partitions, as of the listing.
    pub fn partitions(&self) -> &[EligibleDevice] {
        &self.partitions
    }

    /// Major and minor number.
    pub fn number(&self) -> (u32, u32) {
        self.number
    }

    /// Opens the device for reading and writing, to the exclusion of mounts, md, dm, swap and other exclusive
    /// openers. `flags` are added to `O_EXCL` (`O_DIRECT`, `O_DSYNC`).
    ///
    /// # Errors
    /// `ResourceBusy` when something uses the device for longer than a moment; `NotFound` when the name now belongs to another device.
    pub fn open_exclusive(&self, flags: i32) -> io::Result<File> {
        self.open(libc::O_EXCL | flags)
    }

    /// Opens the device for reading and writing although others use it.
    pub(crate) fn open_shared(&self) -> io::Result<File> {
        self.open(0)
    }

    fn open(&self, flags: i32) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(flags);
        let file = when_free(BUSY_LIMIT, || options.open(&self.node))?;
        let metadata = file.metadata()?;
        let number = (nix::sys::stat::major(metadata.rdev()) as u32, nix::sys::stat::minor(metadata.rdev()) as u32);
        let same_disk = self
            .sequence
            .as_ref()
            .is_none_or(|(path, before)| std::fs::read_to_string(path).is_ok_and(|now| now.trim() == before));
        if !metadata.file_type().is_block_device() || number != self.number || !same_disk {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{} is no longer the device that was chosen", self.name),
            ));
        }
        Ok(file)
    }
}
