//! Removing arrays: content, superblocks, and the partition tables of the disks they were on.

use ferric_hardware::block::{self, EligibleDevice};
use ferric_hardware::machine::Machine;
use ferric_hardware::opened::{Access, DeviceError, OpenDevice};
use ferric_hardware::{partitions, signature, wipe};

use super::arrays::{self, Array, Fate};
use super::mdadm;
use crate::clean::metadata;
use crate::step::Context;
use crate::{StepError, leftover};

/// Stacked arrays appear one below the other.
const PASSES: usize = 2;

/// Deletes every array that is not protected, in as many passes as stacked ones need.
pub(super) fn delete(context: &Context) -> Result<(), StepError> {
    context.memory.set_arrays(Vec::new());
    // Arrays that nobody assembled are arrays, too. There may be none.
    if let Err(error) = mdadm(context, &["--assemble", "--scan"]) {
        tracing::debug!(%error, "nothing was assembled");
    }
    // An array is not stopped while a volume is active on it.
    leftover::take_down(context);
    let mut holders = Vec::new();
    for _ in 0..PASSES {
        for array in condemned(context, Fate::Wipe)? {
            wipe_content(context, &array).map_err(failed)?;
        }
        for array in condemned(context, Fate::Delete)? {
            context.progress.activity(format!("deleting {}", array.device));
            wipe_content(context, &array).map_err(failed)?;
            mdadm(context, &["--stop", &array.device])?;
            tracing::info!(device = array.device, members = ?array.members, "array stopped");
            holders.extend(array.holders);
        }
    }
    let left: Vec<String> = condemned(context, Fate::Delete)?.into_iter().map(|array| array.device).collect();
    if !left.is_empty() {
        return Err(StepError::SoftwareRaid(format!("Unable to clean all softraid correctly. Remaining {left:?}")));
    }
    for disk in block::list(&context.machine, &context.device_policy()).eligible {
        let was_holder = holders.iter().any(|holder| disk.name == format!("/dev/{holder}"));
        remove_superblocks(&context.machine, &disk, was_holder).map_err(failed)?;
    }
    Ok(())
}

fn condemned(context: &Context, fate: Fate) -> Result<Vec<Array>, StepError> {
    let arrays = arrays::list(context)?;
    let fates = arrays::fates(&arrays, &arrays::protected_volumes(&context.node));
    Ok(arrays.into_iter().zip(fates).filter(|(_, other)| *other == fate).map(|(array, _)| array).collect())
}

/// Removes the metadata that is on the array itself.
fn wipe_content(context: &Context, array: &Array) -> Result<(), DeviceError> {
    let listing = block::list(&context.machine, &context.device_policy());
    match listing.find(&context.machine, &array.device) {
        Ok(device) => metadata::erase_disk(&context.machine, device).map(drop),
        Err(error) => {
            let reason = format!("must not be touched: {error}");
            Err(DeviceError::Refused { device: array.device.clone(), reason })
        }
    }
}

/// Removes what makes the disk or its partitions members; of a disk that held an array, the partition table as well.
fn remove_superblocks(machine: &Machine, disk: &EligibleDevice, was_holder: bool) -> Result<(), DeviceError> {
    for partition in disk.partitions().iter().rev() {
        if signature::is_raid_member(&OpenDevice::open(machine, partition, Access::Read)?)? {
            wipe::metadata(&OpenDevice::open(machine, partition, Access::Write)?)?;
            tracing::info!(device = %partition.name, "superblock removed");
        }
    }
    if was_holder || signature::is_raid_member(&OpenDevice::open(machine, disk, Access::Read)?)? {
        let open = OpenDevice::open(machine, disk, Access::Write)?;
        wipe::metadata(&open)?;
        partitions::forget(machine, disk, &open)?;
    }
    Ok(())
}

fn failed(error: DeviceError) -> StepError {
    StepError::SoftwareRaid(error.to_string())
}
