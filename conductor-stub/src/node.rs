//! The record of one machine: what its owner says about it, and what the conductor knows.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::clock;
use crate::state::{PowerState, ProvisionState};

/// A JSON object whose keys are Ironic's.
pub type Object = Map<String, Value>;

/// What a client may set; anything else in a request is refused by name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spec {
    /// Unique name, an alternative to the UUID.
    pub name: Option<String>,
    /// The hardware type, which decides how power and boot are controlled.
    pub driver: String,
    /// How to reach and boot the machine.
    pub driver_info: Object,
    /// Facts and wishes that hold for the machine (`root_device`, `capabilities`…).
    pub properties: Object,
    /// What this deployment is to be (`image_source`…).
    pub instance_info: Object,
    /// The instance on it, for the client's own use.
    pub instance_uuid: Option<Uuid>,
    /// The client's own notes.
    pub extra: Object,
    /// How deployments are done: `direct`, `custom-agent` or `ramdisk`.
    pub deploy_interface: Option<String>,
    /// How the ramdisk is booted.
    pub boot_interface: Option<String>,
    /// Stored and shown.
    pub bios_interface: Option<String>,
    /// Stored and shown.
    pub console_interface: Option<String>,
    /// Stored and shown.
    pub firmware_interface: Option<String>,
    /// Stored and shown; inspection is done by the agent.
    pub inspect_interface: Option<String>,
    /// Stored and shown.
    pub management_interface: Option<String>,
    /// Stored and shown.
    pub network_interface: Option<String>,
    /// Stored and shown.
    pub power_interface: Option<String>,
    /// Stored and shown.
    pub raid_interface: Option<String>,
    /// Stored and shown.
    pub rescue_interface: Option<String>,
    /// Stored and shown.
    pub storage_interface: Option<String>,
    /// Stored and shown.
    pub vendor_interface: Option<String>,
    /// `false` skips automated cleaning.
    pub automated_clean: Option<bool>,
    /// Stored and shown.
    pub resource_class: Option<String>,
    /// Stored and shown.
    pub conductor_group: String,
    /// Stored and shown.
    pub owner: Option<String>,
    /// Stored and shown.
    pub lessee: Option<String>,
    /// Stored and shown.
    pub description: Option<String>,
    /// Stored and shown.
    pub chassis_uuid: Option<String>,
    /// Keeps the node from being undeployed.
    pub protected: bool,
    /// Stored and shown.
    pub protected_reason: Option<String>,
    /// Stored and shown.
    pub retired: bool,
    /// Stored and shown.
    pub retired_reason: Option<String>,
    /// Stored and shown.
    pub network_data: Object,
    /// Stored and shown.
    pub parent_node: Option<String>,
    /// Stored and shown.
    pub shard: Option<String>,
    /// Stored and shown.
    pub disable_power_off: bool,
    /// Settable by patch, as Ironic lets clients do: the reason stays as it is.
    pub maintenance: bool,
}

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
    pub driver_internal_info: Object,
    /// The running clean step.
    pub clean_step: Option<Value>,
    /// The running deploy step.
    pub deploy_step: Option<Value>,
    /// The running service step.
    pub service_step: Option<Value>,
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
    /// The last inspection began.
    pub inspection_started_at: Option<String>,
    /// The last inspection ended well.
    pub inspection_finished_at: Option<String>,
}

const MASK: &str = "******";

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
            driver_internal_info: Object::new(),
            clean_step: None,
            deploy_step: None,
            service_step: None,
            raid_config: Object::new(),
            target_raid_config: Object::new(),
            created_at: clock::now(),
            updated_at: None,
            provision_updated_at: None,
            provision_touched: clock::seconds(),
            inspection_started_at: None,
            inspection_finished_at: None,
        }
    }

    /// Name if it has one, else UUID: for people.
    pub fn label(&self) -> String {
        self.spec.name.clone().unwrap_or_else(|| self.uuid.to_string())
    }

    /// Moves to `state`; the target and the time follow.
    pub fn enter(&mut self, state: ProvisionState) {
        let manual = self.target_provision_state == Some(ProvisionState::Manageable);
        self.target_provision_state = match state {
            // Manual cleaning ends in `manageable`; automated cleaning that failed is going nowhere.
            ProvisionState::CleanFailed => self.target_provision_state.filter(|_| manual),
            state if manual && state.target().is_some() => self.target_provision_state,
            state => state.target(),
        };
        self.provision_state = state;
        self.touch();
    }

    /// Something was heard from the machine: the wait begins anew.
    pub fn touch(&mut self) {
        self.provision_updated_at = Some(clock::now());
        self.provision_touched = clock::seconds();
    }

    /// A string in `driver_internal_info`.
    pub fn internal(&self, key: &str) -> Option<&str> {
        self.driver_internal_info.get(key).and_then(Value::as_str)
    }

    /// Remembers `value` under `key`.
    pub fn remember(&mut self, key: &str, value: impl Into<Value>) {
        self.driver_internal_info.insert(key.to_owned(), value.into());
    }

    /// Forgets what is under `key`.
    pub fn forget(&mut self, key: &str) {
        self.driver_internal_info.remove(key);
    }

    /// Forgets the agent: after a power change another one will come.
    pub fn forget_agent(&mut self) {
        for key in [
            "agent_secret_token",
            "agent_secret_token_pregenerated",
            "agent_url",
            "agent_verify_ca",
            "agent_last_heartbeat",
        ] {
            self.forget(key);
        }
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

    /// The whole record with Ironic's keys and without secrets. `reservation` names the holder of its lock.
    pub fn view(&self, reservation: Option<&str>) -> Object {
        let mut view = self.agent_view();
        if let Some(Value::Object(info)) = view.get_mut("instance_info") {
            for key in ["configdrive", "image_url", "rescue_password", "hashed_rescue_password"] {
                mask(info, key);
            }
        }
        view.insert("reservation".into(), json!(reservation));
        view
    }

    /// The record as an agent gets it with a step: as [`Node::view`], with the config drive.
    pub fn agent_view(&self) -> Object {
        let mut view = match serde_json::to_value(&self.spec) {
            Ok(Value::Object(map)) => map,
            _ => Object::new(),
        };
        let (boot, control) = match self.spec.driver.as_str() {
            "redfish" => ("redfish-https", "redfish"),
            _ => ("fake", "fake"),
        };
        for (name, default) in [
            ("boot_interface", boot),
            ("deploy_interface", "direct"),
            ("bios_interface", "no-bios"),
            ("console_interface", "no-console"),
            ("firmware_interface", "no-firmware"),
            ("inspect_interface", "agent"),
            ("management_interface", control),
            ("network_interface", "noop"),
            ("power_interface", control),
            ("raid_interface", "agent"),
            ("rescue_interface", "agent"),
            ("storage_interface", "noop"),
            ("vendor_interface", "no-vendor"),
        ] {
            if view.get(name).is_none_or(Value::is_null) {
                view.insert(name.into(), default.into());
            }
        }
        let facts = json!({
            "uuid": self.uuid,
            "provision_state": self.provision_state,
            "target_provision_state": self.target_provision_state,
            "power_state": self.power_state,
            "target_power_state": self.target_power_state,
            "last_error": self.last_error,
            "maintenance_reason": self.maintenance_reason,
            "fault": self.fault,
            "driver_internal_info": self.driver_internal_info,
            "clean_step": self.clean_step.clone().unwrap_or_else(|| json!({})),
            "deploy_step": self.deploy_step.clone().unwrap_or_else(|| json!({})),
            "service_step": self.service_step.clone().unwrap_or_else(|| json!({})),
            "raid_config": self.raid_config,
            "target_raid_config": self.target_raid_config,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "provision_updated_at": self.provision_updated_at,
            "inspection_started_at": self.inspection_started_at,
            "inspection_finished_at": self.inspection_finished_at,
            "reservation": null,
            "console_enabled": false,
            "allocation_uuid": null,
            "boot_mode": null,
            "secure_boot": null,
            "conductor": "conductor-stub",
            "traits": [],
        });
        if let Value::Object(facts) = facts {
            view.extend(facts);
        }
        if let Some(Value::Object(info)) = view.get_mut("driver_info") {
            let secrets: Vec<String> = info.keys().filter(|key| key.contains("password")).cloned().collect();
            for key in secrets {
                mask(info, &key);
            }
        }
        if let Some(Value::Object(info)) = view.get_mut("driver_internal_info") {
            mask(info, "agent_secret_token");
        }
        view
    }
}

fn mask(object: &mut Object, key: &str) {
    if let Some(value) = object.get_mut(key) {
        *value = MASK.into();
    }
}

/// One network interface of a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Port {
    /// Its identity.
    pub uuid: Uuid,
    /// The node it belongs to.
    pub node_uuid: Uuid,
    /// MAC address, lower case.
    pub address: String,
    /// Whether the machine boots from it.
    #[serde(default = "yes")]
    pub pxe_enabled: bool,
    /// Optional name.
    #[serde(default)]
    pub name: Option<String>,
    /// The client's own notes.
    #[serde(default)]
    pub extra: Object,
    /// Switch and port it is plugged into.
    #[serde(default)]
    pub local_link_connection: Object,
    /// The network it belongs to.
    #[serde(default)]
    pub physical_network: Option<String>,
    /// Creation time.
    #[serde(default)]
    pub created_at: String,
}

fn yes() -> bool {
    true
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
        node.remember("agent_secret_token", "secret");
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
