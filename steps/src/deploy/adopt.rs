//! What follows the last byte of an image, whoever wrote it: its partition table becomes that of the disk, and the kernel
//! sees it.

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::machine::Machine;
use ferric_hardware::open_device::{Access, OpenDevice};
use ferric_hardware::partition_table::PartitionTable;
use ferric_hardware::{partitions, signature, wipe};

use crate::{ErrorKind, StepError};

/// Makes the partition table of the image on `device` that of the disk, lets `add` write what else belongs there, and shows
/// the result to the kernel. Returns the disk identifier, as `0x%08x`. When it fails, the image is taken off the disk again.
///
/// # Errors
/// [`ErrorKind::Deployment`] when there is neither a partition nor a file system; those of `add` and of the device.
pub fn adopt(
    machine: &Machine,
    device: &EligibleDevice,
    add: impl FnOnce(&OpenDevice) -> Result<(), StepError>,
) -> Result<String, StepError> {
    let disk = OpenDevice::open(machine, device, Access::Write)?;
    let finished = adopt_table(&disk).and_then(|disk_id| {
        add(&disk)?;
        partitions::reread(machine, device, &disk)?;
        Ok(disk_id)
    });
    if finished.is_err()
        && let Err(error) = wipe::metadata(&disk)
    {
        tracing::error!(device = device.name, %error, "cannot take the unusable image off the disk again");
    }
    finished
}

/// The backup of a GPT goes to the end of the disk. Returns the disk identifier.
fn adopt_table(disk: &OpenDevice) -> Result<String, StepError> {
    let device = disk.name();
    let unusable = || {
        ErrorKind::Deployment.error(format!(
            "Unable to find a valid partition table on the disk after writing the image. The image may be corrupted or \
             it uses a different sector size than the device. Error: {device}"
        ))
    };
    let table =
        PartitionTable::read(disk.file(), disk.size(), disk.block_size()).map_err(|error| unusable().because(error))?;
    let entries = match &table {
        Some(table) => table.entries(disk.file(), disk.block_size()).map_err(|error| unusable().because(error))?,
        // One file system over the whole disk is as good as a partition.
        None if !signature::probe(disk)?.is_empty() => return disk_identifier(disk),
        None => return Err(unusable().because("there is none")),
    };
    if entries.is_empty() {
        return Err(
            ErrorKind::Deployment.error(format!("No partitions found on the device {device} after writing the image."))
        );
    }
    if let Some(PartitionTable::Gpt(mut gpt)) = table
        && !gpt.is_sound()
    {
        gpt.fit_to_disk().map_err(|error| unusable().because(error))?;
        gpt.write(disk.file()).map_err(|error| unusable().because(error))?;
    }
    disk_identifier(disk)
}

/// The four bytes before the entries of an MBR; 0 on most disks with a GPT.
fn disk_identifier(disk: &OpenDevice) -> Result<String, StepError> {
    use std::os::unix::fs::FileExt;
    let mut bytes = [0; 4];
    disk.file().read_exact_at(&mut bytes, 440).map_err(|error| {
        ErrorKind::ImageWrite.error(format!("Reading the disk identifier of {}", disk.name())).because(error)
    })?;
    Ok(format!("{:#010x}", u32::from_le_bytes(bytes)))
}
