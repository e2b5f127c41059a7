//! Boot loaders that the image of one file system brings along: what its `/boot/efi/EFI` holds goes to the EFI system
//! partition that the agent made. Nothing of the image is run.

use std::io::{self, Read};
use std::path::Path;

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::open_device::{Access, OpenDevice};
use ferric_hardware::partition_table::PartitionTable;
use ferric_hardware::partitions;
use ferric_hardware::signature;

use crate::deploy::mounted::{Attributes, Mounted};
use crate::step::Step;
use crate::{ErrorKind, StepError};

/// Where distributions mount the system partition, and so where the files are that belong on it.
const SOURCE: &str = "/boot/efi/EFI";
const TARGET: &str = "/EFI";
/// What boot loaders look for beside themselves, where the image has it in one place for all.
const SHARED: [&str; 2] = ["grub.cfg", "grubenv"];
const SHARED_SOURCE: &str = "/boot/grub2";
const FSTAB: &str = "/etc/fstab";
/// Directories are followed this deep.
const DEPTH: usize = 6;
/// A longer table of file systems is none.
const MOST_FSTAB_BYTES: u64 = 1 << 20;

/// Copies the loaders of the root file system `root_uuid` to the system partition `efi_uuid` and mounts that at
/// `/boot/efi` in the image's table of file systems. False when the image brings none.
///
/// # Errors
/// [`ErrorKind::DeviceNotFound`] when a partition is not there, [`ErrorKind::Execution`] when one cannot be read or written.
pub(super) fn install(step: &Step, disk: &EligibleDevice, root_uuid: &str, efi_uuid: &str) -> Result<bool, StepError> {
    let failed = |error: io::Error| {
        let what = format!("Installing the boot loader of the image to device {} failed", disk.name);
        ErrorKind::Execution.error(what).because(error)
    };
    let root = find(step, disk, root_uuid)?;
    let (system, named_by) = find_by(step, disk, efi_uuid)?;
    let image = Mounted::new(step, &root.name).map_err(failed)?;
    if !image.has_directory(SOURCE) {
        return Ok(false);
    }
    let target = Mounted::new(step, &system.name).map_err(failed)?;
    copy_directory(&image, Path::new(SOURCE), &target, Path::new(TARGET), DEPTH).map_err(failed)?;
    copy_shared(&image, &target).map_err(failed)?;
    remember(&image, &format!("{named_by}={efi_uuid}")).map_err(failed)?;
    Ok(true)
}

/// The partition whose file system, or else whose table entry, has this identifier.
pub(super) fn find(step: &Step, disk: &EligibleDevice, uuid: &str) -> Result<EligibleDevice, StepError> {
    find_by(step, disk, uuid).map(|(partition, _)| partition)
}

/// As [`find`], with what tables of file systems call the kind of identifier.
fn find_by(step: &Step, disk: &EligibleDevice, uuid: &str) -> Result<(EligibleDevice, &'static str), StepError> {
    let open = OpenDevice::open(&step.site.machine, disk, Access::Read)?;
    let table = PartitionTable::read(open.file(), open.size(), open.block_size());
    let table = table.map_err(|error| ErrorKind::BlockDevice.error(disk.name.clone()).because(error))?;
    for partition in partitions::list(&step.site.machine, disk) {
        let content = signature::uuid(&open, partition.start, partition.size).ok().flatten();
        let entry = table.as_ref().and_then(|table| table.partition_uuid(partition.number));
        let known = [(content, "UUID"), (entry, "PARTUUID")];
        let fits =
            |(known, _): &(Option<String>, &str)| known.as_ref().is_some_and(|one| one.eq_ignore_ascii_case(uuid));
        let Some((_, named_by)) = known.into_iter().find(fits) else { continue };
        if let Some(eligible) = disk.partitions().iter().find(|one| one.name == partition.name) {
            return Ok((eligible.clone(), named_by));
        }
    }
    Err(ErrorKind::DeviceNotFound.error(format!("No partition with UUID {uuid} found on device {}", disk.name)))
}

/// Copies a directory, and what is in it `depth` directories deep.
pub(super) fn copy_directory(
    image: &Mounted,
    from: &Path,
    target: &Mounted,
    to: &Path,
    depth: usize,
) -> io::Result<()> {
    for (name, is_directory) in image.list(from)? {
        let (from, to) = (from.join(&name), to.join(&name));
        if is_directory && depth > 0 {
            copy_directory(image, &from, target, &to, depth - 1)?;
        } else if let Some(content) = image.open_file(&from)? {
            target.write(&to, content, &Attributes::default())?;
        }
    }
    Ok(())
}

fn copy_shared(image: &Mounted, target: &Mounted) -> io::Result<()> {
    for (vendor, _) in image.list(SOURCE)?.into_iter().filter(|(_, is_directory)| *is_directory) {
        for file in SHARED {
            let place = Path::new(TARGET).join(&vendor).join(file);
            if target.open_file(&place)?.is_none()
                && let Some(content) = image.open_file(Path::new(SHARED_SOURCE).join(file))?
            {
                target.write(&place, content, &Attributes::default())?;
            }
        }
    }
    Ok(())
}

/// Adds the system partition (`UUID=…`) to the image's table of file systems, unless it is there or the image has no such
/// table.
fn remember(image: &Mounted, source: &str) -> io::Result<()> {
    let Some(file) = image.open_file(FSTAB)? else { return Ok(()) };
    let mut table = String::new();
    file.take(MOST_FSTAB_BYTES).read_to_string(&mut table)?;
    if table.contains(source) {
        return Ok(());
    }
    image.append(FSTAB, format!("{source}\t/boot/efi\tvfat\tumask=0077\t0\t1\n").as_bytes())
}
