//! Software RAID: the steps of the `raid` interface. Arrays are made and stopped by mdadm; partition tables and
//! superblocks are ours.
//!
//! - `config`: what a valid RAID configuration is
//! - `create`, `delete`: making arrays, removing them; `layout`: the partitions that they are made of
//! - `arrays`: the arrays that exist; `protection`: which of them stay as they are
//! - `mdadm`: how it is called

pub(crate) mod arrays;
mod config;
mod create;
mod delete;
mod layout;
pub(crate) mod mdadm;
mod protection;

use serde_json::Value;

pub(crate) use self::protection::{Spared, leave_protected};
use crate::arguments::{Arguments, FromArguments, Parameter, value};
use crate::step::Step;
use crate::{StepError, loose};

/// Creates the arrays of the node's `target_raid_config` and returns it; `{}` when none of them is software RAID.
///
/// # Errors
/// [`SoftwareRaid`](crate::ErrorKind::SoftwareRaid) for a configuration that cannot be, or when mdadm fails.
pub async fn create_configuration(step: &Step) -> Result<Value, StepError> {
    let wanted = step.node["target_raid_config"].clone();
    step.blocking(move |step| create::create(step, &wanted)).await
}

/// Removes every array but those that `skip_block_devices` keeps by volume name.
///
/// # Errors
/// [`SoftwareRaid`](crate::ErrorKind::SoftwareRaid) names what is left.
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
        config::validate(&wanted.raid_config, &step.node, protection::device_count(step)?)?;
        if wanted.delete_existing {
            delete::delete(step)?;
        }
        create::create(step, &wanted.raid_config)
    })
    .await
}
