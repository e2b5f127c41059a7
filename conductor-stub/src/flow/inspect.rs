//! manageable → inspecting → inspect wait → manageable, with the agent's data in between; or straight back, with what the BMC
//! knows.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::clock;
use crate::driver::Inventory;
use crate::error::ApiError;
use crate::flow::error::FlowError;
use crate::flow::task::Task;
use crate::flow::{fast_track, firmware, power};
use crate::node::{MacAddress, Node, Object, Port};
use crate::state::Event;

/// The interface that asks the BMC and leaves the machine as it is.
const OUT_OF_BAND: &str = "redfish";

/// Asks the BMC.
async fn ask_bmc(task: &mut Task) -> Result<(), FlowError> {
    task.node.inspection_started_at = Some(clock::now());
    task.node.inspection_finished_at = None;
    let (machine, node) = task.machine()?;
    let Inventory { inventory, disk_bytes } = machine.inspect(node).await?;
    add_ports(task, &inventory, &Object::new())?;
    set_properties(&mut task.node, &inventory, Some(disk_bytes.unwrap_or_default()));
    if !task.node.spec.properties.contains_key("memory_mb") {
        let node = task.node.uuid;
        let text = format!("Failed to discover the following properties: memory_mb on node {node}");
        return Err(FlowError::Refused(text));
    }
    firmware::learn_if_told(task).await;
    task.node.inspection_finished_at = Some(clock::now());
    task.enter(Event::Done)?;
    Ok(task.save_inspected(&json!({"inventory": inventory, "plugin_data": {}}))?)
}

/// Boots the agent and waits for its data.
///
/// # Errors
/// When the machine cannot be booted.
async fn begin(task: &mut Task) -> Result<(), FlowError> {
    task.node.inspection_started_at = Some(clock::now());
    task.node.inspection_finished_at = None;
    let callback = format!("{}/v1/continue_inspection", task.conductor.urls.public());
    let mut parameters = power::parameters(&task.conductor, "ipa-inspection-callback-url", callback);
    if fast_track::is_enabled(&task.conductor, &task.node) {
        parameters.extend(power::api_parameters(&task.conductor));
    }
    power::boot_ramdisk(task, &parameters).await?;
    task.step_to(Event::Wait)
}

/// Goes on with the data that were sent, or boots the agent that is to send them.
///
/// # Errors
/// When the data are not good enough, or the machine cannot be switched.
pub async fn go_on(task: &mut Task) -> Result<(), FlowError> {
    if task.node.interface("inspect") == OUT_OF_BAND {
        return ask_bmc(task).await;
    }
    match task.conductor.store.received(task.node.uuid)? {
        Some(Value::Object(data)) => finish(task, data).await,
        _ => begin(task).await,
    }
}

/// The network interfaces that somebody may have.
const MOST_INTERFACES: usize = 256;

/// What is no address is left out, as Ironic does.
pub(super) fn addresses(data: &Object) -> Result<BTreeSet<MacAddress>, ApiError> {
    let interfaces = data.get("inventory").and_then(|inventory| inventory.get("interfaces")).and_then(Value::as_array);
    let interfaces = interfaces.filter(|list| !list.is_empty());
    let interfaces = interfaces
        .ok_or_else(|| ApiError::Invalid("Invalid data: inventory with at least one interface is required".into()))?;
    if interfaces.len() > MOST_INTERFACES {
        return Err(ApiError::Invalid(format!("Invalid data: more than {MOST_INTERFACES} interfaces")));
    }
    Ok(interfaces.iter().filter_map(address).collect())
}

fn address(interface: &Value) -> Option<MacAddress> {
    interface.get("mac_address")?.as_str()?.parse().ok()
}

async fn finish(task: &mut Task, data: Object) -> Result<(), FlowError> {
    if let Some(error) = data.get("error").and_then(Value::as_str).filter(|error| !error.is_empty()) {
        return Err(FlowError::Refused(format!("The agent reported an inspection error: {error}")));
    }
    let mut data = data;
    let inventory = data.remove("inventory").unwrap_or_default();
    add_ports(task, &inventory, &data)?;
    let root_bytes = data.get("root_disk").and_then(|disk| disk.get("size")).and_then(Value::as_u64);
    set_properties(&mut task.node, &inventory, root_bytes);
    fast_track::rest(task).await?;
    task.node.inspection_finished_at = Some(clock::now());
    task.enter(Event::Done)?;
    Ok(task.save_inspected(&json!({"inventory": inventory, "plugin_data": data}))?)
}

/// Ports for the interface that booted, or for all when the agent does not say which.
fn add_ports(task: &Task, inventory: &Value, data: &Object) -> Result<(), FlowError> {
    let named = inventory.pointer("/boot/pxe_interface").or_else(|| data.get("boot_interface")).and_then(Value::as_str);
    let pxe = match named.map(MacAddress::from_bootif).transpose() {
        Ok(pxe) => pxe,
        Err(error) => return Err(FlowError::Refused(format!("the interface that booted: {error}"))),
    };
    let is_loopback = |nic: &Value| nic["ipv4_address"].as_str().is_some_and(|address| address.starts_with("127."));
    let interfaces = inventory.get("interfaces").and_then(Value::as_array).into_iter().flatten();
    let usable: BTreeSet<MacAddress> = interfaces
        .filter(|nic| !is_loopback(nic))
        .filter_map(address)
        .filter(|mac| pxe.as_ref().is_none_or(|pxe| pxe == mac))
        .collect();
    if usable.is_empty() {
        return Err(FlowError::Refused(
            "no network interfaces match the configuration (add_ports set to \"pxe\")".into(),
        ));
    }
    let store = &task.conductor.store;
    for address in usable {
        if store.port(address.as_str())?.is_none() {
            let pxe_enabled = pxe.as_ref().is_none_or(|pxe| *pxe == address);
            store.save_port(&Port { pxe_enabled, ..Port::new(task.node.uuid, address) })?;
        }
    }
    Ok(())
}

/// cpu_arch, cpus, memory_mb, local_gb and the boot mode, as Ironic's default hooks set them.
fn set_properties(node: &mut Node, inventory: &Value, root_bytes: Option<u64>) {
    let told = |place: &str| {
        let fact = inventory.pointer(place).filter(|fact| !fact.is_null());
        fact.filter(|fact| **fact != "" && **fact != 0).cloned()
    };
    if let Some(mode) = inventory.pointer("/boot/current_boot_mode").and_then(Value::as_str)
        && node.capability("boot_mode").is_none()
    {
        node.add_capability("boot_mode", mode);
    }
    let facts = [
        ("cpu_arch", told("/cpu/architecture")),
        ("cpus", told("/cpu/count")),
        ("memory_mb", told("/memory/physical_mb")),
        // One GiB is left for partitioning, as upstream does.
        ("local_gb", root_bytes.map(|bytes| json!((bytes >> 30).saturating_sub(1)))),
    ];
    for (name, value) in facts {
        if let Some(value) = value {
            node.spec.properties.insert(name.into(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Spec;

    #[test]
    fn what_is_known_of_a_machine_stays_beside_what_is_found() {
        let properties = json!({"capabilities": "cpu_vt:true", "memory_mb": 512, "cpu_arch": "x86_64"});
        let spec = Spec { properties: properties.as_object().unwrap().clone(), ..Spec::default() };
        let mut node = Node::new(uuid::Uuid::new_v4(), spec);
        let inventory = json!({"cpu": {"architecture": "", "count": 0}, "boot": {"current_boot_mode": "uefi"}});
        set_properties(&mut node, &inventory, Some(0));
        let found = json!({"capabilities": "cpu_vt:true,boot_mode:uefi", "memory_mb": 512, "cpu_arch": "x86_64", "local_gb": 0});
        assert_eq!(json!(node.spec.properties), found);
        set_properties(&mut node, &json!({"boot": {"current_boot_mode": "bios"}}), None);
        assert_eq!(json!(node.spec.properties), found, "what its owner or an earlier look says of the mode stands");
        for (before, after) in [
            (json!({"a": "1"}), json!({"a": "1", "boot_mode": "uefi"})),
            (json!(r#"{"a": "1"}"#), json!(r#"{"a":"1","boot_mode":"uefi"}"#)),
            (json!(""), json!("boot_mode:uefi")),
        ] {
            node.spec.properties.insert("capabilities".into(), before);
            set_properties(&mut node, &inventory, None);
            assert_eq!(node.spec.properties["capabilities"], after);
        }
    }
}
