//! An array that was deployed to: what each of its disks needs so that the machine boots without the others.

use std::io;
use std::path::Path;

use ferric_hardware::block::{self, EligibleDevice, HeldDisk};
use ferric_hardware::efi::HardDrive;
use ferric_hardware::gpt;
use ferric_hardware::open_device::{Access, OpenDevice};
use ferric_hardware::partition_table::PartitionTable;
use ferric_hardware::partitions;
use ferric_hardware::signature;
use ferric_hardware::units::Bytes;

use super::assets;
use super::esp::{self, EspError, SystemPartition};
use crate::clean::raid::arrays::{self, Array};
use crate::clean::raid::mdadm::{self, NewArray};
use crate::deploy::mounted::Mounted;
use crate::step::Step;
use crate::{ErrorKind, StepError};

/// The room that the steps leave before the first array.
const SYSTEM_PARTITION: Bytes = Bytes::mib(550);
const BIOS_BOOT_PARTITION: Bytes = Bytes::mib(2);
/// Directories are copied this deep.
const DEPTH: usize = 16;
/// The name of the array of system partitions; `delete_configuration` and the Python agent know it.
const VOLUME: &str = "esp";

/// The disks below what was deployed to; none when that is no array.
pub(super) fn disks(step: &Step, device: &EligibleDevice) -> Vec<HeldDisk> {
    HeldDisk::below(&step.site.machine, device)
}

/// The array of EFI system partitions on these disks, if there is one already.
pub(super) fn existing(step: &Step, disks: &[HeldDisk]) -> Result<Option<EligibleDevice>, StepError> {
    let all = arrays::list(step)?;
    let listing = block::list(&step.site.machine, &step.device_policy());
    let is_on_them = |array: &&Array| {
        array.holders.iter().all(|holder| disks.iter().any(|disk| disk.name() == format!("/dev/{holder}")))
    };
    for array in all.iter().filter(is_on_them) {
        let Ok(device) = listing.find(&step.site.machine, &array.device) else { continue };
        if array.volume.as_deref() == Some(VOLUME) || holds_fat(step, device)? {
            return Ok(Some(device.clone()));
        }
    }
    Ok(None)
}

fn holds_fat(step: &Step, device: &EligibleDevice) -> Result<bool, StepError> {
    let kinds = signature::probe(&OpenDevice::open(&step.site.machine, device, Access::Read)?)?;
    Ok(kinds.iter().any(|kind| kind == "vfat"))
}

/// Makes an EFI system partition on each disk, and an array of them which the firmware takes for single file systems: its
/// superblock is at the end.
pub(super) fn make(step: &Step, disks: &[HeldDisk]) -> Result<EligibleDevice, StepError> {
    let mut members = Vec::new();
    for (number, disk) in disks.iter().enumerate() {
        step.progress.activity(format!("making an EFI system partition on {}", disk.name()));
        let name = format!("uefi-holder-{number}");
        let added = partitions::add_to_held(&step.site.machine, disk, gpt::EFI_SYSTEM, SYSTEM_PARTITION, &name)?;
        tracing::info!(partition = added.name, "EFI system partition made");
        members.push(added.name);
    }
    let array = NewArray { level: "1", metadata: "1.0", volume: Some(VOLUME), members: &members };
    let device = mdadm::create(step, &array)?;
    let listing = block::list(&step.site.machine, &step.device_policy());
    listing.find(&step.site.machine, &device).cloned().map_err(|error| ErrorKind::SoftwareRaid.of(error))
}

/// Moves the system partition of the array that was deployed to, with its identifier and label; it is gone from its old
/// place after that, so that nobody takes that for it.
pub(super) fn relocate(
    step: &Step,
    from: &EligibleDevice,
    partition: &SystemPartition,
    to: &EligibleDevice,
) -> Result<(), StepError> {
    step.progress.activity(format!("moving the EFI system partition of {} to {}", from.name, to.name));
    let failed = || {
        let what = format!("moving the EFI system partition of {} to {}", from.name, to.name);
        ErrorKind::SoftwareRaid.error(what)
    };
    let place = partition.place;
    let source = OpenDevice::open(&step.site.machine, from, Access::Read)?;
    let target = OpenDevice::open(&step.site.machine, to, Access::Write)?;
    esp::format_like(&source, place, &target).map_err(|error| failed().because(error))?;
    drop((source, target));
    let node = partitions::node(&from.name, partition.drive.number);
    copy(step, &node, &to.name).map_err(|error| failed().because(error))?;
    let source = OpenDevice::open(&step.site.machine, from, Access::Write)?;
    signature::wipe(&source, place.start, place.size)?;
    Ok(source.flush()?)
}

fn copy(step: &Step, from: &str, to: &str) -> io::Result<()> {
    let source = Mounted::new(step, from)?;
    let target = Mounted::new(step, to)?;
    assets::copy_directory(&source, Path::new("/"), &target, Path::new("/"), DEPTH)
}

/// The members of the array of system partitions, as the firmware finds each.
pub(super) fn drives(step: &Step, esp: &EligibleDevice, disks: &[HeldDisk]) -> Result<Vec<HardDrive>, StepError> {
    let members = step.site.machine.names(format!("/sys/class/block/{}/slaves", esp.name.trim_start_matches("/dev/")));
    let mut drives = Vec::new();
    for member in members {
        let number = step.site.machine.number(format!("/sys/class/block/{member}/partition"));
        let disk = disks.iter().find(|disk| partition_of(&member, disk, number));
        let (Some(number), Some(disk)) = (number, disk) else {
            return Err(ErrorKind::DeviceNotFound.error(format!("Could not find the disk and partition of {member}")));
        };
        let failed = |error: EspError| ErrorKind::BlockDevice.error(disk.name()).because(error);
        drives.push(
            esp::by_number(&OpenDevice::open_held(&step.site.machine, disk, Access::Read)?, number).map_err(failed)?,
        );
    }
    Ok(drives)
}

fn partition_of(member: &str, disk: &HeldDisk, number: Option<u32>) -> bool {
    number.is_some_and(|number| partitions::node(disk.name(), number) == format!("/dev/{member}"))
}

/// Makes room for GRUB's own code on each disk with a GUID partition table that has none.
pub(super) fn make_bios_boot_partitions(step: &Step, disks: &[HeldDisk]) -> Result<(), StepError> {
    for (number, disk) in disks.iter().enumerate() {
        let open = OpenDevice::open_held(&step.site.machine, disk, Access::Read)?;
        let table = PartitionTable::read(open.file(), open.size(), open.block_size());
        let table = table.map_err(|error| ErrorKind::BlockDevice.error(disk.name()).because(error))?;
        let Some(PartitionTable::Gpt(table)) = table else { continue };
        if table.partitions().iter().any(|partition| partition.type_guid == gpt::BIOS_BOOT) {
            continue;
        }
        drop(open);
        let name = format!("bios-boot-part-{number}");
        partitions::add_to_held(&step.site.machine, disk, gpt::BIOS_BOOT, BIOS_BOOT_PARTITION, &name)?;
    }
    Ok(())
}

/// The kernel arguments by which an initial file system of dracut assembles the arrays; none when `device` is no array.
pub(in crate::deploy) fn kernel_arguments(step: &Step, device: &EligibleDevice) -> Result<Vec<String>, StepError> {
    if disks(step, device).is_empty() { Ok(Vec::new()) } else { dracut_arguments(step) }
}

/// What the initial file system of the deployed system needs to be told of each array, where dracut has made it.
pub(super) fn dracut_arguments(step: &Step) -> Result<Vec<String>, StepError> {
    let mut found = Vec::new();
    for array in arrays::list(step)? {
        let details = mdadm::run(step, &["--detail", "--export", &array.device])?;
        found.extend(
            details.lines().find_map(|line| line.strip_prefix("MD_UUID=")).map(|uuid| format!("rd.md.uuid={uuid}")),
        );
    }
    Ok(found)
}
