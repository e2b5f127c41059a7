//! ATA disks that erase themselves: the Security feature set (ACS-3, 4.18), passed through the SCSI layer (SAT-3).

mod security;

use std::time::Duration;

use self::security::{Drive, Security};
use crate::block::EligibleDevice;
use crate::machine::Machine;
use crate::open_device::{Access, DeviceError, OpenDevice};
use crate::scsi::{self, Data, ScsiError};

/// True for names under which ATA disks appear.
pub fn may_be_ata(device: &str) -> bool {
    device.starts_with("/dev/sd")
}

/// Makes the disk erase itself by SECURITY ERASE UNIT, enhanced where it can. This cannot be stopped once begun.
///
/// # Errors
/// [`DeviceError::Unsupported`] when it is no ATA disk or has no Security feature set; [`DeviceError::Refused`] when it
/// is frozen, locked with a password of somebody else, or the erase failed (the password is then taken off again).
pub fn erase(machine: &Machine, device: &EligibleDevice) -> Result<(), DeviceError> {
    let open = OpenDevice::open(machine, device, Access::Write)?;
    security::erase(&PassThrough { open: &open })
}

/// A drive behind ATA PASS-THROUGH (16).
struct PassThrough<'a> {
    open: &'a OpenDevice,
}

/// How the 512 bytes of a command travel, with the bytes 1 and 2 of the command block.
enum Transfer<'a> {
    None,
    In(&'a mut [u8; 512]),
    Out(&'a [u8; 512]),
}

impl PassThrough<'_> {
    fn run(&self, command: u8, transfer: Transfer<'_>, timeout: Duration) -> Result<(), ScsiError> {
        // Protocol (non-data, PIO in, PIO out) and the flags that give the length in the count field.
        let (protocol, flags, count, data) = match transfer {
            Transfer::None => (0x06, 0x00, 0, Data::None),
            Transfer::In(buffer) => (0x08, 0x0e, 1, Data::In(buffer)),
            Transfer::Out(buffer) => (0x0a, 0x06, 1, Data::Out(buffer)),
        };
        let mut block = [0; 16];
        (block[0], block[1], block[2], block[6], block[14]) = (0x85, protocol, flags, count, command);
        scsi::run(self.open.file(), &block, data, timeout)
    }
}

impl Drive for PassThrough<'_> {
    fn name(&self) -> &str {
        self.open.name()
    }

    fn identify(&self) -> Result<Security, DeviceError> {
        let mut page = [0; 512];
        match self.run(security::IDENTIFY_DEVICE, Transfer::In(&mut page), security::QUICK) {
            Ok(()) => Ok(Security::parse(&page)),
            Err(error) => Err(DeviceError::Unsupported {
                device: self.name().to_string(),
                reason: format!("it does not answer ATA commands: {error}"),
            }),
        }
    }

    fn command(&self, command: u8, data: Option<&[u8; 512]>, limit: Duration) -> Result<(), DeviceError> {
        let transfer = data.map_or(Transfer::None, Transfer::Out);
        self.run(command, transfer, limit).map_err(|error| DeviceError::Refused {
            device: self.name().to_string(),
            reason: format!("ATA command {command:#04x} failed: {error}"),
        })
    }
}
