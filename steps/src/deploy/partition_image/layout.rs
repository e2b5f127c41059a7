//! Which partitions a disk gets, in which order and where: as the Python agent has parted make them.

use ferric_hardware::gpt::{self, Gpt};
use ferric_hardware::mbr::{self, Mbr};
use ferric_hardware::open_device::OpenDevice;
use ferric_hardware::partition_table::{PartitionTable, TableEntry};
use ferric_hardware::table_error::TableError;
use ferric_hardware::units::{Bytes, Lba};
use uuid::Uuid;

use crate::boot_mode::BootMode;
use crate::deploy::image_info::PartitionLayout;
use crate::options::Partitions;
use crate::step::Step;
use crate::{ErrorKind, StepError};

/// Room for the table before the first partition.
const START: Bytes = Bytes::mib(1);

/// Refuses a machine that boots from a PReP partition.
///
/// # Errors
/// [`ErrorKind::Deployment`] on POWER.
pub(super) fn refuse_prep(step: &Step) -> Result<(), StepError> {
    let architecture = step.site.machine.read("/proc/sys/kernel/arch").unwrap_or_default();
    if !architecture.starts_with("ppc64") {
        return Ok(());
    }
    Err(ErrorKind::Deployment.error(format!(
        "Partition images on {architecture} need a PReP partition, which this agent does not make. The disk was not touched."
    )))
}

/// What a partition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    EfiSystem,
    BiosBoot,
    Ephemeral,
    Swap,
    ConfigDrive,
    Root,
}

impl Role {
    /// Its key in the answer of `get_partition_uuids`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::EfiSystem => "efi system partition",
            Self::BiosBoot => "BIOS Boot partition",
            Self::Ephemeral => "ephemeral",
            Self::Swap => "swap",
            Self::ConfigDrive => "configdrive",
            Self::Root => "root",
        }
    }

    /// The label of the file system that the agent makes on it.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::EfiSystem => "efi-part",
            Self::Swap => "swap1",
            Self::Ephemeral => "ephemeral0",
            Self::BiosBoot | Self::ConfigDrive | Self::Root => "",
        }
    }

    fn gpt_type(self) -> Uuid {
        match self {
            Self::EfiSystem => gpt::EFI_SYSTEM,
            Self::BiosBoot => gpt::BIOS_BOOT,
            Self::Swap => gpt::LINUX_SWAP,
            Self::Ephemeral | Self::ConfigDrive | Self::Root => gpt::LINUX_FILE_SYSTEM,
        }
    }

    fn mbr_type(self) -> u8 {
        match self {
            Self::EfiSystem => mbr::EFI_SYSTEM,
            Self::Swap => mbr::LINUX_SWAP,
            Self::BiosBoot | Self::Ephemeral | Self::ConfigDrive | Self::Root => mbr::LINUX,
        }
    }
}

/// The partitions in their order on the disk. The root partition is the last, so that it can grow.
pub(super) fn roles(
    boot: BootMode,
    wanted: &PartitionLayout,
    drive_bytes: u64,
    sizes: &Partitions,
) -> Vec<(Role, Bytes)> {
    let firmware = match boot {
        BootMode::Uefi => Some((Role::EfiSystem, sizes.efi_system)),
        BootMode::BiosGpt => Some((Role::BiosBoot, sizes.bios_boot)),
        BootMode::BiosMbr => None,
    };
    let others = [
        (Role::Ephemeral, Bytes::mib(wanted.ephemeral_mib)),
        (Role::Swap, Bytes::mib(wanted.swap_mib)),
        (Role::ConfigDrive, Bytes::mib(drive_bytes.div_ceil(1 << 20))),
        (Role::Root, Bytes::mib(wanted.root_mib)),
    ];
    firmware.into_iter().chain(others).filter(|(_, size)| size.0 > 0).collect()
}

/// A new table with these partitions, one behind the other.
///
/// # Errors
/// [`ErrorKind::ImageWrite`] when they do not fit on the disk.
pub(super) fn make(
    disk: &OpenDevice,
    boot: BootMode,
    roles: &[(Role, Bytes)],
) -> Result<(PartitionTable, Vec<(Role, TableEntry)>), StepError> {
    let block = disk.block_size();
    let needed: u64 = roles.iter().fold(START.0, |sum, (_, size)| sum.saturating_add(size.0));
    let failed = |error: TableError| {
        let what = format!(
            "Writing image to device {} failed: its partitions need {} ({needed} bytes) and room for the table, the disk \
             has {} ({} bytes)",
            disk.name(),
            Bytes(needed),
            disk.size(),
            disk.size().0
        );
        ErrorKind::ImageWrite.error(what).because(error)
    };
    if needed > disk.size().0 {
        return Err(failed(TableError::NoSpace(Bytes(needed))));
    }
    let blocks = |bytes: Bytes| bytes.0 / u64::from(block.0);
    let mut at = START;
    let mut starts = Vec::new();
    for (role, size) in roles {
        starts.push((*role, Lba(blocks(at)), blocks(*size)));
        at = at + *size;
    }
    let (random, _) = Uuid::new_v4().as_u64_pair();
    let table = if boot == BootMode::BiosMbr {
        let mut table = Mbr::create(random as u32);
        for (role, first, blocks) in &starts {
            let added = table.add(role.mbr_type(), *first, *blocks, block).map_err(failed)?;
            if *role == Role::Root {
                table.activate(added.number);
            }
        }
        PartitionTable::Mbr(table)
    } else {
        let mut table = Gpt::create(disk.size(), block, Uuid::new_v4()).map_err(failed)?;
        for (role, first, blocks) in &starts {
            table.add(role.gpt_type(), Uuid::new_v4(), *first, Lba(first.0 + blocks - 1)).map_err(failed)?;
        }
        PartitionTable::Gpt(table)
    };
    let entries = table.entries(disk.file(), block).map_err(failed)?;
    let partitions = roles.iter().map(|(role, _)| *role).zip(entries).collect();
    Ok((table, partitions))
}

/// The table that is on the disk, which must be one that this agent or the Python one made for these partitions.
///
/// # Errors
/// [`ErrorKind::Deployment`] with the difference.
pub(super) fn present(
    disk: &OpenDevice,
    roles: &[(Role, Bytes)],
    drive_bytes: u64,
) -> Result<(PartitionTable, Vec<(Role, TableEntry)>), StepError> {
    let differs = |what: String| {
        ErrorKind::Deployment.error(format!(
            "The ephemeral partition of {} cannot be preserved: {what}. The disk was not touched.",
            disk.name()
        ))
    };
    let table = PartitionTable::read(disk.file(), disk.size(), disk.block_size());
    let table = table.map_err(|error| differs(error.to_string()))?;
    let table = table.ok_or_else(|| differs("the disk has no partition table".to_string()))?;
    let entries = table.entries(disk.file(), disk.block_size()).map_err(|error| differs(error.to_string()))?;
    if entries.len() != roles.len() {
        return Err(differs(format!("the disk has {} partitions, not {}", entries.len(), roles.len())));
    }
    let mut partitions = Vec::new();
    for ((role, size), entry) in roles.iter().zip(entries) {
        let kind = match &table {
            PartitionTable::Gpt(_) => role.gpt_type().to_string(),
            PartitionTable::Mbr(_) => format!("{:#04x}", role.mbr_type()),
        };
        if entry.kind != kind {
            return Err(differs(format!(
                "partition {} is of type {}, the {} partition is of type {kind}",
                entry.number,
                entry.kind,
                role.name()
            )));
        }
        let enough = if *role == Role::ConfigDrive { drive_bytes } else { size.0 };
        if entry.size.0 < enough {
            return Err(differs(format!(
                "partition {} has {} bytes, the {} partition needs {enough}",
                entry.number,
                entry.size.0,
                role.name()
            )));
        }
        partitions.push((*role, entry));
    }
    Ok((table, partitions))
}

#[cfg(test)]
mod tests {
    use ferric_hardware::machine::Machine;

    use super::*;
    use crate::options::Options;
    use crate::site::Site;

    #[test]
    fn a_machine_that_would_need_a_prep_partition_is_refused() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
        let step = Step::new(Site::new(Machine::at(root.path()), Options::default()));
        for (architecture, refused) in [("x86_64", false), ("ppc64le", true)] {
            std::fs::write(root.path().join("proc/sys/kernel/arch"), format!("{architecture}\n")).unwrap();
            assert_eq!(refuse_prep(&step).is_err(), refused, "{architecture}");
        }
    }

    #[test]
    fn the_root_partition_is_the_last_and_what_has_no_size_is_left_out() {
        let wanted = PartitionLayout {
            root_mib: 100,
            swap_mib: 0,
            ephemeral_mib: 7,
            ephemeral_format: "ext4".into(),
            preserve_ephemeral: false,
        };
        let sizes = Partitions::default();
        let names = |boot, drive| -> Vec<(Role, Bytes)> { roles(boot, &wanted, drive, &sizes) };
        assert_eq!(
            names(BootMode::Uefi, 1),
            [
                (Role::EfiSystem, Bytes::mib(550)),
                (Role::Ephemeral, Bytes::mib(7)),
                (Role::ConfigDrive, Bytes::mib(1)),
                (Role::Root, Bytes::mib(100))
            ]
        );
        assert_eq!(names(BootMode::BiosGpt, 0)[0], (Role::BiosBoot, Bytes::mib(1)));
        assert_eq!(names(BootMode::BiosMbr, 0), [(Role::Ephemeral, Bytes::mib(7)), (Role::Root, Bytes::mib(100))]);
    }
}
