//! SCSI commands through the kernel's generic interface (scsi/sg.h, SG_IO), for devices behind the SCSI layer.
#![expect(unsafe_code, reason = "ioctl takes raw pointers; every call here passes live memory of the size it names")]

pub mod sanitize;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

mod raw {
    nix::ioctl_readwrite_bad!(sg_io, 0x2285, super::SgIoHeader);
}

/// `struct sg_io_hdr`.
#[repr(C)]
pub(crate) struct SgIoHeader {
    interface: libc::c_int,
    direction: libc::c_int,
    command_bytes: u8,
    most_sense_bytes: u8,
    iovec_count: u16,
    data_bytes: u32,
    data: *mut libc::c_void,
    command: *const u8,
    sense: *mut u8,
    timeout_ms: u32,
    flags: u32,
    pack_id: libc::c_int,
    user: *mut libc::c_void,
    status: u8,
    masked_status: u8,
    message_status: u8,
    sense_bytes: u8,
    host_status: u16,
    driver_status: u16,
    residual: libc::c_int,
    duration_ms: u32,
    info: u32,
}

const DIRECTION_NONE: libc::c_int = -1;
const DIRECTION_TO_DEVICE: libc::c_int = -2;
const DIRECTION_FROM_DEVICE: libc::c_int = -3;

/// The data of a command.
#[derive(Debug)]
pub(crate) enum Data<'a> {
    /// None.
    None,
    /// The device fills it.
    In(&'a mut [u8]),
    /// The device gets it.
    Out(&'a [u8]),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScsiError {
    /// The kernel did not pass it on.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The device refused it; sense key, code and qualifier (SPC-4, 4.5).
    #[error("SCSI status {status:#04x}, sense {key:#x}/{code:02x}/{qualifier:02x}")]
    Refused {
        /// SCSI status byte.
        status: u8,
        /// Sense key.
        key: u8,
        /// Additional sense code.
        code: u8,
        /// Its qualifier.
        qualifier: u8,
    },
    /// It was lost on the way.
    #[error("lost between host and device (host status {host:#x}, driver status {driver:#x})")]
    Transport {
        /// Status of the host adapter.
        host: u16,
        /// Status of the driver.
        driver: u16,
    },
}

/// Runs one command.
pub(crate) fn run(file: &File, command: &[u8], data: Data<'_>, timeout: Duration) -> Result<(), ScsiError> {
    let mut sense = [0_u8; 64];
    let (direction, pointer, length) = match data {
        Data::None => (DIRECTION_NONE, std::ptr::null_mut(), 0),
        Data::In(buffer) => (DIRECTION_FROM_DEVICE, buffer.as_mut_ptr(), buffer.len()),
        // The kernel only reads from it in this direction.
        Data::Out(buffer) => (DIRECTION_TO_DEVICE, buffer.as_ptr().cast_mut(), buffer.len()),
    };
    let mut header = SgIoHeader {
        interface: libc::c_int::from(b'S'),
        direction,
        command_bytes: command.len() as u8,
        most_sense_bytes: sense.len() as u8,
        iovec_count: 0,
        data_bytes: length as u32,
        data: pointer.cast(),
        command: command.as_ptr(),
        sense: sense.as_mut_ptr(),
        timeout_ms: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
        flags: 0,
        pack_id: 0,
        user: std::ptr::null_mut(),
        status: 0,
        masked_status: 0,
        message_status: 0,
        sense_bytes: 0,
        host_status: 0,
        driver_status: 0,
        residual: 0,
        duration_ms: 0,
        info: 0,
    };
    // SAFETY: every pointer in the header points to memory that lives, with the length given, until the call returns.
    unsafe { raw::sg_io(file.as_raw_fd(), &mut header) }.map_err(io::Error::from)?;
    if header.status != 0 {
        let (key, code, qualifier) = parse_sense(&sense);
        return Err(ScsiError::Refused { status: header.status, key, code, qualifier });
    }
    if header.host_status != 0 || header.driver_status & 0x0f != 0 {
        return Err(ScsiError::Transport { host: header.host_status, driver: header.driver_status });
    }
    Ok(())
}

/// What sense data says: what went wrong, and how far a long operation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sense {
    pub(crate) key: u8,
    pub(crate) code: u8,
    pub(crate) qualifier: u8,
    /// Parts of 65536.
    pub(crate) progress: Option<u16>,
}

impl Sense {
    /// Fixed (70, 71) and descriptor (72, 73) sense data (SPC-4, 4.5).
    pub(crate) fn parse(sense: &[u8; 64]) -> Self {
        let (key, code, qualifier) = parse_sense(sense);
        // The sense key specific bytes are valid when their first bit is set.
        let specific = |at: usize| (sense[at] & 0x80 != 0).then(|| u16::from_be_bytes([sense[at + 1], sense[at + 2]]));
        let progress = match sense[0] & 0x7f {
            0x72 | 0x73 => {
                const SENSE_KEY_SPECIFIC: u8 = 2;
                let mut at = 8;
                let end = (8 + usize::from(sense[7])).min(sense.len());
                while at + 8 <= end && sense[at] != SENSE_KEY_SPECIFIC {
                    at += 2 + usize::from(sense[at + 1]);
                }
                if at + 8 <= end { specific(at + 4) } else { None }
            }
            _ => specific(15),
        };
        // Of other keys, these bytes are something else.
        Self { key, code, qualifier, progress: progress.filter(|_| matches!(key, 0 | 2)) }
    }
}

/// Sense key, code and qualifier of fixed (70, 71) and descriptor (72, 73) sense data.
fn parse_sense(sense: &[u8; 64]) -> (u8, u8, u8) {
    match sense[0] & 0x7f {
        0x72 | 0x73 => (sense[1] & 0x0f, sense[2], sense[3]),
        _ => (sense[2] & 0x0f, sense[12], sense[13]),
    }
}
