//! Making arrays: a partition per array on every disk, then mdadm over them.

use std::collections::BTreeMap;

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::block::hints::{HintError, Hints};
use ferric_hardware::gpt::{self, Gpt};
use ferric_hardware::mbr::{self, Mbr};
use ferric_hardware::open_device::{Access, DeviceError, OpenDevice};
use ferric_hardware::partition_table::PartitionTable;
use ferric_hardware::partitions::{self, Partition};
use ferric_hardware::table_error::TableError;
use ferric_hardware::units::{Bytes, Lba};
use serde_json::{Value, json};
use uuid::Uuid;

use super::arrays::{self, Fate};
use super::config::{self, LogicalDisk};
use super::mdadm;
use super::protection::{device_count, unprotected};
use crate::capability::capability;
use crate::step::{MadeArray, Step};
use crate::{ErrorKind, StepError};

/// Room for the EFI system partition before the first array.
const UEFI_START: Bytes = Bytes::mib(551);
/// Room for the BIOS boot partition.
const BIOS_GPT_START: Bytes = Bytes::mib(8);
const MBR_START: Bytes = Bytes::mib(1);

/// Partitions start and end at multiples of this.
const ALIGNMENT: Bytes = Bytes::mib(1);

/// Makes the arrays of `wanted` and returns it as what the node now has; `{}` when none is software RAID.
pub(super) fn create(step: &Step, wanted: &Value) -> Result<Value, StepError> {
    let mut logical = config::logical_disks(wanted);
    if logical.is_empty() {
        tracing::info!("no software RAID is wanted");
        return Ok(json!({}));
    }
    config::validate(wanted, &step.node, device_count(step)?)?;
    leave_out_existing(step, &mut logical)?;
    let disks = unprotected(step)?.eligible;
    let chosen = logical.iter().map(|disk| choose(disk, &disks)).collect::<Result<Vec<_>, _>>()?;
    let layout = Layout::of(step);
    let mut partitions = BTreeMap::new();
    for disk in disks.iter().filter(|disk| chosen.iter().flatten().any(|other| other.name == disk.name)) {
        step.progress.activity(format!("partitioning {}", disk.name));
        let wants: Vec<Option<u64>> = logical
            .iter()
            .zip(&chosen)
            .filter(|(_, on)| on.iter().any(|other| other.name == disk.name))
            .map(|(wanted, _)| wanted.size_gib)
            .collect();
        partitions.insert(disk.name.clone(), partition(step, disk, layout, &wants).map_err(failed)?.into_iter());
    }
    let mut made = Vec::new();
    for (index, (wanted, on)) in logical.iter().zip(&chosen).enumerate() {
        let members: Vec<String> =
            on.iter().filter_map(|disk| Some(partitions.get_mut(&disk.name)?.next()?.name)).collect();
        let device = assemble(step, index, wanted, &members)?;
        let disks = on.iter().map(|disk| disk.name.clone()).collect();
        made.extend(wanted.is_root.map(|is_root| MadeArray { device, disks, is_root }));
    }
    step.memory.set_arrays(made);
    Ok(wanted.clone())
}

/// Arrays that are kept stay as they are; any other that exists is in the way.
fn leave_out_existing(step: &Step, logical: &mut Vec<LogicalDisk>) -> Result<(), StepError> {
    let existing = arrays::list(step)?;
    let fates = arrays::fates(&existing, &arrays::protected_volumes(&step.node));
    for (array, fate) in existing.iter().zip(fates) {
        let volume = array.volume.as_ref();
        match volume.filter(|_| fate != Fate::Delete) {
            Some(volume) => logical.retain(|disk| disk.volume.as_ref() != Some(volume)),
            None => {
                return Err(ErrorKind::SoftwareRaid
                    .error(format!("Existing Software RAID device detected that should not: {}", array.device)));
            }
        }
    }
    Ok(())
}

/// The disks of one logical disk: the first unused match of each hint, or all.
fn choose<'a>(logical: &LogicalDisk, disks: &'a [EligibleDevice]) -> Result<Vec<&'a EligibleDevice>, StepError> {
    let Some(hints) = &logical.physical_disks else { return Ok(disks.iter().collect()) };
    let mut chosen: Vec<&EligibleDevice> = Vec::new();
    for hint in hints {
        let invalid = |error: HintError| ErrorKind::SoftwareRaid.error(format!("physical disk {hint}")).because(error);
        let parsed = Hints::parse(hint).map_err(invalid)?;
        let mut candidates = Vec::new();
        for disk in disks {
            if parsed.fit(disk).map_err(invalid)? {
                candidates.push(disk);
            }
        }
        if candidates.is_empty() {
            return Err(ErrorKind::SoftwareRaid.error(format!("No candidates for physical disk {hint}")));
        }
        let free = candidates.into_iter().find(|disk| chosen.iter().all(|other| other.name != disk.name));
        chosen.push(
            free.ok_or_else(|| ErrorKind::SoftwareRaid.error(format!("No candidates left for physical disk {hint}")))?,
        );
    }
    Ok(chosen)
}

/// Which table the disks get, and what stays free before the first array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Uefi,
    BiosGpt,
    BiosMbr,
}

impl Layout {
    /// The node's boot mode and disk label count first, then how this system was booted.
    fn of(step: &Step) -> Self {
        let node = &step.node;
        let modes = [
            capability(&node["instance_info"]["capabilities"], "boot_mode"),
            capability(&node["properties"]["capabilities"], "boot_mode"),
        ];
        let ours = if step.site.machine.exists("/sys/firmware/efi") { "uefi" } else { "bios" };
        let mode = modes.into_iter().flatten().next().unwrap_or_else(|| ours.to_string());
        let label = capability(&node["properties"]["capabilities"], "disk_label");
        match (mode.as_str(), label.as_deref()) {
            ("uefi", _) => Self::Uefi,
            (_, Some("gpt")) => Self::BiosGpt,
            _ => Self::BiosMbr,
        }
    }

    fn start(self) -> Bytes {
        match self {
            Self::Uefi => UEFI_START,
            Self::BiosGpt => BIOS_GPT_START,
            Self::BiosMbr => MBR_START,
        }
    }
}

/// Writes a new table with one partition per wanted size (GiB; nothing for the rest). Sizes count as parted's ends do:
/// the first partition ends at its size, the others follow.
fn partition(
    step: &Step,
    disk: &EligibleDevice,
    layout: Layout,
    wants: &[Option<u64>],
) -> Result<Vec<Partition>, DeviceError> {
    let open = OpenDevice::open(&step.site.machine, disk, Access::Write)?;
    let table_error = |cause| DeviceError::Table { device: disk.name.clone(), cause };
    let (size, block) = (open.size(), open.block_size());
    let existing = PartitionTable::read(open.file(), size, block).map_err(table_error)?;
    let entries = existing.map(|table| table.entries(open.file(), block)).transpose().map_err(table_error)?;
    if entries.is_some_and(|entries| !entries.is_empty()) {
        let reason = "Partitions detected on devices during RAID config".to_string();
        return Err(DeviceError::Refused { device: disk.name.clone(), reason });
    }
    let lba = |at: Bytes| Lba(at.0 / u64::from(block.0));
    let write = || -> Result<(), TableError> {
        match layout {
            Layout::BiosMbr => {
                let mut table = Mbr::create(Uuid::new_v4().as_fields().0);
                for (start, end) in ranges(layout.start(), size, wants) {
                    table.add(mbr::LINUX_RAID, lba(start), lba(end - start).0, block)?;
                }
                table.write(open.file())
            }
            Layout::Uefi | Layout::BiosGpt => {
                let mut table = Gpt::create(size, block, Uuid::new_v4())?;
                let end = Lba(table.usable().1.0 + 1).to_bytes(block);
                for (start, end) in ranges(layout.start(), end, wants) {
                    table.add(gpt::LINUX_RAID, Uuid::new_v4(), lba(start), Lba(lba(end).0 - 1))?;
                }
                table.write(open.file())
            }
        }
    };
    write().map_err(table_error)?;
    partitions::reread(&step.site.machine, disk, &open)
}

/// Start and end of each partition.
fn ranges(first: Bytes, disk_end: Bytes, wants: &[Option<u64>]) -> Vec<(Bytes, Bytes)> {
    let mut start = first;
    let mut before = Bytes(0);
    let mut ranges = Vec::new();
    for want in wants {
        let end = match want {
            Some(gib) => before + Bytes::gib(*gib),
            None => Bytes(disk_end.0 / ALIGNMENT.0 * ALIGNMENT.0),
        };
        ranges.push((start, end.max(start)));
        (start, before) = (end, end);
    }
    ranges
}

/// Makes the array and returns its device.
fn assemble(step: &Step, index: usize, wanted: &LogicalDisk, members: &[String]) -> Result<String, StepError> {
    let device = format!("/dev/md{index}");
    step.progress.activity(format!("creating {device}"));
    let volume = wanted.volume.clone().unwrap_or_else(|| format!("md{index}"));
    let count = members.len().to_string();
    let mut arguments = vec!["--create", &device, "--force", "--run", "--metadata=1", "--level", &wanted.level];
    arguments.extend(["--name", &volume, "--raid-devices", &count]);
    arguments.extend(members.iter().map(String::as_str));
    mdadm::run(step, &arguments)?;
    tracing::info!(device, level = wanted.level, volume, ?members, "array created");
    Ok(device)
}

fn failed(error: DeviceError) -> StepError {
    ErrorKind::SoftwareRaid.of(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_follow_each_other() {
        let disk = Bytes::gib(10);
        assert_eq!(
            ranges(MBR_START, disk, &[Some(1), Some(2), None]),
            [(MBR_START, Bytes::gib(1)), (Bytes::gib(1), Bytes::gib(3)), (Bytes::gib(3), disk)]
        );
    }
}
