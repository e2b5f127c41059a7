//! Removing what makes a device look used: signatures, partition tables at both ends, boot code.

use crate::open_device::{DeviceError, OpenDevice};
use crate::signature;
use crate::units::Bytes;
use crate::watch::Unwatched;

/// What [`metadata`] zeroes at either end. It holds every partition table (GPT: 34 blocks of 512 or 6 of 4096 bytes), md
/// superblocks of all versions, and the boot code that BIOS boot loaders put behind the MBR.
pub const END: Bytes = Bytes::mib(1);

/// Removes all metadata of one open disk or partition and makes that durable. Returns the signatures it found.
///
/// # Errors
/// When the device cannot be read or written; what can be removed is removed all the same.
pub fn metadata(device: &OpenDevice) -> Result<Vec<String>, DeviceError> {
    metadata_within(device, Bytes(0), device.size())
}

/// As [`metadata`], of a part of the device: `size` bytes from `start` on.
///
/// # Errors
/// As [`metadata`].
pub fn metadata_within(device: &OpenDevice, start: Bytes, size: Bytes) -> Result<Vec<String>, DeviceError> {
    let found = signature::wipe(device, start, size);
    let end = END.min(size);
    let first = device.zero(start, end, &Unwatched);
    let last = device.zero(start + (size - end), end, &Unwatched);
    let flushed = device.flush();
    first.and(last).and(flushed).and(found)
}
