//! What clients see of a node.

use serde_json::{Value, json};

use super::fields::{Field, field, hide_newer, sorted};
use super::resource::links;
use super::version::Version;
use crate::conductor::Conductor;
use crate::node::{Node, Object};
use crate::state::ProvisionState;

/// What the conductor is called where several could be.
pub const HOST: &str = "conductor-stub";

/// The fields of a node, in Ironic's order.
pub const FIELDS: &[Field] = &[
    sorted("uuid", 1, "$.uuid"),
    sorted("created_at", 1, "$.created_at"),
    sorted("updated_at", 1, "$.updated_at"),
    sorted("automated_clean", 47, "$.spec.automated_clean"),
    sorted("bios_interface", 40, "$.spec.bios_interface"),
    sorted("boot_interface", 31, "$.spec.boot_interface"),
    sorted("boot_mode", 75, "$.boot_mode"),
    field("clean_step", 7),
    sorted("conductor_group", 46, "$.spec.conductor_group"),
    field("console_enabled", 1),
    sorted("console_interface", 31, "$.spec.console_interface"),
    sorted("disable_power_off", 95, "$.spec.disable_power_off"),
    sorted("deploy_interface", 31, "$.spec.deploy_interface"),
    field("deploy_step", 44),
    sorted("description", 51, "$.spec.description"),
    sorted("driver", 1, "$.spec.driver"),
    field("driver_info", 1),
    field("driver_internal_info", 3),
    field("extra", 1),
    sorted("fault", 42, "$.fault"),
    sorted("firmware_interface", 86, "$.spec.firmware_interface"),
    field("health", 109),
    sorted("inspection_finished_at", 6, "$.inspection_finished_at"),
    sorted("inspection_started_at", 6, "$.inspection_started_at"),
    sorted("inspect_interface", 31, "$.spec.inspect_interface"),
    field("instance_info", 1),
    sorted("instance_name", 104, "$.spec.instance_name"),
    sorted("instance_uuid", 1, "$.spec.instance_uuid"),
    sorted("last_error", 1, "$.last_error"),
    sorted("lessee", 65, "$.spec.lessee"),
    sorted("maintenance", 1, "$.spec.maintenance"),
    sorted("maintenance_reason", 1, "$.maintenance_reason"),
    sorted("management_interface", 31, "$.spec.management_interface"),
    sorted("name", 5, "$.spec.name"),
    field("network_data", 66),
    sorted("network_interface", 20, "$.spec.network_interface"),
    sorted("owner", 50, "$.spec.owner"),
    sorted("parent_node", 83, "$.spec.parent_node"),
    sorted("power_interface", 31, "$.spec.power_interface"),
    sorted("power_state", 1, "$.power_state"),
    field("properties", 1),
    sorted("protected", 48, "$.spec.protected"),
    sorted("protected_reason", 48, "$.spec.protected_reason"),
    sorted("provision_state", 1, "$.provision_state"),
    sorted("provision_updated_at", 1, "$.provision_updated_at"),
    field("raid_config", 12),
    sorted("raid_interface", 31, "$.spec.raid_interface"),
    sorted("rescue_interface", 38, "$.spec.rescue_interface"),
    field("reservation", 1),
    sorted("resource_class", 21, "$.spec.resource_class"),
    sorted("retired", 61, "$.spec.retired"),
    sorted("retired_reason", 61, "$.spec.retired_reason"),
    sorted("secure_boot", 75, "$.secure_boot"),
    field("service_step", 87),
    sorted("shard", 82, "$.spec.shard"),
    sorted("storage_interface", 33, "$.spec.storage_interface"),
    sorted("target_power_state", 1, "$.target_power_state"),
    sorted("target_provision_state", 1, "$.target_provision_state"),
    field("target_raid_config", 12),
    field("traits", 37),
    sorted("vendor_interface", 31, "$.spec.vendor_interface"),
    field("allocation_uuid", 52),
    field("chassis_uuid", 1),
    field("conductor", 49),
];

/// What a list shows of a node when nothing else is asked for.
pub const SHORT: &[&str] = &["instance_uuid", "maintenance", "power_state", "provision_state", "uuid", "name"];

/// The record as a client of `version` sees it.
pub fn view(conductor: &Conductor, node: &Node, version: Version) -> Object {
    let mut view = node.view(conductor.locks.is_taken(node.uuid).then_some(HOST));
    if let Some(progress) = conductor.running.of(node.uuid)
        && let Some(Value::Object(internal)) = view.get_mut("driver_internal_info")
    {
        internal.insert("progress".into(), json!(progress));
    }
    hide_newer(&mut view, version, FIELDS);
    older_state(&mut view, node.provision_state, version);
    let url = conductor.urls.public();
    for (name, since, rest) in [("links", 1, ""), ("ports", 1, "/ports"), ("states", 14, "/states")] {
        if version.0 >= since {
            view.insert(name.into(), links(url, &format!("nodes/{}{rest}", node.uuid)));
        }
    }
    view
}

/// Clients of early versions know fewer states.
pub fn older_state(view: &mut Object, state: ProvisionState, version: Version) {
    let older = match state {
        ProvisionState::Available if version.0 < 2 => Value::Null,
        ProvisionState::InspectWait if version.0 < 39 => ProvisionState::Inspecting.as_str().into(),
        _ => return,
    };
    if let Some(shown) = view.get_mut("provision_state") {
        *shown = older;
    }
}
