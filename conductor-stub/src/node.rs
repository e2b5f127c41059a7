//! The record of one machine: what its owner says about it, and what the conductor knows.
//!
//! - [`spec`]: what clients set, [`flag`]: its booleans, [`interface`]: the parts of drivers
//! - [`port`]: the machine's network interfaces, [`mac`]: their addresses; [`allocation`]: who asked for the machine
//! - [`setting`], [`component`]: its firmware
//! - [`internal`]: what the conductor remembers; [`plan`]: the steps of an operation, [`intent`]: what is done next,
//!   [`progress`]: how far a step is, [`update`]: an update of firmware that a step is at
//! - [`summary`]: a line about the machine, for people

pub mod allocation;
pub mod component;
pub mod flag;
pub mod intent;
pub mod interface;
pub mod internal;
pub mod mac;
pub mod plan;
pub mod port;
pub mod progress;
pub mod setting;
pub mod spec;
pub mod summary;
pub mod update;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock;
use crate::mask;
use crate::state::{BootMode, Flow, PowerState, ProvisionState};

pub use allocation::Allocation;
pub use component::{Component, Version};
pub use intent::{BootStage, Intent, Switching};
pub use internal::Internal;
pub use mac::MacAddress;
pub use plan::{Family, Plan, Step};
pub use port::Port;
pub use progress::Progress;
pub use setting::Setting;
pub use spec::{Object, Spec};
pub use summary::Summary;
pub use update::{Stage, Update};

/// One machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Node {
    /// Its identity.
    pub uuid: Uuid,
    /// What clients set.
    pub spec: Spec,
    /// Where it is in its life.
    pub provision_state: ProvisionState,
    /// Where it is going.
    pub target_provision_state: Option<ProvisionState>,
    /// Whether it is on, as far as the conductor knows.
    pub power_state: Option<PowerState>,
    /// The power state being reached for.
    pub target_power_state: Option<PowerState>,
    /// Why the last operation failed.
    pub last_error: Option<String>,
    /// Why it is in maintenance.
    pub maintenance_reason: Option<String>,
    /// What kind of failure put it into maintenance.
    pub fault: Option<String>,
    /// What the conductor remembers: agent URL, token, certificate, steps.
    pub internal: Internal,
    /// What it can do, in words.
    #[serde(default)]
    pub traits: BTreeSet<String>,
    /// The allocation that has it.
    #[serde(default)]
    pub allocation_uuid: Option<Uuid>,
    /// `uefi` or `bios`, as far as its BMC tells.
    #[serde(default)]
    pub boot_mode: Option<BootMode>,
    /// Whether it boots with Secure Boot, as far as its BMC tells.
    #[serde(default)]
    pub secure_boot: Option<bool>,
    /// RAID that exists.
    pub raid_config: Object,
    /// RAID that is wanted.
    pub target_raid_config: Object,
    /// Times, ISO 8601.
    pub created_at: String,
    /// The record last changed.
    pub updated_at: Option<String>,
    /// The state last changed, or a heartbeat came while waiting.
    pub provision_updated_at: Option<String>,
    /// The same in seconds since the epoch: what timeouts are measured from.
    pub provision_touched: f64,
    /// When it came to the state it is in, seconds since the epoch.
    #[serde(default)]
    pub entered: f64,
    /// What is going on, from one stable state to the next.
    #[serde(default)]
    pub operation: Option<Operation>,
    /// The last inspection began.
    pub inspection_started_at: Option<String>,
    /// The last inspection ended well.
    pub inspection_finished_at: Option<String>,
}

/// A flow that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Which.
    pub flow: Flow,
    /// When, seconds since the epoch.
    pub began: f64,
}

/// Characters that are kept of what others say.
const LONGEST_TEXT: usize = 8192;

impl Node {
    /// A new node in `enroll`.
    pub fn new(uuid: Uuid, spec: Spec) -> Self {
        Self {
            uuid,
            spec,
            provision_state: ProvisionState::Enroll,
            target_provision_state: None,
            power_state: None,
            target_power_state: None,
            last_error: None,
            maintenance_reason: None,
            fault: None,
            internal: Internal::default(),
            traits: BTreeSet::new(),
            allocation_uuid: None,
            boot_mode: None,
            secure_boot: None,
            raid_config: Object::new(),
            target_raid_config: Object::new(),
            created_at: clock::now(),
            updated_at: None,
            provision_updated_at: None,
            provision_touched: clock::seconds(),
            entered: clock::seconds(),
            operation: None,
            inspection_started_at: None,
            inspection_finished_at: None,
        }
    }

    /// Name if it has one, else UUID: for people.
    pub fn label(&self) -> String {
        self.spec.name.clone().unwrap_or_else(|| self.uuid.to_string())
    }

    /// The interface of this kind: what was chosen, else the default.
    pub fn interface(&self, kind: &str) -> &str {
        let defaults = interface::implementations(&self.spec.driver, kind);
        self.spec.interface(kind).or(defaults.first().copied()).unwrap_or_default()
    }

    /// Moves to `state`; the target and the time follow. Returns the operation that this is the end of.
    pub fn enter(&mut self, state: ProvisionState) -> Option<Operation> {
        let manual = self.target_provision_state == Some(ProvisionState::Manageable);
        self.target_provision_state = match state {
            // Manual cleaning ends in `manageable`; automated cleaning that failed is going nowhere.
            ProvisionState::CleanFailed => self.target_provision_state.filter(|_| manual),
            state if manual && state.target().is_some() => self.target_provision_state,
            state => state.target(),
        };
        self.provision_state = state;
        self.touch();
        self.entered = self.provision_touched;
        let running = self.operation.take();
        match state.flow() {
            None => running,
            Some(flow) => {
                self.operation = Some(running.unwrap_or(Operation { flow, began: self.entered }));
                None
            }
        }
    }

    /// Something was heard from the machine: the wait begins anew.
    pub fn touch(&mut self) {
        self.provision_updated_at = Some(clock::now());
        self.provision_touched = clock::seconds();
    }

    /// The step that runs, when it is one of this family.
    pub fn current_step(&self, family: Family) -> Option<&Step> {
        self.internal.plan.as_ref().filter(|plan| plan.family == family)?.current.as_ref()
    }

    /// The value of one capability, from `instance_info` first, then `properties`; both the JSON object
    /// and the text form `boot_mode:uefi,secure_boot:true` are understood.
    pub fn capability(&self, name: &str) -> Option<String> {
        let find = |object: &Object| match object.get("capabilities")? {
            Value::Object(map) => map.get(name)?.as_str().map(str::to_owned),
            Value::String(text) => match serde_json::from_str::<Object>(text) {
                Ok(map) => map.get(name)?.as_str().map(str::to_owned),
                Err(_) => text.split(',').find_map(|pair| {
                    let (key, value) = pair.split_once(':')?;
                    (key.trim() == name).then(|| value.trim().to_owned())
                }),
            },
            _ => None,
        };
        find(&self.spec.instance_info).or_else(|| find(&self.spec.properties))
    }

    /// Adds a capability to the machine's properties, in the form that those there have.
    pub fn add_capability(&mut self, name: &str, value: &str) {
        let properties = &mut self.spec.properties;
        let with = |mut map: Object| {
            map.insert(name.into(), value.into());
            Value::Object(map)
        };
        let all = match properties.get("capabilities") {
            Some(Value::Object(map)) => with(map.clone()),
            Some(Value::String(text)) if !text.is_empty() => match serde_json::from_str::<Object>(text) {
                Ok(map) => with(map).to_string().into(),
                Err(_) => format!("{text},{name}:{value}").into(),
            },
            _ => format!("{name}:{value}").into(),
        };
        properties.insert("capabilities".into(), all);
    }

    /// The whole record with Ironic's keys and without secrets. `reservation` names the holder of its lock.
    pub fn view(&self, reservation: Option<&str>) -> Object {
        let mut view = self.agent_view();
        for key in ["instance_info", "clean_step", "deploy_step", "service_step"] {
            if let Some(Value::Object(info)) = view.get_mut(key) {
                *info = mask::object(info);
            }
        }
        if let Some(Value::Object(info)) = view.get_mut("instance_info")
            && let Some(url) = info.get_mut("image_url").filter(|url| !url.is_null())
        {
            // The way to an image may be a secret of its own.
            *url = mask::MASK.into();
        }
        view.insert("reservation".into(), json!(reservation));
        view
    }

    /// `text` without the secrets of this node, and not longer than anybody reads.
    pub fn without_secrets(&self, text: &str) -> String {
        let text: String = text.chars().take(LONGEST_TEXT).collect();
        let internal = self.internal.view();
        mask::text_without(&text, [&self.spec.driver_info, &self.spec.instance_info, &internal])
    }

    /// The record as an agent gets it with a step: as [`Node::view`], with the config drive.
    pub fn agent_view(&self) -> Object {
        let mut view = match serde_json::to_value(&self.spec) {
            Ok(Value::Object(map)) => map,
            _ => Object::new(),
        };
        for kind in interface::KINDS {
            view.insert(format!("{kind}_interface"), self.interface(kind).into());
        }
        let step = |family| self.current_step(family).map_or_else(|| json!({}), |step| json!(step));
        let facts = json!({
            "uuid": self.uuid,
            "provision_state": self.provision_state,
            "target_provision_state": self.target_provision_state,
            "power_state": self.power_state,
            "target_power_state": self.target_power_state,
            "last_error": self.last_error,
            "maintenance_reason": self.maintenance_reason,
            "fault": self.fault,
            "driver_internal_info": self.internal.view(),
            "clean_step": step(Family::Clean),
            "deploy_step": step(Family::Deploy),
            "service_step": step(Family::Service),
            "raid_config": self.raid_config,
            "target_raid_config": self.target_raid_config,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "provision_updated_at": self.provision_updated_at,
            "inspection_started_at": self.inspection_started_at,
            "inspection_finished_at": self.inspection_finished_at,
            "reservation": null,
            "console_enabled": false,
            "allocation_uuid": self.allocation_uuid,
            "boot_mode": self.boot_mode,
            "secure_boot": self.secure_boot,
            "conductor": "conductor-stub",
            "health": null,
            "traits": self.traits,
        });
        if let Value::Object(facts) = facts {
            view.extend(facts);
        }
        for key in ["driver_info", "driver_internal_info"] {
            if let Some(Value::Object(info)) = view.get_mut(key) {
                *info = mask::object(info);
            }
        }
        view
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        Node::new(Uuid::new_v4(), Spec::default())
    }

    #[test]
    fn secrets_do_not_leave() {
        let mut node = node();
        node.spec.driver_info.insert("redfish_password".into(), "calvin".into());
        node.spec.instance_info.insert("configdrive".into(), "H4sI".into());
        node.internal.agent_secret_token = Some("secret".into());
        let text = Value::Object(node.view(None)).to_string();
        for secret in ["calvin", "H4sI", "\"secret\""] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        assert!(Value::Object(node.agent_view()).to_string().contains("H4sI"), "the agent needs the config drive");
    }

    #[test]
    fn manual_cleaning_keeps_its_target() {
        let mut node = node();
        node.target_provision_state = Some(ProvisionState::Manageable);
        node.enter(ProvisionState::CleanWait);
        assert_eq!(node.target_provision_state, Some(ProvisionState::Manageable));
        node.enter(ProvisionState::CleanFailed);
        assert_eq!(node.target_provision_state, Some(ProvisionState::Manageable));
        node.enter(ProvisionState::Manageable);
        assert_eq!(node.target_provision_state, None);
    }

    #[test]
    fn an_operation_lasts_from_rest_to_rest() {
        let mut node = node();
        assert_eq!(node.enter(ProvisionState::Deleting), None);
        assert_eq!(node.enter(ProvisionState::Cleaning), None);
        assert_eq!(node.enter(ProvisionState::CleanWait), None);
        let ended = node.enter(ProvisionState::Available).unwrap();
        assert_eq!(ended.flow, Flow::Undeploy, "cleaning is a part of it");
        assert_eq!(node.enter(ProvisionState::Manageable), None, "nothing has begun");
    }

    #[test]
    fn capabilities_come_in_three_spellings() {
        let mut node = node();
        node.spec.properties.insert("capabilities".into(), "cpu_vt:true,boot_mode:bios".into());
        assert_eq!(node.capability("boot_mode").as_deref(), Some("bios"));
        node.spec.instance_info.insert("capabilities".into(), json!({"boot_mode": "uefi"}));
        assert_eq!(node.capability("boot_mode").as_deref(), Some("uefi"));
        node.spec.instance_info.insert("capabilities".into(), "{\"boot_mode\": \"x\"}".into());
        assert_eq!(node.capability("boot_mode").as_deref(), Some("x"));
    }
}
