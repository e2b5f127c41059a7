//! Removing arrays: content, superblocks, and the partition tables of the disks they were on.

use ferric_hardware::block::{self, EligibleDevice};
use ferric_hardware::machine::Machine;
use ferric_hardware::open_device::{Access, DeviceError, OpenDevice};
use ferric_hardware::{partitions, signature, wipe};

use super::arrays::{self, Array, Fate};
use super::mdadm;
use super::protection::unprotected;
use crate::clean::clear;
use crate::step::Step;
use crate::{ErrorKind, StepError, leftover, python};

/// Stacked arrays appear one below the other.
const PASSES: usize = 2;

/// Deletes every array that is not protected, whether it runs or lacks members, in as many passes as stacked ones need.
pub(super) fn delete(step: &Step) -> Result<(), StepError> {
    step.memory.set_arrays(Vec::new());
    // Arrays that nobody assembled are arrays, too. There may be none.
    if let Err(error) = mdadm::run(step, &["--assemble", "--scan"]) {
        tracing::debug!(%error, "nothing was assembled");
    }
    // An array is not stopped while a volume is active on it.
    leftover::take_down(step);
    let mut holders = Vec::new();
    for _ in 0..PASSES {
        for array in condemned(step, Fate::Wipe)? {
            wipe_content(step, &array).map_err(failed)?;
        }
        for array in condemned(step, Fate::Delete)? {
            step.progress.activity(format!("deleting {}", array.device));
            wipe_content(step, &array).map_err(failed)?;
            mdadm::run(step, &["--stop", &array.device])?;
            tracing::info!(device = array.device, members = ?array.members, "array stopped");
            // Here and now: some may be on disks that stay in use by an array which is kept.
            for member in &array.members {
                if let Err(error) = mdadm::run(step, &["--zero-superblock", &format!("/dev/{member}")]) {
                    tracing::warn!(member, error = error.chain(), "its superblock stays for now");
                }
            }
            holders.extend(array.holders);
        }
    }
    let left: Vec<String> = condemned(step, Fate::Delete)?.into_iter().map(|array| array.device).collect();
    if !left.is_empty() {
        let left = python::repr(&left.into());
        return Err(ErrorKind::SoftwareRaid.error(format!("Unable to clean all softraid correctly. Remaining {left}")));
    }
    for disk in unprotected(step)?.eligible {
        let was_holder = holders.iter().any(|holder| disk.name == format!("/dev/{holder}"));
        remove_superblocks(&step.site.machine, &disk, was_holder).map_err(failed)?;
    }
    Ok(())
}

fn condemned(step: &Step, fate: Fate) -> Result<Vec<Array>, StepError> {
    let arrays = arrays::list(step)?;
    let fates = arrays::fates(&arrays, &arrays::protected_volumes(&step.node));
    Ok(arrays.into_iter().zip(fates).filter(|(_, other)| *other == fate).map(|(array, _)| array).collect())
}

/// Removes the metadata that is on the array itself.
fn wipe_content(step: &Step, array: &Array) -> Result<(), DeviceError> {
    if !array.is_active {
        tracing::info!(device = array.device, "it does not run: its content cannot be had");
        return Ok(());
    }
    let listing = block::list(&step.site.machine, &step.device_policy());
    match listing.find(&step.site.machine, &array.device) {
        Ok(device) => clear::clear(&step.site.machine, device).map(drop),
        Err(error) => {
            let reason = format!("must not be touched: {error}");
            Err(DeviceError::Refused { device: array.device.clone(), reason })
        }
    }
}

/// Removes what makes the disk or its partitions members; of a disk that held an array, or a part of one that nobody
/// assembled, the partition table as well.
fn remove_superblocks(machine: &Machine, disk: &EligibleDevice, was_holder: bool) -> Result<(), DeviceError> {
    let mut holds = was_holder || signature::is_raid_member(&OpenDevice::open(machine, disk, Access::Read)?)?;
    for partition in disk.partitions().iter().rev() {
        if signature::is_raid_member(&OpenDevice::open(machine, partition, Access::Read)?)? {
            wipe::metadata(&OpenDevice::open(machine, partition, Access::Write)?)?;
            tracing::info!(device = %partition.name, "superblock removed");
            holds = true;
        }
    }
    if holds {
        let open = OpenDevice::open(machine, disk, Access::Write)?;
        wipe::metadata(&open)?;
        partitions::forget(machine, disk, &open)?;
    }
    Ok(())
}

fn failed(error: DeviceError) -> StepError {
    ErrorKind::SoftwareRaid.of(error)
}
