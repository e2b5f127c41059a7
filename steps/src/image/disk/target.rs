//! What the disk stage writes to: a range of a block device, past the page cache where that is possible.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::{AtomicBool, Ordering};

use ferric_hardware::aligned::{ALIGNMENT, AlignedBuffer};
use ferric_hardware::block::EligibleDevice;
use ferric_hardware::ioctl;
use ferric_hardware::open_device::explained;
use ferric_hardware::units::{BlockSize, Bytes};
use nix::fcntl::{FallocateFlags, fallocate};
use nix::libc;

use crate::image::{ImageError, Region};

/// Something that can be written at any place, from several threads at once.
pub(crate) trait Target: Send + Sync {
    /// Path of the device.
    fn name(&self) -> &str;
    /// Bytes that may be written, counted from 0.
    fn size(&self) -> Bytes;
    /// Size of the device's logical blocks.
    fn block(&self) -> BlockSize;
    /// Takes away what could boot from the device around the target.
    fn disarm(&self) -> io::Result<()> {
        Ok(())
    }
    /// Writes all of `data`.
    fn write(&self, at: u64, data: &[u8]) -> io::Result<()>;
    /// Makes a range read as zeroes.
    fn zero(&self, at: u64, len: u64) -> io::Result<()>;
    /// Fills `into` with what the medium holds.
    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()>;
    /// Returns when all that was written survives a power loss.
    fn sync(&self) -> io::Result<()>;
}

const PAGE: u64 = ALIGNMENT as u64;
/// The pieces in which zeroes are written where the kernel cannot do it.
const ZERO_PIECE: usize = 1 << 20;
/// The pieces in which data are copied that lie at no whole page of memory.
const COPY_PIECE: usize = 256 << 10;
/// Shorter runs are written: that is cheaper than the call that zeroes.
const ZERO_BY_CALL: u64 = 64 << 10;

/// Boot code of a master boot record; the disk identifier and the partitions follow it.
const BOOT_CODE: u64 = 440;
/// Either end of a device that holds partition tables and boot loaders.
const TABLE: u64 = 1 << 20;

/// A block device, or a region of it, opened for us alone.
///
/// Whole pages go by direct I/O. Pieces of pages go through the page cache, which knows how to change a part
/// of a block; as extents do not overlap, no page is written both ways.
#[derive(Debug)]
pub(crate) struct BlockTarget {
    name: String,
    start: u64,
    size: u64,
    block: BlockSize,
    /// What is wiped of the device around the region.
    around: [Range<u64>; 2],
    direct: File,
    direct_works: AtomicBool,
    cached: File,
    zeroes: AlignedBuffer,
}

impl BlockTarget {
    /// Opens `device`, to the exclusion of all other users.
    pub(crate) fn open(device: &EligibleDevice, region: Option<Region>) -> Result<Self, ImageError> {
        let unusable = |error: io::Error| ImageError::Device(format!("{} cannot be opened: {error}", device.name));
        let cached = device.open_exclusive(0).map_err(unusable)?;
        // The same open device again, whatever its name means by now.
        let again = format!("/proc/self/fd/{}", cached.as_raw_fd());
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let (direct, direct_works) = match options.clone().custom_flags(libc::O_DIRECT).open(&again) {
            Ok(file) => (file, true),
            Err(_) => (options.open(&again).map_err(unusable)?, false),
        };
        let capacity = ioctl::size(&cached).map_err(unusable)?;
        let block = ioctl::logical_block_size(&cached).map_err(unusable)?;
        let around = region.map_or([0..0, 0..0], |region| around(region, capacity.0));
        let region = region.unwrap_or(Region { start: Bytes(0), len: capacity, keeps_table: false });
        if region.start.0.checked_add(region.len.0).is_none_or(|end| end > capacity.0) {
            return Err(ImageError::Device(format!(
                "{} has {} bytes, too few for {} bytes at {}",
                device.name, capacity.0, region.len.0, region.start.0
            )));
        }
        Ok(Self {
            name: device.name.clone(),
            start: region.start.0,
            size: region.len.0,
            block,
            around,
            direct,
            direct_works: AtomicBool::new(direct_works),
            cached,
            zeroes: AlignedBuffer::new(ZERO_PIECE),
        })
    }

    /// Whether whole pages still pass by the page cache.
    pub(crate) fn is_direct(&self) -> bool {
        self.direct_works.load(Ordering::Relaxed)
    }

    /// Writes whole pages, from memory of any alignment.
    fn write_pages(&self, at: u64, data: &[u8]) -> io::Result<()> {
        if !self.is_direct() {
            return self.cached.write_all_at(data, at);
        }
        if !data.as_ptr().addr().is_multiple_of(ALIGNMENT) {
            let mut copy = AlignedBuffer::new(data.len().min(COPY_PIECE));
            for (index, piece) in data.chunks(copy.len()).enumerate() {
                copy[..piece.len()].copy_from_slice(piece);
                self.write_pages(at + (index * COPY_PIECE) as u64, &copy[..piece.len()])?;
            }
            return Ok(());
        }
        match self.direct.write_all_at(data, at) {
            // The device takes no direct I/O after all.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                self.cached.write_all_at(data, at)?;
                self.direct_works.store(false, Ordering::Relaxed);
                Ok(())
            }
            result => result,
        }
    }

    /// Zeroes whole pages by the cheapest way that the device knows: as a hole, in place, or by writing.
    fn zero_pages(&self, at: u64, len: u64) -> io::Result<()> {
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let ways: [&dyn Fn() -> io::Result<()>; 2] = [
            // For a block device this is promised to read as zeroes (block/fops.c, blkdev_fallocate).
            &|| Ok(fallocate(&self.cached, hole, at.cast_signed(), len.cast_signed())?),
            &|| ioctl::zero_out(&self.cached, Bytes(at), Bytes(len)),
        ];
        for way in ways {
            match way() {
                Err(error) if is_unsupported(&error) => {}
                result => return result,
            }
        }
        self.write_zeroes(at, len)
    }

    fn write_zeroes(&self, at: u64, len: u64) -> io::Result<()> {
        let mut done = 0;
        while done < len {
            let piece = (len - done).min(ZERO_PIECE as u64);
            self.write_absolute(at + done, &self.zeroes[..piece as usize])?;
            done += piece;
        }
        Ok(())
    }

    fn zero_absolute(&self, at: u64, len: u64) -> io::Result<()> {
        if len < ZERO_BY_CALL {
            return self.write_zeroes(at, len);
        }
        let [first, pages, last] = split(at, len);
        self.write_zeroes(at, first.end)?;
        self.zero_pages(at + pages.start, pages.end - pages.start)?;
        self.write_zeroes(at + last.start, last.end - last.start)
    }

    fn write_absolute(&self, at: u64, data: &[u8]) -> io::Result<()> {
        let [first, pages, last] = split(at, data.len() as u64);
        let part = |range: &Range<u64>| &data[range.start as usize..range.end as usize];
        for (range, whole) in [(first, false), (pages, true), (last, false)] {
            if range.is_empty() {
                continue;
            }
            if whole {
                self.write_pages(at + range.start, part(&range))?;
            } else {
                self.cached.write_all_at(part(&range), at + range.start)?;
            }
        }
        Ok(())
    }
}

/// Whether a device does not know a way to zero, rather than failing at it.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EINVAL | libc::ENOTTY | libc::ENODEV))
}

/// Divides `len` bytes at `at` into what precedes the first whole page, the whole pages, and the rest.
fn split(at: u64, len: u64) -> [Range<u64>; 3] {
    let first = at.next_multiple_of(PAGE).saturating_sub(at).min(len);
    let pages = first + (len - first) / PAGE * PAGE;
    [0..first, first..pages, pages..len]
}

impl Target for BlockTarget {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> Bytes {
        Bytes(self.size)
    }

    fn block(&self) -> BlockSize {
        self.block
    }

    fn disarm(&self) -> io::Result<()> {
        // Both, also when one fails.
        let [first, last] = self.around.each_ref().map(|range| self.write_zeroes(range.start, range.end - range.start));
        first.and(last)
    }

    fn write(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.write_absolute(self.start + at, data).map_err(|error| explained(&self.cached, error))
    }

    fn zero(&self, at: u64, len: u64) -> io::Result<()> {
        self.zero_absolute(self.start + at, len).map_err(|error| explained(&self.cached, error))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let at = self.start + at;
        let aligned = at.is_multiple_of(PAGE)
            && (into.len() as u64).is_multiple_of(PAGE)
            && into.as_ptr().addr().is_multiple_of(ALIGNMENT);
        if aligned && self.is_direct() {
            return self.direct.read_exact_at(into, at);
        }
        ioctl::flush_buffers(&self.cached)?;
        self.cached.read_exact_at(into, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.cached.sync_data().map_err(|error| explained(&self.cached, error))
    }
}

/// What could boot outside of `region`: partition table and boot code, or boot code alone.
fn around(region: Region, capacity: u64) -> [Range<u64>; 2] {
    let end = region.start.0.saturating_add(region.len.0);
    if region.keeps_table {
        return [0..BOOT_CODE.min(region.start.0), 0..0];
    }
    [0..TABLE.min(region.start.0), capacity.saturating_sub(TABLE).max(end).min(capacity)..capacity]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_split_at_pages() {
        assert_eq!(split(0, 8192), [0..0, 0..8192, 8192..8192]);
        assert_eq!(split(512, 1024), [0..1024, 1024..1024, 1024..1024]);
        assert_eq!(split(4000, 10000), [0..96, 96..8288, 8288..10000]);
        assert_eq!(split(4096, 100), [0..0, 0..0, 0..100]);
    }

    #[test]
    fn around_a_region_tables_and_boot_code_go_and_nothing_of_the_region() {
        let region = |start, len, keeps_table| Region { start: Bytes::mib(start), len: Bytes::mib(len), keeps_table };
        let capacity = Bytes::mib(64).0;
        assert_eq!(around(region(4, 20, false), capacity), [0..1 << 20, capacity - (1 << 20)..capacity]);
        assert_eq!(around(region(0, 64, false), capacity), [0..0, capacity..capacity]);
        assert_eq!(around(region(4, 60, true), capacity), [0..440, 0..0]);
    }
}
