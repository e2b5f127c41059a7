//! Making arrays: a partition per array on every disk, then mdadm over them.

use std::collections::BTreeMap;

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::block::hints::{HintError, Hints};
use ferric_hardware::open_device::DeviceError;
use serde_json::{Value, json};

use super::arrays::{self, Fate};
use super::config::{self, LogicalDisk};
use super::layout::Plan;
use super::mdadm::{self, NewArray};
use super::protection::{device_count, unprotected};
use crate::boot_mode::{BootMode, Fallback};
use crate::step::{MadeArray, Step};
use crate::{ErrorKind, StepError, python};

/// Makes the arrays of `wanted` and returns it as what the node now has; `{}` when none is software RAID. Nothing is
/// touched before everything is known to fit.
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
    for (wanted, on) in logical.iter().zip(&chosen) {
        enough(wanted, on)?;
    }
    let mut partitions = BTreeMap::new();
    for plan in plans(step, &disks, &logical, &chosen)? {
        partitions.insert(plan.disk(), plan.carry_out(step).map_err(failed)?.into_iter());
    }
    let mut made = Vec::new();
    for (wanted, on) in logical.iter().zip(&chosen) {
        let members: Vec<String> =
            on.iter().filter_map(|disk| partitions.get_mut(disk.name.as_str())?.next()).collect();
        let volume = wanted.volume.as_deref();
        let array = NewArray { level: &wanted.level, metadata: "1", volume, members: &members };
        let device = mdadm::create(step, &array)?;
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
    let names = |disks: &[&EligibleDevice]| {
        python::repr(&disks.iter().map(|disk| disk.name.as_str()).collect::<Vec<_>>().into())
    };
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
        let hint = python::repr(hint);
        if candidates.is_empty() {
            let all = names(&disks.iter().collect::<Vec<_>>());
            return Err(
                ErrorKind::SoftwareRaid.error(format!("No candidates for physical disk {hint} from the list {all}"))
            );
        }
        let free = candidates.iter().copied().find(|disk| chosen.iter().all(|other| other.name != disk.name));
        chosen.push(free.ok_or_else(|| {
            let (candidates, chosen) = (names(&candidates), names(&chosen));
            ErrorKind::SoftwareRaid.error(format!(
                "No candidates left for physical disk {hint} from the list {candidates} after picking {chosen} for \
                 previous volumes"
            ))
        })?);
    }
    Ok(chosen)
}

/// Refuses what mdadm would refuse when the disks have lost their content already.
fn enough(wanted: &LogicalDisk, on: &[&EligibleDevice]) -> Result<(), StepError> {
    let least = match wanted.level.as_str() {
        "6" => 4,
        "5" | "10" => 2,
        _ => 1,
    };
    if on.len() >= least {
        return Ok(());
    }
    let (level, count) = (&wanted.level, on.len());
    Err(ErrorKind::SoftwareRaid.error(format!("RAID level {level} needs {least} disks, and there are {count} for it")))
}

/// The table of every disk that is used.
fn plans<'a>(
    step: &Step,
    disks: &'a [EligibleDevice],
    logical: &[LogicalDisk],
    chosen: &[Vec<&EligibleDevice>],
) -> Result<Vec<Plan<'a>>, StepError> {
    let boot = BootMode::of(step, Fallback::default());
    let is_on = |disk: &EligibleDevice, on: &[&EligibleDevice]| on.iter().any(|other| other.name == disk.name);
    let mut plans = Vec::new();
    for disk in disks {
        let on_it = logical.iter().zip(chosen).filter(|(_, on)| is_on(disk, on));
        let sizes: Vec<Option<u64>> = on_it.map(|(wanted, _)| wanted.size_gib).collect();
        if !sizes.is_empty() {
            plans.push(Plan::new(step, disk, boot, &sizes).map_err(failed)?);
        }
    }
    Ok(plans)
}

fn failed(error: DeviceError) -> StepError {
    ErrorKind::SoftwareRaid.of(error)
}
