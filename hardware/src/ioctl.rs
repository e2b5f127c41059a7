//! Block device and inode ioctls as safe functions (linux/fs.h, linux/blkpg.h).
//!
//! They act on any descriptor; who may be acted on is decided where a device is opened ([`crate::open_device`]).
#![expect(unsafe_code, reason = "ioctl takes raw pointers; every call here passes a live object of the size it wants")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use crate::units::{BlockSize, Bytes};

mod raw {
    use nix::libc::{c_int, c_long};
    use nix::request_code_none;

    nix::ioctl_none!(blkrrpart, 0x12, 95);
    nix::ioctl_none!(blkflsbuf, 0x12, 97);
    nix::ioctl_read_bad!(blksszget, request_code_none!(0x12, 104), c_int);
    nix::ioctl_write_ptr_bad!(blkpg, request_code_none!(0x12, 105), super::BlkpgArgument);
    nix::ioctl_read!(blkgetsize64, 0x12, 114, usize);
    nix::ioctl_write_ptr_bad!(blkdiscard, request_code_none!(0x12, 119), [u64; 2]);
    nix::ioctl_write_ptr_bad!(blksecdiscard, request_code_none!(0x12, 125), [u64; 2]);
    nix::ioctl_write_ptr_bad!(blkzeroout, request_code_none!(0x12, 127), [u64; 2]);
    nix::ioctl_read!(fs_ioc_getflags, b'f', 1, c_long);
    nix::ioctl_write_ptr!(fs_ioc_setflags, b'f', 2, c_long);
}

/// `struct blkpg_ioctl_arg`.
#[repr(C)]
pub(crate) struct BlkpgArgument {
    op: libc::c_int,
    flags: libc::c_int,
    data_len: libc::c_int,
    data: *const BlkpgPartition,
}

/// `struct blkpg_partition`.
#[repr(C)]
struct BlkpgPartition {
    start: libc::c_longlong,
    length: libc::c_longlong,
    number: libc::c_int,
    device_name: [u8; 64],
    volume_name: [u8; 64],
}

const BLKPG_ADD_PARTITION: libc::c_int = 1;
const BLKPG_DEL_PARTITION: libc::c_int = 2;
/// The inode attribute that forbids changing or removing a file.
const FS_IMMUTABLE_FL: libc::c_long = 0x10;

/// Size of the device (BLKGETSIZE64).
///
/// # Errors
/// The errno of the call.
pub fn size(file: &File) -> io::Result<Bytes> {
    let mut bytes: usize = 0;
    // SAFETY: `bytes` is the size_t the call fills.
    unsafe { raw::blkgetsize64(file.as_raw_fd(), &mut bytes) }?;
    Ok(Bytes(bytes as u64))
}

/// Logical block size (BLKSSZGET).
///
/// # Errors
/// The errno of the call.
pub fn logical_block_size(file: &File) -> io::Result<BlockSize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: `bytes` is the int the call fills.
    unsafe { raw::blksszget(file.as_raw_fd(), &mut bytes) }?;
    Ok(BlockSize(bytes as u32))
}

/// Makes the kernel forget and read again the partition table (BLKRRPART). EBUSY while a partition is in use; EINVAL on
/// devices that have no partition scanning.
///
/// # Errors
/// The errno of the call.
pub fn reread_partitions(file: &File) -> io::Result<()> {
    // SAFETY: no argument.
    unsafe { raw::blkrrpart(file.as_raw_fd()) }?;
    Ok(())
}

/// Writes back and drops the device's page cache (BLKFLSBUF).
///
/// # Errors
/// The errno of the call.
pub fn flush_buffers(file: &File) -> io::Result<()> {
    // SAFETY: no argument.
    unsafe { raw::blkflsbuf(file.as_raw_fd()) }?;
    Ok(())
}

/// Discards a byte range (BLKDISCARD); what it reads as afterwards is up to the device.
///
/// # Errors
/// The errno of the call.
pub fn discard(file: &File, start: Bytes, length: Bytes) -> io::Result<()> {
    // SAFETY: the argument is the u64[2] the call reads.
    unsafe { raw::blkdiscard(file.as_raw_fd(), &[start.0, length.0]) }?;
    Ok(())
}

/// Discards a byte range and every copy of it (BLKSECDISCARD). EOPNOTSUPP on nearly all devices but eMMC.
///
/// # Errors
/// The errno of the call.
pub fn secure_discard(file: &File, start: Bytes, length: Bytes) -> io::Result<()> {
    // SAFETY: the argument is the u64[2] the call reads.
    unsafe { raw::blksecdiscard(file.as_raw_fd(), &[start.0, length.0]) }?;
    Ok(())
}

/// Makes a byte range read as zeros (BLKZEROOUT): the device does it when it can, else the kernel writes them.
///
/// # Errors
/// The errno of the call.
pub fn zero_out(file: &File, start: Bytes, length: Bytes) -> io::Result<()> {
    // SAFETY: the argument is the u64[2] the call reads.
    unsafe { raw::blkzeroout(file.as_raw_fd(), &[start.0, length.0]) }?;
    Ok(())
}

/// Tells the kernel of a partition it did not find itself (BLKPG_ADD_PARTITION).
///
/// # Errors
/// The errno of the call.
pub fn add_partition(disk: &File, number: u32, start: Bytes, length: Bytes) -> io::Result<()> {
    blkpg(disk, BLKPG_ADD_PARTITION, number, start, length)
}

/// Makes the kernel forget a partition (BLKPG_DEL_PARTITION). EBUSY while it is in use.
///
/// # Errors
/// The errno of the call.
pub fn delete_partition(disk: &File, number: u32) -> io::Result<()> {
    blkpg(disk, BLKPG_DEL_PARTITION, number, Bytes(0), Bytes(0))
}

fn blkpg(disk: &File, op: libc::c_int, number: u32, start: Bytes, length: Bytes) -> io::Result<()> {
    let partition = BlkpgPartition {
        start: start.0 as libc::c_longlong,
        length: length.0 as libc::c_longlong,
        number: number as libc::c_int,
        device_name: [0; 64],
        volume_name: [0; 64],
    };
    let argument = BlkpgArgument {
        op,
        flags: 0,
        data_len: size_of::<BlkpgPartition>() as libc::c_int,
        data: &raw const partition,
    };
    // SAFETY: `argument` and the `partition` it points to live until the call has returned.
    unsafe { raw::blkpg(disk.as_raw_fd(), &argument) }?;
    Ok(())
}

/// Takes the immutable attribute off a file, as the kernel sets it on EFI variables.
///
/// # Errors
/// The errno of the call.
pub fn clear_immutable(file: &File) -> io::Result<()> {
    let mut flags: libc::c_long = 0;
    // SAFETY: `flags` is the long the call fills.
    unsafe { raw::fs_ioc_getflags(file.as_raw_fd(), &mut flags) }?;
    if flags & FS_IMMUTABLE_FL != 0 {
        flags &= !FS_IMMUTABLE_FL;
        // SAFETY: `flags` is the long the call reads.
        unsafe { raw::fs_ioc_setflags(file.as_raw_fd(), &flags) }?;
    }
    Ok(())
}
