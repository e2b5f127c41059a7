//! Software RAID: the steps of the `raid` interface. Arrays are made and stopped by mdadm; partition tables and
//! superblocks are ours.
//!
//! - `config`: what a valid RAID configuration is
//! - `create`, `delete`: making arrays, removing them
//! - `arrays`: the arrays that exist

mod arrays;
mod config;
mod create;
mod delete;

use std::time::Duration;

use ferric_hardware::block::{self, Listing};
use serde_json::Value;

use self::arrays::Fate;
use crate::arguments::{Arguments, FromArguments, Parameter, value};
use crate::step::Step;
use crate::{ErrorKind, StepError, loose};

/// No mdadm call takes that long unless something hangs.
const MDADM_LIMIT: Duration = Duration::from_secs(300);

/// Creates the arrays of the node's `target_raid_config` and returns it; `{}` when none of them is software RAID.
///
/// # Errors
/// [`ErrorKind::SoftwareRaid`] for a configuration that cannot be, or when mdadm fails.
pub async fn create_configuration(step: &Step) -> Result<Value, StepError> {
    let wanted = step.node["target_raid_config"].clone();
    step.blocking(move |step| create::create(step, &wanted)).await
}

/// Removes every array but those that `skip_block_devices` keeps by volume name.
///
/// # Errors
/// [`ErrorKind::SoftwareRaid`] names what is left.
pub async fn delete_configuration(step: &Step) -> Result<Value, StepError> {
    step.blocking(|step| {
        delete::delete(step)?;
        Ok(Value::Null)
    })
    .await
}

/// Arguments of `apply_configuration`.
#[derive(Debug)]
pub struct ApplyConfiguration {
    raid_config: Value,
    delete_existing: bool,
}

impl FromArguments for ApplyConfiguration {
    const PARAMETERS: &'static [Parameter] = &[
        Parameter::required("raid_config", "The RAID configuration to apply."),
        Parameter::optional("delete_existing", "Whether existing software RAID is deleted first. Default: true."),
    ];

    fn from_arguments(arguments: &Arguments, _: &Step) -> Result<Self, StepError> {
        Ok(Self {
            raid_config: value(arguments, "raid_config").clone(),
            delete_existing: loose::flag(value(arguments, "delete_existing")).unwrap_or(true),
        })
    }
}

/// Makes the arrays of `raid_config`; existing ones are deleted first unless `delete_existing` is false.
///
/// # Errors
/// As `create_configuration` and `delete_configuration`.
pub async fn apply_configuration(step: &Step, wanted: ApplyConfiguration) -> Result<Value, StepError> {
    step.blocking(move |step| {
        config::validate(&wanted.raid_config, &step.node, device_count(step)?)?;
        if wanted.delete_existing {
            delete::delete(step)?;
        }
        create::create(step, &wanted.raid_config)
    })
    .await
}

/// What `skip_block_devices` spares when it names an array by its volume name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spared {
    /// The array.
    Kept,
    /// The array, and those that share disks with it.
    KeptAndNeighbours,
}

/// Takes the arrays that `skip_block_devices` protects by volume name out of a list of devices, and disks with members of
/// such arrays that nobody assembled.
///
/// # Errors
/// [`ErrorKind::SoftwareRaid`] when the name of an array cannot be learnt.
pub(crate) fn leave_protected(step: &Step, spared: Spared, listing: &mut Listing) -> Result<(), StepError> {
    let protected = arrays::protected_volumes(&step.node);
    if protected.is_empty() {
        return Ok(());
    }
    let all = arrays::list(step)?;
    let stays = |fate: Fate| fate == Fate::Keep || (fate == Fate::Wipe && spared == Spared::KeptAndNeighbours);
    let fates = arrays::fates(&all, &protected);
    let staying: Vec<&str> =
        all.iter().zip(fates).filter(|(_, fate)| stays(*fate)).map(|(array, _)| array.device.as_str()).collect();
    listing.rejected.retain(|rejection| !staying.contains(&rejection.device.name.as_str()));
    listing.eligible.retain(|device| {
        !staying.contains(&device.name.as_str()) && !arrays::holds_protected_member(step, device, &protected)
    });
    Ok(())
}

/// The devices but those that are protected.
fn unprotected(step: &Step) -> Result<Listing, StepError> {
    let mut listing = block::list(&step.site.machine, &step.device_policy());
    leave_protected(step, Spared::Kept, &mut listing)?;
    Ok(listing)
}

/// How many devices arrays could be made of.
fn device_count(step: &Step) -> Result<usize, StepError> {
    Ok(unprotected(step)?.disks().len())
}

/// Runs mdadm.
fn mdadm(step: &Step, arguments: &[&str]) -> Result<String, StepError> {
    let failed = |error: ferric_hardware::tool::ToolError| ErrorKind::SoftwareRaid.of(error);
    let tool = step.site.tools.find("mdadm").map_err(failed)?;
    let cancelled = || step.cancel.is_cancelled();
    let run = tool.run(arguments.iter().copied()).timeout(MDADM_LIMIT).cancelled(&cancelled);
    Ok(run.output().map_err(failed)?.text())
}
