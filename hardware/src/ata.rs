//! ATA disks that erase themselves: the Security feature set (ACS-3, 4.18), passed through the SCSI layer (SAT-3).

mod security;

use std::time::Duration;

pub use self::security::Action;
use self::security::{Drive, Security};
use crate::block::{BlockDevice, EligibleDevice};
use crate::machine::Machine;
use crate::open_device::{Access, DeviceError, OpenDevice};
use crate::scsi::{self, Data, ScsiError};
use crate::watch::Watch;

/// What the SCSI layer calls the vendor of every ATA disk that it talks to itself (SAT-3, 10.3.2); a bridge answers with
/// its own name.
const ATA_VENDOR: &str = "ATA";

/// True for names under which ATA disks appear.
pub fn may_be_ata(device: &str) -> bool {
    device.starts_with("/dev/sd")
}

/// Makes the disk erase itself by SECURITY ERASE UNIT. This cannot be stopped once begun.
///
/// # Errors
/// [`DeviceError::Unsupported`] when it is no ATA disk, is behind a bridge, or has no Security feature set or not this
/// mode; [`DeviceError::Refused`] when it is frozen, locked with a password of somebody else, or the erase failed (the
/// password is then taken off again).
pub fn erase(machine: &Machine, device: &EligibleDevice, action: Action, watch: &dyn Watch) -> Result<(), DeviceError> {
    if let Some(reason) = behind_a_bridge(device) {
        return Err(DeviceError::Unsupported { device: device.name.clone(), reason });
    }
    let open = OpenDevice::open(machine, device, Access::Write)?;
    security::erase(&PassThrough { open: &open }, action, watch)
}

/// Why commands would not reach the disk itself. A bridge that loses power, or its patience, between two of them leaves a
/// disk that is locked for ever.
fn behind_a_bridge(device: &BlockDevice) -> Option<String> {
    match (device.tran.as_deref(), device.vendor.as_deref()) {
        (Some(transport @ ("usb" | "ieee1394")), _) => Some(format!("it is behind a bridge ({transport})")),
        (_, Some(ATA_VENDOR)) => None,
        (_, vendor) => {
            Some(format!("it is no ATA disk, or behind a bridge: its vendor is {}", vendor.unwrap_or("unknown")))
        }
    }
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
        scsi::run(self.open.file(), &command_block(protocol, flags, count, command), data, timeout)
    }
}

/// ATA PASS-THROUGH (16): protocol, flags, one block or none, and the command.
fn command_block(protocol: u8, flags: u8, count: u8, command: u8) -> [u8; 16] {
    let mut block = [0; 16];
    (block[0], block[1], block[2], block[6], block[14]) = (0x85, protocol, flags, count, command);
    block
}

impl Drive for PassThrough<'_> {
    fn name(&self) -> &str {
        self.open.name()
    }

    fn identify(&self) -> Result<Security, DeviceError> {
        let mut page = [0; 512];
        match self.run(security::IDENTIFY_DEVICE, Transfer::In(&mut page), security::QUICK) {
            Ok(()) if !security::is_intact(&page) => Err(DeviceError::Unsupported {
                device: self.name().to_string(),
                reason: "what it says of itself is damaged: it is behind a bridge".to_string(),
            }),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_behind_bridges_are_left_alone() {
        let disk = |vendor: Option<&str>, tran: Option<&str>| {
            let [vendor, tran] = [vendor, tran].map(|text| text.map(str::to_string));
            behind_a_bridge(&BlockDevice { vendor, tran, ..BlockDevice::default() })
        };
        assert_eq!(disk(Some("ATA"), Some("sata")), None);
        // A SATA disk at a SAS adapter.
        assert_eq!(disk(Some("ATA"), Some("sas")), None);
        assert!(disk(Some("ATA"), Some("usb")).is_some());
        assert!(disk(Some("JMicron"), Some("usb")).is_some());
        assert!(disk(Some("SEAGATE"), Some("sas")).is_some());
        assert!(disk(None, None).is_some());
    }

    #[test]
    fn command_blocks_are_those_of_sat() {
        // SECURITY ERASE PREPARE: non-data. IDENTIFY DEVICE: PIO in, length in the count field, in blocks, from the device.
        assert_eq!(command_block(0x06, 0x00, 0, 0xf3), [0x85, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xf3, 0]);
        assert_eq!(command_block(0x08, 0x0e, 1, 0xec), [0x85, 8, 0xe, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xec, 0]);
    }
}
