//! The guard for shared-disk file systems: a SAN volume that other machines use looks like a local disk.

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::machine::Machine;
use ferric_hardware::open_device::{Access, DeviceError, OpenDevice};
use ferric_hardware::partition_table::PartitionTable;
use ferric_hardware::signature;

use crate::options::Erase;
use crate::{ErrorKind, StepError};

/// File systems that several machines mount at once, by libblkid's name.
const GUARDED_FILE_SYSTEMS: [(&str, &str); 4] = [
    ("gfs2", "Red Hat Global File System 2"),
    ("ocfs2", "Oracle Cluster File System 2"),
    ("VMFS", "VMware VMFS"),
    ("VMFS_volume_member", "VMware VMFS"),
];

/// Partition types that stand for such file systems, as [`PartitionTable::entries`] spells them.
const GUARDED_PARTITIONS: [(&str, &str); 3] = [
    ("37affc90-ef7d-4e96-91c3-2d7ae055b174", "IBM GPFS Partition"),
    ("aa31e02a-400f-11db-9590-000c2911d1b8", "VMware VMFS Partition (GPT)"),
    ("0xfb", "VMware VMFS Partition (MBR)"),
];

/// Refuses the whole list when one of its devices is protected, before anything has been touched.
///
/// # Errors
/// [`ErrorKind::ProtectedDevice`] names every protected device; [`ErrorKind::BlockDeviceErase`] when one cannot be read.
pub fn check(machine: &Machine, disks: &[EligibleDevice], options: &Erase) -> Result<(), StepError> {
    if !options.guard {
        return Ok(());
    }
    let mut protected = Vec::new();
    for disk in disks {
        protected.extend(of_disk(machine, disk).map_err(|error| ErrorKind::BlockDeviceErase.of(error))?);
    }
    if protected.is_empty() {
        return Ok(());
    }
    Err(ErrorKind::ProtectedDevice.error(format!(
        "Protected {}. This volume or contents may be a shared block device. Please consult your storage \
         administrator, and restart cleaning after either detaching the volumes, or instructing IPA to not protect \
         contents. See Ironic Python Agent documentation for more information.",
        protected.join(", ")
    )))
}

/// What is protected on one disk: what, and where.
fn of_disk(machine: &Machine, disk: &EligibleDevice) -> Result<Vec<String>, DeviceError> {
    let mut protected = Vec::new();
    let kinds = |device| signature::probe(&OpenDevice::open(machine, device, Access::Read)?);
    let of_disk = kinds(disk)?;
    let of_partitions = disk.partitions().iter().map(|partition| {
        // One bad partition must not keep the whole disk.
        let kinds = kinds(partition).unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot be looked at for a shared file system");
            Vec::new()
        });
        (partition, kinds)
    });
    for (device, kinds) in std::iter::once((disk, of_disk)).chain(of_partitions) {
        for kind in kinds {
            let guarded = GUARDED_FILE_SYSTEMS.iter().find(|(name, _)| *name == kind);
            protected.extend(guarded.map(|(_, title)| format!("{title} located on device {}", device.name)));
        }
    }
    let open = OpenDevice::open(machine, disk, Access::Read)?;
    // A damaged table is no reason to keep a disk: erasing is what mends it.
    let table = PartitionTable::read(open.file(), open.size(), open.block_size()).ok().flatten();
    let entries = table.and_then(|table| table.entries(open.file(), open.block_size()).ok()).unwrap_or_default();
    for entry in entries {
        let guarded = GUARDED_PARTITIONS.iter().find(|(kind, _)| *kind == entry.kind);
        protected
            .extend(guarded.map(|(_, title)| format!("{title} located on device {}", part(&disk.name, entry.number))));
    }
    Ok(protected)
}

/// `/dev/sda` and 1 are `/dev/sda1`; `/dev/nvme0n1` and 1 are `/dev/nvme0n1p1`.
fn part(disk: &str, number: u32) -> String {
    let separator = if disk.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
    format!("{disk}{separator}{number}")
}
