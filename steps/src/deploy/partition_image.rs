//! Partition images: the image of one file system, around which the agent makes the partitions of the disk.
//!
//! The image goes to where its partition will be while the disk has no partition table; file systems of the other
//! partitions follow when it is verified, and the table comes last. Only a disk whose ephemeral partition is to be
//! preserved keeps its table, without boot code.

mod file_system;
mod layout;

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::open_device::{Access, DeviceError, OpenDevice};
use ferric_hardware::partition_table::{PartitionTable, TableEntry};
use ferric_hardware::units::Bytes;
use ferric_hardware::watch::Unwatched;
use ferric_hardware::{partitions, signature, wipe};
use serde_json::{Map, Value, json};

use self::file_system::FileSystem;
use self::layout::Role;
use super::configdrive::Drive;
use super::image_info::ImageInfo;
use crate::boot_mode::{BootMode, Fallback};
use crate::image::Region;
use crate::step::Step;
use crate::{ErrorKind, StepError};

/// Old content at either end of a new partition is zeroed, so that nothing takes it for what it was.
const END: Bytes = Bytes::mib(1);

/// The partitions of a disk, decided and not yet made.
#[derive(Debug)]
pub(super) struct Plan {
    table: PartitionTable,
    partitions: Vec<(Role, TableEntry)>,
    file_systems: Vec<(Role, FileSystem)>,
    root: TableEntry,
    preserved: bool,
}

impl Plan {
    /// Decides on the partitions for a config drive of this size, and finds out that they fit and that every program
    /// for them is there. Nothing for an image that is no partition image.
    ///
    /// # Errors
    /// [`ErrorKind::ImageWrite`] when they do not fit, [`ErrorKind::Deployment`] when the disk is not partitioned as it
    /// must be to preserve its ephemeral partition or the machine needs a PReP partition, [`ErrorKind::Execution`] when a program is missing.
    pub(super) fn new(
        step: &Step,
        device: &EligibleDevice,
        info: &ImageInfo,
        drive_bytes: u64,
    ) -> Result<Option<Self>, StepError> {
        let Some(wanted) = &info.layout else { return Ok(None) };
        layout::refuse_prep(step)?;
        let disk = OpenDevice::open(&step.site.machine, device, Access::Read)?;
        let boot = BootMode::of(step, Fallback { mode: info.boot_mode.as_deref(), label: info.disk_label.as_deref() });
        let roles = layout::roles(boot, wanted, drive_bytes, &step.site.options.partitions);
        let (table, partitions) = if wanted.preserve_ephemeral {
            layout::present(&disk, &roles, drive_bytes)?
        } else {
            layout::make(&disk, boot, &roles)?
        };
        let mut file_systems = Vec::new();
        for (role, _) in &partitions {
            let kind = match role {
                Role::EfiSystem => "vfat",
                Role::Swap => "swap",
                Role::Ephemeral if !wanted.preserve_ephemeral => &wanted.ephemeral_format,
                _ => continue,
            };
            file_systems.push((*role, FileSystem::new(step, kind, role.label())?));
        }
        let root = partitions.iter().find(|(role, _)| *role == Role::Root).map(|(_, entry)| entry.clone());
        let root =
            root.ok_or_else(|| ErrorKind::Deployment.error(format!("Root device of {} not found", device.name)))?;
        Ok(Some(Self { table, partitions, file_systems, root, preserved: wanted.preserve_ephemeral }))
    }

    /// Where the image goes.
    pub(super) fn region(&self) -> Region {
        Region { start: self.root.start, len: self.root.size, keeps_table: self.preserved }
    }

    /// Makes the partitions around the image, which is there and verified. Returns what
    /// `standby.get_partition_uuids` answers. When it fails, a disk without a table stays without.
    ///
    /// # Errors
    /// When the disk cannot be written or a program fails.
    pub(super) fn finish(
        &self,
        step: &Step,
        device: &EligibleDevice,
        drive: Option<&Drive>,
    ) -> Result<Value, StepError> {
        // Until the table is on the disk, udev would make the kernel forget its partitions.
        let watched = OpenDevice::open(&step.site.machine, device, Access::Read)?;
        watched.keep_udev_away()?;
        let finished = self.populate(step, device, &watched, drive).and_then(|uuids| {
            drop(watched);
            let disk = OpenDevice::open(&step.site.machine, device, Access::Write)?;
            partitions::reread(&step.site.machine, device, &disk)?;
            Ok(uuids)
        });
        if finished.is_err() && !self.preserved {
            let wiped = OpenDevice::open(&step.site.machine, device, Access::Write).and_then(|disk| {
                wipe::metadata(&disk)?;
                partitions::forget(&step.site.machine, device, &disk)
            });
            if let Err(error) = wiped {
                tracing::error!(device = device.name, %error, "cannot take the unusable partitions off the disk again");
            }
        }
        finished
    }

    /// File systems, config drive, table.
    fn populate(
        &self,
        step: &Step,
        device: &EligibleDevice,
        watched: &OpenDevice,
        drive: Option<&Drive>,
    ) -> Result<Value, StepError> {
        // Programs that make file systems want a partition for themselves: the disk must not be held while they run.
        let disk = OpenDevice::open(&step.site.machine, device, Access::Write)?;
        self.clear(&disk)?;
        drop(disk);
        let entries: Vec<TableEntry> = self.partitions.iter().map(|(_, entry)| entry.clone()).collect();
        partitions::announce(&step.site.machine, device, watched, &entries)?;
        for (role, file_system) in &self.file_systems {
            if let Some(node) = self.node(device, *role) {
                step.progress.activity(format!("making the file system of {node}"));
                file_system.make(step, &node)?;
            }
        }
        let disk = OpenDevice::open(&step.site.machine, device, Access::Write)?;
        if let (Some(drive), Some(entry)) = (drive, self.entry(Role::ConfigDrive)) {
            step.progress.activity(format!("writing the config drive to {}", device.name));
            write_drive(&disk, drive, entry)?;
        }
        disk.flush()?;
        let uuids = self.uuids(&disk, device)?;
        if !self.preserved {
            let failed = |cause| DeviceError::Table { device: device.name.clone(), cause };
            self.table.write(disk.file()).map_err(failed)?;
            disk.flush()?;
        }
        Ok(uuids)
    }

    /// Zeroes the ends of every partition that gets new content.
    fn clear(&self, disk: &OpenDevice) -> Result<(), DeviceError> {
        for (role, entry) in &self.partitions {
            if *role == Role::Root || (*role == Role::Ephemeral && self.preserved) {
                continue;
            }
            let end = END.min(entry.size);
            disk.zero(entry.start, end, &Unwatched)?;
            disk.zero(entry.start + entry.size - end, end, &Unwatched)?;
        }
        disk.flush()
    }

    fn entry(&self, wanted: Role) -> Option<&TableEntry> {
        self.partitions.iter().find(|(role, _)| *role == wanted).map(|(_, entry)| entry)
    }

    fn node(&self, device: &EligibleDevice, role: Role) -> Option<String> {
        self.entry(role).map(|entry| partitions::node(&device.name, entry.number))
    }

    /// The keys are those of the Python agent, spaces included.
    fn uuids(&self, disk: &OpenDevice, device: &EligibleDevice) -> Result<Value, StepError> {
        let uuid = |role| -> Result<Option<String>, StepError> {
            let Some(entry) = self.entry(role) else { return Ok(None) };
            let of_content = signature::uuid(disk, entry.start, entry.size)?.filter(|uuid| !uuid.is_empty());
            Ok(of_content.or_else(|| self.table.partition_uuid(entry.number)))
        };
        let nodes: Map<String, Value> = self
            .partitions
            .iter()
            .map(|(role, entry)| (role.name().to_string(), partitions::node(&device.name, entry.number).into()))
            .collect();
        Ok(json!({
            "partitions": nodes,
            "root uuid": uuid(Role::Root)?,
            "efi system partition uuid": uuid(Role::EfiSystem)?,
        }))
    }
}

fn write_drive(disk: &OpenDevice, drive: &Drive, entry: &TableEntry) -> Result<(), StepError> {
    use std::os::unix::fs::FileExt;
    let failed = || ErrorKind::Deployment.error(format!("writing the config drive to {}", disk.name()));
    let content = drive.content(entry.size, disk.block_size()).map_err(|error| failed().because(error))?;
    disk.file().write_all_at(&content, entry.start.0).map_err(|error| failed().because(error))
}
