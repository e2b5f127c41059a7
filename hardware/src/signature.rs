//! File system, RAID, LVM, LUKS and swap signatures, as libblkid knows them: probed, and wiped one by one.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use libblkid_rs::{BlkidErr, BlkidProbe, BlkidProbeRet, BlkidSafeprobeRet, BlkidSublks, BlkidSublksFlags};

use crate::open_device::{DeviceError, OpenDevice};
use crate::units::Bytes;

/// More signatures than any device has; a device that ignores writes would otherwise be wiped for ever.
const MOST_SIGNATURES: usize = 256;

/// What libblkid calls members of Linux software RAID.
pub const RAID_MEMBER: &str = "linux_raid_member";

/// The kinds of all signatures on the device (`ext4`, `LVM2_member`, `linux_raid_member`…), in probing order.
///
/// # Errors
/// When the device cannot be read.
pub fn probe(device: &OpenDevice) -> Result<Vec<String>, DeviceError> {
    each(device, Bytes(0), device.size(), false)
}

/// Overwrites the magic bytes of every signature in `size` bytes from `start` on, as of a device of its own, copies at
/// other places included, and returns what they were.
/// Partition tables are not signatures here: see [`crate::partitions`].
///
/// # Errors
/// When the device cannot be read or written.
pub fn wipe(device: &OpenDevice, start: Bytes, size: Bytes) -> Result<Vec<String>, DeviceError> {
    each(device, start, size, true)
}

fn each(device: &OpenDevice, start: Bytes, size: Bytes, wipe: bool) -> Result<Vec<String>, DeviceError> {
    walk(device, start, size, wipe).map_err(|cause| DeviceError::Probe { device: device.name().to_string(), cause })
}

fn walk(device: &OpenDevice, start: Bytes, size: Bytes, wipe: bool) -> Result<Vec<String>, BlkidErr> {
    let mut found = Vec::new();
    let mut probe = BlkidProbe::new()?;
    probe.set_device(device.file().as_raw_fd(), start.0 as libc::loff_t, size.0 as libc::loff_t)?;
    probe.enable_superblocks(true)?;
    // A damaged superblock is one all the same.
    probe.set_superblock_flags(BlkidSublksFlags::new(vec![
        BlkidSublks::Type,
        BlkidSublks::Magic,
        BlkidSublks::Badcsum,
    ]))?;
    while found.len() < MOST_SIGNATURES && matches!(probe.do_probe()?, BlkidProbeRet::Success) {
        found.push(probe.lookup_value("TYPE").unwrap_or_else(|_| "unknown".to_string()));
        if wipe {
            probe.do_wipe(false)?;
        }
    }
    Ok(found)
}

/// True when the device itself holds the superblock of a member of Linux software RAID.
///
/// # Errors
/// As [`probe`].
pub fn is_raid_member(device: &OpenDevice) -> Result<bool, DeviceError> {
    holds_raid_member(device, Bytes(0), device.size())
}

/// As [`is_raid_member`], of `size` bytes from `start` on.
///
/// # Errors
/// As [`probe`].
pub fn holds_raid_member(device: &OpenDevice, start: Bytes, size: Bytes) -> Result<bool, DeviceError> {
    Ok(each(device, start, size, false)?.iter().any(|kind| kind == RAID_MEMBER))
}

/// The label of the file system that starts at byte `start` of the device; nothing when there is none or it has none.
///
/// # Errors
/// When the device cannot be read.
pub fn label(device: &OpenDevice, start: Bytes, size: Bytes) -> Result<Option<String>, DeviceError> {
    value(device, start, size, BlkidSublks::Label, "LABEL")
}

/// The identifier of the file system or swap space that starts at byte `start` of the device, if it has one.
///
/// # Errors
/// When the device cannot be read.
pub fn uuid(device: &OpenDevice, start: Bytes, size: Bytes) -> Result<Option<String>, DeviceError> {
    value(device, start, size, BlkidSublks::Uuid, "UUID")
}

/// The kind of the file system on a device, as the kernel calls it; nothing when there is none, or signs of several.
///
/// # Errors
/// When the device cannot be read.
pub fn file_system(device: &File) -> io::Result<Option<String>> {
    let probed = || {
        let mut probe = BlkidProbe::new()?;
        probe.set_device(device.as_raw_fd(), 0, 0)?;
        probe.enable_superblocks(true)?;
        probe.set_superblock_flags(BlkidSublksFlags::new(vec![BlkidSublks::Type, BlkidSublks::Usage]))?;
        match probe.do_safeprobe()? {
            BlkidSafeprobeRet::Success => {
                let is_mountable = probe.lookup_value("USAGE")? == "filesystem";
                Ok(Some(probe.lookup_value("TYPE")?).filter(|_| is_mountable))
            }
            _ => Ok(None),
        }
    };
    let kind = probed().map_err(|error: BlkidErr| io::Error::other(error))?;
    // The kernel's driver has another name.
    Ok(kind.map(|kind| if kind == "ntfs" { "ntfs3".to_string() } else { kind }))
}

fn value(
    device: &OpenDevice,
    start: Bytes,
    size: Bytes,
    flag: BlkidSublks,
    name: &str,
) -> Result<Option<String>, DeviceError> {
    let probed = || {
        let mut probe = BlkidProbe::new()?;
        probe.set_device(device.file().as_raw_fd(), start.0 as libc::loff_t, size.0 as libc::loff_t)?;
        probe.enable_superblocks(true)?;
        probe.set_superblock_flags(BlkidSublksFlags::new(vec![BlkidSublks::Type, flag]))?;
        match probe.do_safeprobe()? {
            BlkidSafeprobeRet::Success => Ok(probe.lookup_value(name).ok()),
            _ => Ok(None),
        }
    };
    probed().map_err(|cause| DeviceError::Probe { device: device.name().to_string(), cause })
}
