//! Which devices belong to a software RAID, by what is on them: assembled or not.

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::machine::Machine;
use ferric_hardware::open_device::{Access, DeviceError, OpenDevice};
use ferric_hardware::signature;

/// Whether the disk or one of its partitions belongs to a software RAID, assembled or not. A partition that cannot be
/// read does not: it must not keep its disk from being erased.
pub(super) fn holds_raid_member(machine: &Machine, disk: &EligibleDevice) -> Result<bool, DeviceError> {
    if is_member(machine, disk)? {
        return Ok(true);
    }
    let is_member = |partition| {
        is_member(machine, partition).unwrap_or_else(|error| {
            tracing::warn!(%error, "taken for no member of a software RAID");
            false
        })
    };
    Ok(disk.partitions().iter().any(is_member))
}

/// Whether the device itself is a member of a software RAID.
pub(super) fn is_member(machine: &Machine, device: &EligibleDevice) -> Result<bool, DeviceError> {
    signature::is_raid_member(&OpenDevice::open(machine, device, Access::Read)?)
}

/// Whether a disk may be erased because another one is: it is among those to be erased, and no RAID needs it.
pub(super) fn may_go(machine: &Machine, disks: &[EligibleDevice], name: &str) -> bool {
    disks.iter().any(|disk| disk.name == name && matches!(holds_raid_member(machine, disk), Ok(false)))
}
