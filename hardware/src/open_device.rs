//! A block device that is open for a destructive act: zero ranges, discard, read back.
//!
//! The only way in is an [`EligibleDevice`]: a disk, or one of its partitions; or, for what an array leaves free of its
//! disks, a [`HeldDisk`].

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::block::{EligibleDevice, HeldDisk};
use crate::ioctl;
use crate::machine::Machine;
use crate::units::{BlockSize, Bytes};
use crate::watch::Watch;

/// The piece in which long operations are done: small enough to report and to stop within seconds on a slow disk.
const PIECE: Bytes = Bytes::mib(128);
/// The buffer for writing and comparing zeros where the kernel cannot do it.
const BUFFER_BYTES: usize = 1 << 20;

/// Why something failed on a device. Every text starts with the device's name.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// A system call failed.
    #[error("{device}: {action}: {cause}")]
    Io {
        /// Device path.
        device: String,
        /// What was being done.
        action: &'static str,
        /// The cause.
        cause: io::Error,
    },
    /// A block cannot be read or written.
    #[error("{device}: {action} at byte {offset}: {cause}")]
    Block {
        /// Device path.
        device: String,
        /// What was being done.
        action: &'static str,
        /// Byte offset on the device.
        offset: u64,
        /// The cause.
        cause: io::Error,
    },
    /// libblkid failed.
    #[error("{device}: probing signatures: {cause}")]
    Probe {
        /// Device path.
        device: String,
        /// The cause.
        cause: libblkid_rs::BlkidErr,
    },
    /// Its partition table is damaged or cannot be changed so.
    #[error("{device}: {cause}")]
    Table {
        /// Device path.
        device: String,
        /// The cause.
        cause: crate::table_error::TableError,
    },
    /// It was stopped on request.
    #[error("{device}: stopped on request")]
    Cancelled {
        /// Device path.
        device: String,
    },
    /// Something that must be zero is not.
    #[error("{device}: byte {offset} is not zero after erasing")]
    NotZero {
        /// Device path.
        device: String,
        /// Byte offset of the first byte found.
        offset: u64,
    },
    /// The device refused a command; the text says which and how.
    #[error("{device}: {reason}")]
    Refused {
        /// Device path.
        device: String,
        /// What was refused, in words for an operator.
        reason: String,
    },
    /// The device has no such command, so that another way may be taken.
    #[error("{device}: {reason}")]
    Unsupported {
        /// Device path.
        device: String,
        /// What it lacks.
        reason: String,
    },
}

/// What a device is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Looking only.
    Read,
    /// Looking and changing.
    Write,
    /// Changing past the page cache, so that a failure is told at once; memory and places must be aligned.
    WriteDirect,
}

/// An open block device: a disk, or one partition of it.
#[derive(Debug)]
pub struct OpenDevice {
    file: File,
    name: String,
    size: Bytes,
    block: BlockSize,
}

impl OpenDevice {
    /// Opens a disk or a partition, for writing to the exclusion of mounts, RAID, LVM and other exclusive openers.
    ///
    /// # Errors
    /// When the device cannot be opened, is in use, or is no longer the one that was listed.
    pub fn open(machine: &Machine, device: &EligibleDevice, access: Access) -> Result<Self, DeviceError> {
        let failed = |cause| DeviceError::Io { device: device.name.clone(), action: "opening", cause };
        // Looking is done read-only: closing a device that was open for writing makes udev look at it again.
        let file = match access {
            Access::Read => File::open(machine.path(&device.name)),
            Access::Write => device.open_exclusive(0),
            Access::WriteDirect => device.open_exclusive(libc::O_DIRECT),
        }
        .map_err(failed)?;
        Self::of(file, &device.name)
    }

    /// Opens a disk that an array lies on, for its partition table and what that leaves free; not exclusively.
    ///
    /// # Errors
    /// When the disk cannot be opened, or is no longer the one that was looked at.
    pub fn open_held(machine: &Machine, disk: &HeldDisk, access: Access) -> Result<Self, DeviceError> {
        let name = disk.name();
        let file = match access {
            Access::Read => File::open(machine.path(name)),
            Access::Write | Access::WriteDirect => disk.device().open_shared(),
        };
        let file = file.map_err(|cause| DeviceError::Io { device: name.to_string(), action: "opening", cause })?;
        Self::of(file, name)
    }

    fn of(file: File, name: &str) -> Result<Self, DeviceError> {
        let failed = |action| move |cause| DeviceError::Io { device: name.to_string(), action, cause };
        let size = ioctl::size(&file).map_err(failed("asking for its size"))?;
        let block = ioctl::logical_block_size(&file).map_err(failed("asking for its block size"))?;
        Ok(Self { file, name: name.to_string(), size, block })
    }

    /// Keeps udev from looking at the disk and from reading its partition table again, until this is dropped
    /// (the lock that systemd documents as "block device locking"). Waits while udev is looking.
    ///
    /// # Errors
    /// When the kernel refuses the lock.
    pub fn keep_udev_away(&self) -> Result<(), DeviceError> {
        self.file.lock().map_err(|source| self.failed("locking", source))
    }

    /// The device path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The descriptor, for reading and writing.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Size in bytes.
    pub fn size(&self) -> Bytes {
        self.size
    }

    /// Logical block size.
    pub fn block_size(&self) -> BlockSize {
        self.block
    }

    /// Makes the range read as zeros, by the device where it can.
    ///
    /// # Errors
    /// [`DeviceError::Block`] names the first block that cannot be zeroed; [`DeviceError::Cancelled`] when `watch` says
    /// so. The range is then partly zeroed.
    pub fn zero(&self, start: Bytes, length: Bytes, watch: &dyn Watch) -> Result<(), DeviceError> {
        self.in_pieces(start, length, watch, "zeroing", |at, piece| self.zero_piece(at, piece))
    }

    /// Discards the range. What it reads as afterwards is up to the device: follow with [`Self::verify_zero`].
    ///
    /// # Errors
    /// [`DeviceError::Unsupported`] when the device cannot discard; else as [`Self::zero`].
    pub fn discard(&self, start: Bytes, length: Bytes, watch: &dyn Watch) -> Result<(), DeviceError> {
        self.in_pieces(start, length, watch, "discarding", |at, piece| {
            let discarded = ioctl::secure_discard(&self.file, at, piece);
            discarded.or_else(|_| ioctl::discard(&self.file, at, piece)).map_err(|cause| (at, cause))
        })
    }

    /// Writes `data` at this place.
    ///
    /// # Errors
    /// [`DeviceError::Block`] names the block, when the device was opened past the page cache.
    pub fn write(&self, data: &[u8], at: Bytes) -> Result<(), DeviceError> {
        if self.file.write_all_at(data, at.0).is_ok() {
            return Ok(());
        }
        // It only says that something in there failed: block by block it says which.
        let block = self.block.0 as usize;
        for (number, part) in (0_u64..).zip(data.chunks(block)) {
            let at = at.0 + number * block as u64;
            self.file.write_all_at(part, at).map_err(|cause| self.failed_at("writing", Bytes(at), cause))?;
        }
        Ok(())
    }

    /// Fills `data` from this place.
    ///
    /// # Errors
    /// [`DeviceError::Block`] when it cannot be read.
    pub fn read(&self, data: &mut [u8], at: Bytes) -> Result<(), DeviceError> {
        self.file.read_exact_at(data, at.0).map_err(|cause| self.failed_at("reading", at, cause))
    }

    /// Reads the range and makes sure that it holds only zeros.
    ///
    /// # Errors
    /// [`DeviceError::NotZero`] names the first other byte.
    pub fn verify_zero(&self, start: Bytes, length: Bytes) -> Result<(), DeviceError> {
        let mut buffer = vec![0; BUFFER_BYTES.min(length.0 as usize)];
        let mut at = start.0;
        let end = start.0 + length.0;
        while at < end {
            let part = &mut buffer[..BUFFER_BYTES.min((end - at) as usize)];
            self.file.read_exact_at(part, at).map_err(|cause| self.failed_at("reading back", Bytes(at), cause))?;
            if let Some(found) = part.iter().position(|byte| *byte != 0) {
                return Err(DeviceError::NotZero { device: self.name.clone(), offset: at + found as u64 });
            }
            at += part.len() as u64;
        }
        Ok(())
    }

    /// Writes everything back to the medium and forgets what is cached, so that the next read asks the device.
    ///
    /// # Errors
    /// When earlier writes did not reach the medium.
    pub fn flush(&self) -> Result<(), DeviceError> {
        self.file.sync_all().map_err(|cause| self.failed("flushing", cause))?;
        // Only a cache: a device that cannot drop it is read a little too kindly.
        ioctl::flush_buffers(&self.file).ok();
        Ok(())
    }

    pub(crate) fn failed(&self, action: &'static str, cause: io::Error) -> DeviceError {
        DeviceError::Io { device: self.name.clone(), action, cause: explained(&self.file, cause) }
    }

    fn failed_at(&self, action: &'static str, at: Bytes, cause: io::Error) -> DeviceError {
        DeviceError::Block { device: self.name.clone(), action, offset: at.0, cause: explained(&self.file, cause) }
    }

    /// Zeroes a piece at once; where that fails, in ever smaller parts, so that the error names the block.
    fn zero_piece(&self, start: Bytes, length: Bytes) -> Result<(), (Bytes, io::Error)> {
        let cause = match ioctl::zero_out(&self.file, start, length) {
            Ok(()) => return Ok(()),
            Err(cause) if is_unsupported(&cause) => {
                return self.write_zeros(start, length).map_err(|cause| (start, cause));
            }
            Err(cause) => cause,
        };
        let finer = [Bytes::mib(1), Bytes(u64::from(self.block.0))].into_iter().find(|finer| *finer < length);
        let Some(finer) = finer else { return Err((start, cause)) };
        let end = start + length;
        let mut at = start;
        while at < end {
            let part = finer.min(end - at);
            self.zero_piece(at, part)?;
            at = at + part;
        }
        Ok(())
    }

    fn write_zeros(&self, start: Bytes, length: Bytes) -> io::Result<()> {
        let buffer = vec![0; BUFFER_BYTES];
        let mut at = start.0;
        let end = start.0 + length.0;
        while at < end {
            let part = &buffer[..BUFFER_BYTES.min((end - at) as usize)];
            self.file.write_all_at(part, at)?;
            at += part.len() as u64;
        }
        Ok(())
    }

    fn in_pieces(
        &self,
        start: Bytes,
        length: Bytes,
        watch: &dyn Watch,
        action: &'static str,
        work: impl Fn(Bytes, Bytes) -> Result<(), (Bytes, io::Error)>,
    ) -> Result<(), DeviceError> {
        let end = start + length;
        let mut at = start;
        while at < end {
            if watch.cancelled() {
                return Err(DeviceError::Cancelled { device: self.name.clone() });
            }
            let piece = PIECE.min(end - at);
            work(at, piece).map_err(|(at, cause)| match is_unsupported(&cause) {
                true => {
                    DeviceError::Unsupported { device: self.name.clone(), reason: format!("{action} is not supported") }
                }
                false => self.failed_at(action, at, cause),
            })?;
            watch.advance(piece.0);
            at = at + piece;
        }
        Ok(())
    }
}

/// The error of a call on an open disk. When the disk was pulled, the kernel only says that its end is reached, or that
/// there is no space left: it has no size any more.
pub fn explained(disk: &File, error: io::Error) -> io::Error {
    match ioctl::size(disk) {
        Ok(Bytes(1..)) => error,
        _ => io::Error::new(io::ErrorKind::NotFound, "the disk is gone: it was pulled, or its controller has lost it"),
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOTTY))
}
