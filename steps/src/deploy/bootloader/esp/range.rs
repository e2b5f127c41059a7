//! A part of a device as a file of its own, for reading only.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use ferric_hardware::open_device::OpenDevice;
use ferric_hardware::units::Bytes;

/// A part of a device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) start: Bytes,
    pub(crate) size: Bytes,
}

impl Place {
    /// The device as a whole.
    pub(crate) fn whole(device: &OpenDevice) -> Self {
        Self { start: Bytes(0), size: device.size() }
    }
}

/// Part of a file; writing is refused, and so is reading without end.
#[derive(Debug)]
pub(super) struct Range<'a> {
    file: &'a File,
    start: u64,
    length: u64,
    at: u64,
    may_read: u64,
}

impl<'a> Range<'a> {
    /// This place of a device, of which `may_read` bytes are read at most: the tables of a file system may lead in circles,
    /// of which its reader does not notice.
    pub(super) fn new(file: &'a File, place: Place, may_read: u64) -> Self {
        Self { file, start: place.start.0, length: place.size.0, at: 0, may_read }
    }
}

impl Read for Range<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(self.at).min(buffer.len() as u64) as usize;
        let read = self.file.read_at(&mut buffer[..left], self.start + self.at)?;
        self.at += read as u64;
        self.may_read = self.may_read.checked_sub(read as u64).ok_or_else(endless)?;
        Ok(read)
    }
}

/// The file system leads in circles.
pub(super) fn endless() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the file system is damaged: its directories have no end")
}

impl Seek for Range<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
        };
        self.at = target.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

impl Write for Range<'_> {
    fn write(&mut self, _buffer: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
