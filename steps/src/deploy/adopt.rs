//! What follows the last byte of an image, whoever wrote it: its partition table becomes that of the disk, and the kernel
//! sees it.

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::machine::Machine;
use ferric_hardware::open_device::{Access, OpenDevice};
use ferric_hardware::partition_table::PartitionTable;
use ferric_hardware::{partitions, signature, wipe};

use crate::{ErrorKind, StepError};

/// The note on a table that came without its backup, or with one that differs.
const MENDED: &str = "The image has only one intact copy of its partition table; the other was made anew";

/// A disk whose table is its own now.
#[derive(Debug)]
pub struct Adopted {
    /// The disk identifier, as `0x%08x`.
    pub disk_id: String,
    /// What of its table had to be mended, in a sentence. That the backup goes to the end of a larger disk is no news.
    pub note: Option<&'static str>,
}

/// Makes the partition table of the image on `device` that of the disk, lets `add` write what else belongs there, and shows
/// the result to the kernel. When it fails, the image is taken off the disk again.
///
/// # Errors
/// [`ErrorKind::Deployment`] when there is neither a partition nor a file system; those of `add` and of the device.
pub fn adopt(
    machine: &Machine,
    device: &EligibleDevice,
    add: impl FnOnce(&OpenDevice) -> Result<(), StepError>,
) -> Result<Adopted, StepError> {
    let disk = OpenDevice::open(machine, device, Access::Write)?;
    let finished = adopt_table(&disk).and_then(|adopted| {
        add(&disk)?;
        partitions::reread(machine, device, &disk)?;
        Ok(adopted)
    });
    if finished.is_err()
        && let Err(error) = wipe::metadata(&disk)
    {
        tracing::error!(device = device.name, %error, "cannot take the unusable image off the disk again");
    }
    finished
}

/// The backup of a GPT goes to the end of the disk, and where the image lacks one of the copies, it is made from the other.
fn adopt_table(disk: &OpenDevice) -> Result<Adopted, StepError> {
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
        None if !signature::probe(disk)?.is_empty() => {
            return Ok(Adopted { disk_id: disk_identifier(disk)?, note: None });
        }
        None => return Err(unusable().because("there is none")),
    };
    if entries.is_empty() {
        return Err(
            ErrorKind::Deployment.error(format!("No partitions found on the device {device} after writing the image."))
        );
    }
    let mut note = None;
    if let Some(PartitionTable::Gpt(mut gpt)) = table
        && !gpt.is_sound()
    {
        note = (!gpt.has_backup()).then_some(MENDED);
        gpt.fit_to_disk().map_err(|error| unusable().because(error))?;
        gpt.write(disk.file()).map_err(|error| unusable().because(error))?;
    }
    Ok(Adopted { disk_id: disk_identifier(disk)?, note })
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
