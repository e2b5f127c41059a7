//! What is done once before a machine is available: arrays and BIOS attributes, by steps of manual cleaning.

use serde_json::{Value, json};

use super::{Reason, hints};
use crate::host::document::{BareMetalHost, Documents};
use crate::host::spec::SoftwareRaidVolume;
use crate::node::Object;

/// Levels that the agent's software RAID has.
const LEVELS: [&str; 5] = ["0", "1", "5", "6", "1+0"];

/// One manual cleaning.
#[derive(Debug, Clone, PartialEq)]
pub struct Preparation {
    /// For `states/raid`; none where arrays are left as they are.
    pub raid: Option<Object>,
    /// The steps.
    pub clean_steps: Vec<Value>,
    /// BIOS attributes are among them.
    pub has_firmware_settings: bool,
}

impl Preparation {
    /// What it is known by.
    pub fn identity(&self) -> Value {
        json!([self.raid, self.clean_steps])
    }
}

pub(super) fn read(host: &BareMetalHost, documents: &Documents) -> Result<Option<Preparation>, Reason> {
    if host.spec.firmware.is_some() {
        return Err(Reason::Firmware);
    }
    let mut clean_steps = Vec::new();
    let settings = documents.firmware_settings.get(&host.name).filter(|settings| !settings.is_empty());
    if let Some(settings) = settings {
        let settings: Vec<Value> = settings.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        clean_steps.push(json!({"interface": "bios", "step": "apply_configuration", "args": {"settings": settings}}));
    }
    let raid = match &host.spec.raid {
        Some(raid) if raid.hardware_raid_volumes.as_ref().is_some_and(|volumes| !volumes.is_empty()) => {
            return Err(Reason::HardwareRaid);
        }
        Some(raid) => raid.software_raid_volumes.as_deref(),
        None => None,
    };
    let raid = match raid {
        Some(volumes) => {
            clean_steps.push(json!({"interface": "raid", "step": "delete_configuration"}));
            if !volumes.is_empty() {
                clean_steps.push(json!({"interface": "deploy", "step": "erase_devices_metadata"}));
                clean_steps.push(json!({"interface": "raid", "step": "create_configuration"}));
            }
            let disks: Vec<Value> = volumes.iter().map(logical_disk).collect::<Result<_, _>>()?;
            let mut target = Object::new();
            target.insert("logical_disks".into(), disks.into());
            Some(target)
        }
        None => None,
    };
    if clean_steps.is_empty() {
        return Ok(None);
    }
    Ok(Some(Preparation { raid, clean_steps, has_firmware_settings: settings.is_some() }))
}

fn logical_disk(volume: &SoftwareRaidVolume) -> Result<Value, Reason> {
    if !LEVELS.contains(&volume.level.as_str()) {
        return Err(Reason::RaidLevel(volume.level.clone()));
    }
    let size = match volume.size_gibibytes {
        None | Some(0) => json!("MAX"),
        Some(size) => json!(size),
    };
    let mut disk = json!({"controller": "software", "raid_level": volume.level, "size_gb": size});
    if !volume.physical_disks.is_empty() {
        let members: Vec<Object> = volume.physical_disks.iter().map(hints::ironic).collect();
        disk["physical_disks"] = json!(members);
    }
    Ok(disk)
}
