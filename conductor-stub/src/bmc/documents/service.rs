//! The service root, what OData wants beside it, and the services that are not about one machine.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Value, json};

use super::{ROOT, collection, link, resource, well};
use crate::bmc::session::{Session, TIMEOUTS};
use crate::bmc::settings;

/// The resources directly below the root, and their types.
const CHILDREN: [(&str, &str); 9] = [
    ("Systems", "ComputerSystemCollection.ComputerSystemCollection"),
    ("Managers", "ManagerCollection.ManagerCollection"),
    ("Chassis", "ChassisCollection.ChassisCollection"),
    ("AccountService", "AccountService.v1_7_0.AccountService"),
    ("SessionService", "SessionService.v1_1_3.SessionService"),
    ("Tasks", "TaskService.v1_1_5.TaskService"),
    ("EventService", "EventService.v1_7_0.EventService"),
    ("UpdateService", "UpdateService.v1_8_1.UpdateService"),
    ("Registries", "MessageRegistryFileCollection.MessageRegistryFileCollection"),
];

/// Schemas of everything that is served, for the metadata document.
const SCHEMAS: [&str; 24] = [
    "ServiceRoot.v1_9_0",
    "ComputerSystem.v1_18_0",
    "Manager.v1_11_0",
    "Chassis.v1_14_0",
    "AccountService.v1_7_0",
    "ManagerAccount.v1_6_3",
    "Role.v1_2_5",
    "SessionService.v1_1_3",
    "Session.v1_4_0",
    "TaskService.v1_1_5",
    "Task.v1_4_3",
    "EventService.v1_7_0",
    "EventDestination.v1_10_0",
    "UpdateService.v1_8_1",
    "SoftwareInventory.v1_4_0",
    "MessageRegistryFile.v1_1_3",
    "AttributeRegistry.v1_3_5",
    "ManagerNetworkProtocol.v1_5_0",
    "EthernetInterface.v1_6_0",
    "VirtualMedia.v1_4_0",
    "Processor.v1_7_0",
    "Memory.v1_9_0",
    "Bios.v1_1_1",
    "SecureBoot.v1_1_0",
];

/// Further ones, and the collections.
const MORE: [&str; 18] = [
    "Storage.v1_8_1",
    "Drive.v1_9_1",
    "BootOption.v1_0_4",
    "Message.v1_1_1",
    "ComputerSystemCollection",
    "ManagerCollection",
    "ChassisCollection",
    "ManagerAccountCollection",
    "RoleCollection",
    "SessionCollection",
    "TaskCollection",
    "EventDestinationCollection",
    "SoftwareInventoryCollection",
    "MessageRegistryFileCollection",
    "EthernetInterfaceCollection",
    "VirtualMediaCollection",
    "ProcessorCollection",
    "MemoryCollection",
];

fn child_path(name: &str) -> String {
    match name {
        "Tasks" => format!("{ROOT}/TaskService"),
        name => format!("{ROOT}/{name}"),
    }
}

pub(in crate::bmc) fn root(uuid: &str) -> Value {
    let mut rest = json!({"RedfishVersion": "1.11.0", "UUID": uuid, "Vendor": "Ferric", "Product": "Ferric BMC emulator",
        "ProtocolFeaturesSupported": {"ExcerptQuery": false, "FilterQuery": false, "OnlyMemberQuery": false,
            "SelectQuery": false, "ExpandQuery": {"ExpandAll": false, "Levels": false, "Links": false, "NoLinks": false}},
        "Links": {"Sessions": link(&format!("{ROOT}/SessionService/Sessions"))}});
    for (name, _) in CHILDREN {
        rest[name] = link(&child_path(name));
    }
    resource(&format!("{ROOT}/"), "ServiceRoot.v1_9_0", "RootService", "Ferric BMC emulator", rest)
}

/// The OData service document.
pub(in crate::bmc) fn odata() -> Value {
    let entry = |name: &str, path: String| json!({"name": name, "kind": "Singleton", "url": path});
    let children = CHILDREN.iter().map(|(name, _)| entry(name, child_path(name)));
    let value: Vec<Value> = std::iter::once(entry("Service", format!("{ROOT}/")))
        .chain(children)
        .chain([entry("Sessions", format!("{ROOT}/SessionService/Sessions"))])
        .collect();
    json!({"@odata.context": format!("{ROOT}/$metadata"), "value": value})
}

/// The OData metadata document: where the schemas are.
pub(in crate::bmc) fn metadata() -> String {
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<edmx:Edmx xmlns:edmx=\"http://docs.oasis-open.org/odata/ns/edmx\" Version=\"4.0\">\n",
    );
    let more = ["StorageCollection", "BootOptionCollection", "Resource", "Event.v1_7_0", "Settings.v1_3_0"];
    let all: BTreeSet<&str> = SCHEMAS.iter().chain(&MORE).chain(&more).copied().collect();
    for schema in all {
        let name = schema.split('.').next().unwrap_or_default();
        // Writing to a string does not fail.
        let _ = writeln!(xml, "  <edmx:Reference Uri=\"http://redfish.dmtf.org/schemas/v1/{name}_v1.xml\">");
        if name != schema || name == "Resource" {
            let _ = writeln!(xml, "    <edmx:Include Namespace=\"{name}\"/>");
        }
        let _ = writeln!(xml, "    <edmx:Include Namespace=\"{schema}\"/>\n  </edmx:Reference>");
    }
    xml.push_str(
        "  <edmx:Reference Uri=\"http://redfish.dmtf.org/schemas/v1/RedfishExtensions_v1.xml\">\n    <edmx:Include Namespace=\"RedfishExtensions.v1_0_0\" Alias=\"Redfish\"/>\n  </edmx:Reference>\n  <edmx:DataServices>\n    <Schema xmlns=\"http://docs.oasis-open.org/odata/ns/edm\" Namespace=\"Service\">\n      <EntityContainer Name=\"Service\" Extends=\"ServiceRoot.v1_9_0.ServiceContainer\"/>\n    </Schema>\n  </edmx:DataServices>\n</edmx:Edmx>\n",
    );
    xml
}

pub(in crate::bmc) fn session_service(timeout: u64) -> Value {
    let path = format!("{ROOT}/SessionService");
    let rest = json!({"ServiceEnabled": true, "SessionTimeout": timeout, "Status": well(),
        "Sessions": link(&format!("{path}/Sessions"))});
    debug_assert!(TIMEOUTS.contains(&timeout) || timeout == 0);
    resource(&path, "SessionService.v1_1_3", "SessionService", "Sessions", rest)
}

pub(in crate::bmc) fn session(id: &str, session: &Session) -> Value {
    let path = format!("{ROOT}/SessionService/Sessions/{id}");
    let rest =
        json!({"UserName": session.user, "CreatedTime": super::instant(session.created), "SessionType": "Redfish"});
    resource(&path, "Session.v1_4_0", id, "Session", rest)
}

pub(in crate::bmc) fn sessions(ids: impl Iterator<Item = String>) -> Value {
    let path = format!("{ROOT}/SessionService/Sessions");
    collection(&path.clone(), "Session", "Sessions", ids.map(|id| format!("{path}/{id}")))
}

pub(in crate::bmc) fn task_service() -> Value {
    let path = format!("{ROOT}/TaskService");
    let rest = json!({"ServiceEnabled": true, "CompletedTaskOverWritePolicy": "Oldest", "Status": well(),
        "LifeCycleEventOnTaskStateChange": false, "DateTime": super::instant(time::OffsetDateTime::now_utc()),
        "Tasks": link(&format!("{path}/Tasks"))});
    resource(&path, "TaskService.v1_1_5", "TaskService", "Tasks", rest)
}

pub(in crate::bmc) fn tasks(ids: Vec<u64>) -> Value {
    let path = format!("{ROOT}/TaskService/Tasks");
    collection(&path.clone(), "Task", "Tasks", ids.into_iter().map(|id| format!("{path}/{id}")))
}

pub(in crate::bmc) fn event_service() -> Value {
    let path = format!("{ROOT}/EventService");
    let rest = json!({"ServiceEnabled": true, "Status": well(), "DeliveryRetryAttempts": crate::bmc::event::ATTEMPTS,
        "DeliveryRetryIntervalSeconds": crate::bmc::event::PAUSE.as_secs(), "EventFormatTypes": ["Event"],
        "RegistryPrefixes": ["ResourceEvent"], "ServerSentEventUri": format!("{path}/SSE"),
        "Subscriptions": link(&format!("{path}/Subscriptions")),
        "Actions": {"#EventService.SubmitTestEvent": {"target": format!("{path}/Actions/EventService.SubmitTestEvent")}}});
    resource(&path, "EventService.v1_7_0", "EventService", "Events", rest)
}

pub(in crate::bmc) fn subscriptions(ids: impl Iterator<Item = String>) -> Value {
    let path = format!("{ROOT}/EventService/Subscriptions");
    collection(&path.clone(), "EventDestination", "Subscriptions", ids.map(|id| format!("{path}/{id}")))
}

pub(in crate::bmc) fn subscription(id: &str, destination: Option<&str>, context: &str) -> Value {
    let path = format!("{ROOT}/EventService/Subscriptions/{id}");
    let kind = if destination.is_some() { "RedfishEvent" } else { "SSE" };
    let rest = json!({"Protocol": "Redfish", "SubscriptionType": kind, "Context": context, "Destination": destination,
        "EventFormatType": "Event", "Status": well()});
    resource(&path, "EventDestination.v1_10_0", id, "Subscription", rest)
}

pub(in crate::bmc) fn update_service() -> Value {
    let path = format!("{ROOT}/UpdateService");
    let rest = json!({"ServiceEnabled": true, "Status": well(),
        "FirmwareInventory": link(&format!("{path}/FirmwareInventory")),
        "Actions": {"#UpdateService.SimpleUpdate": {"target": format!("{path}/Actions/UpdateService.SimpleUpdate"),
            "TransferProtocol@Redfish.AllowableValues": ["HTTP", "HTTPS"]}}});
    resource(&path, "UpdateService.v1_8_1", "UpdateService", "Firmware updates", rest)
}

pub(in crate::bmc) fn firmware_inventory(ids: impl Iterator<Item = String>) -> Value {
    let path = format!("{ROOT}/UpdateService/FirmwareInventory");
    collection(&path.clone(), "SoftwareInventory", "Firmware", ids.map(|id| format!("{path}/{id}")))
}

pub(in crate::bmc) fn firmware(id: &str, name: &str, version: &str, of: &str) -> Value {
    let path = format!("{ROOT}/UpdateService/FirmwareInventory/{id}");
    let rest = json!({"Version": version, "Updateable": true, "Status": well(), "RelatedItem": [link(of)],
        "RelatedItem@odata.count": 1});
    resource(&path, "SoftwareInventory.v1_4_0", id, name, rest)
}

const REGISTRY: &str = "BiosAttributeRegistry.1.0.0";

pub(in crate::bmc) fn registries() -> Value {
    let path = format!("{ROOT}/Registries");
    collection(&path.clone(), "MessageRegistryFile", "Registries", [format!("{path}/{REGISTRY}")])
}

/// Where the registry of the firmware settings is.
pub(in crate::bmc) fn registry_file() -> Value {
    let path = format!("{ROOT}/Registries/{REGISTRY}");
    let rest = json!({"Registry": REGISTRY, "Languages": ["en"],
        "Location": [{"Language": "en", "Uri": format!("{path}/en")}]});
    resource(&path, "MessageRegistryFile.v1_1_3", REGISTRY, "Registry of firmware settings", rest)
}

/// The name of the registry of the firmware settings.
pub(in crate::bmc) fn registry_name() -> &'static str {
    REGISTRY
}

pub(in crate::bmc) fn registry() -> Value {
    json!({"@odata.type": "#AttributeRegistry.v1_3_5.AttributeRegistry", "Id": REGISTRY, "Name": "Firmware settings",
        "Language": "en", "OwningEntity": "Ferric", "RegistryVersion": "1.0.0",
        "RegistryEntries": {"Attributes": settings::registry()}})
}
