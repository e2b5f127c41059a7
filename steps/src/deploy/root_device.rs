//! The disk to install to.

use ferric_hardware::block::hints::{HintError, Hints};
use ferric_hardware::block::root_device;
use ferric_hardware::block::{self, EligibleDevice};
use serde_json::Value;

use crate::clean::raid::{self, Spared};
use crate::step::Step;
use crate::{ErrorKind, StepError, leftover};

/// The array that was made to be installed to (`is_root_volume`); else the eligible device that the node's hints choose;
/// without hints, the smallest that is large enough. Arrays that were made for other things do not count, nor do their
/// disks, nor does what `skip_block_devices` keeps.
///
/// Nothing changes by this: volumes of a former system may hold the device until it is [claimed](claim).
///
/// # Errors
/// [`ErrorKind::DeviceNotFound`] with the reason of every device, or what is wrong with the hints.
pub fn look(step: &Step) -> Result<EligibleDevice, StepError> {
    let hints = hints_of(&step.node).map_err(|error| ErrorKind::DeviceNotFound.of(error))?;
    let mut listing = block::list_beneath_leftovers(&step.site.machine, &step.device_policy());
    let arrays = step.memory.arrays();
    if let Some(root) = arrays.iter().find(|array| array.is_root) {
        if hints.is_some() {
            tracing::warn!(
                device = root.device,
                "both root device hints and a root volume are there: taking the volume"
            );
        }
        let device = listing.eligible.into_iter().find(|device| device.name == root.device);
        return device
            .ok_or_else(|| ErrorKind::DeviceNotFound.error(format!("the root volume {} cannot be used", root.device)));
    }
    raid::leave_protected(step, Spared::Kept, &mut listing)?;
    listing
        .eligible
        .retain(|device| !arrays.iter().any(|array| array.device == device.name || array.disks.contains(&device.name)));
    match root_device::choose(&listing, hints.as_ref()) {
        Ok(device) => Ok(device.clone()),
        Err(error) => Err(ErrorKind::DeviceNotFound.of(error)),
    }
}

/// The device that [`look`] finds, free to be written to: the volumes that a former system left active on it are taken
/// down.
///
/// # Errors
/// As [`look`]; also when one of them stays.
pub fn claim(step: &Step) -> Result<EligibleDevice, StepError> {
    let name = look(step)?.name.clone();
    leftover::take_down_on(step, &name);
    let listing = block::list(&step.site.machine, &step.device_policy());
    listing.find(&step.site.machine, &name).cloned().map_err(|error| ErrorKind::DeviceNotFound.of(error))
}

/// The root device hints of a node: `instance_info.root_device`, else `properties.root_device`; nothing when both are
/// empty.
///
/// # Errors
/// As [`Hints::parse`].
pub fn hints_of(node: &Value) -> Result<Option<Hints>, HintError> {
    let is_set = |value: &&Value| match value {
        Value::Null => false,
        Value::Object(object) => !object.is_empty(),
        _ => true,
    };
    let places = [&node["instance_info"]["root_device"], &node["properties"]["root_device"]];
    places.into_iter().find(is_set).map(Hints::parse).transpose()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::Fake;

    #[test]
    fn an_array_that_is_kept_by_its_volume_name_is_not_installed_to() {
        let machine = Fake::new();
        machine.arrays_on_shared_disks();
        let chosen = |properties: Value| {
            let step = machine.step_with(|_| {}, json!({"properties": properties}));
            look(&step).map(|device| device.name.clone())
        };
        let md0 = json!({"name": "/dev/md0"});
        assert_eq!(chosen(json!({"root_device": md0})).unwrap(), "/dev/md0");
        let refused = chosen(json!({"root_device": md0, "skip_block_devices": [{"volume_name": "data"}]}));
        assert_eq!(refused.unwrap_err().kind, ErrorKind::DeviceNotFound);
    }

    #[test]
    fn the_instance_s_hints_come_before_the_node_s() {
        let node = json!({"instance_info": {"root_device": {}}, "properties": {"root_device": {"name": "/dev/sda"}}});
        assert_eq!(hints_of(&node), Hints::parse(&json!({"name": "/dev/sda"})).map(Some));
        let node = json!({"instance_info": {"root_device": {"size": 1}}, "properties": {"root_device": {"foo": 1}}});
        assert!(hints_of(&node).unwrap().is_some());
        assert_eq!(hints_of(&json!({"properties": {}})), Ok(None));
        assert!(hints_of(&json!({"properties": {"root_device": "sda"}})).is_err());
    }
}
