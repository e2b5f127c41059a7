//! The device mapper's control device (linux/dm-ioctl.h).
#![expect(unsafe_code, reason = "ioctl takes raw pointers; the call passes a live object of the size it wants")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use crate::machine::Machine;

/// Where the device mapper takes its calls.
const CONTROL: &str = "/dev/mapper/control";

mod raw {
    nix::ioctl_readwrite!(dm_dev_remove, 0xfd, 4, super::Request);
}

/// `struct dm_ioctl`, which stands before the arguments of every call.
#[repr(C)]
pub(crate) struct Request {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event_number: u32,
    padding: u32,
    device: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
}

/// Removes the mapping with this device number (DM_DEV_REMOVE). What lies below it is not touched.
///
/// # Errors
/// The errno of the call: `ResourceBusy` while it is open; `NotFound` when there is no device mapper here.
pub(crate) fn remove(machine: &Machine, major: u32, minor: u32) -> io::Result<()> {
    let control = File::options().read(true).write(true).open(machine.path(CONTROL))?;
    let mut request = Request {
        version: [4, 0, 0],
        data_size: size_of::<Request>() as u32,
        data_start: size_of::<Request>() as u32,
        target_count: 0,
        open_count: 0,
        flags: 0,
        event_number: 0,
        padding: 0,
        device: nix::sys::stat::makedev(major.into(), minor.into()),
        name: [0; 128],
        uuid: [0; 129],
        data: [0; 7],
    };
    // SAFETY: `request` is the struct dm_ioctl that the call reads and fills; its `data_size` is its real size.
    unsafe { raw::dm_dev_remove(control.as_raw_fd(), &mut request) }?;
    Ok(())
}
