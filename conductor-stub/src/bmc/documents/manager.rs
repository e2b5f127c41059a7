//! The BMC itself and the box that the machine is in.

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{ROOT, instant, link, resource, well};
use crate::bmc::system::{Power, System};

pub(in crate::bmc) fn manager(id: &str, uuid: &str, version: &str) -> Value {
    let path = format!("{ROOT}/Managers/{id}");
    let rest = json!({"ManagerType": "BMC", "Manufacturer": "Ferric", "Model": "Emulated BMC", "FirmwareVersion": version,
        "UUID": id, "ServiceEntryPointUUID": uuid, "DateTime": instant(OffsetDateTime::now_utc()),
        "DateTimeLocalOffset": "+00:00", "PowerState": "On", "Status": well(),
        "NetworkProtocol": link(&format!("{path}/NetworkProtocol")),
        "VirtualMedia": link(&format!("{ROOT}/Systems/{id}/VirtualMedia")),
        "Links": {"ManagerForServers": [link(&format!("{ROOT}/Systems/{id}"))],
            "ManagerForServers@odata.count": 1, "ManagerForChassis": [link(&format!("{ROOT}/Chassis/{id}"))],
            "ManagerForChassis@odata.count": 1}});
    resource(&path, "Manager.v1_11_0", id, "BMC", rest)
}

pub(in crate::bmc) fn network_protocol(id: &str, tls: bool, port: u16) -> Value {
    let path = format!("{ROOT}/Managers/{id}/NetworkProtocol");
    let served = |enabled: bool| json!({"ProtocolEnabled": enabled, "Port": if enabled { Value::from(port) } else { Value::Null }});
    let rest = json!({"HTTP": served(!tls), "HTTPS": served(tls), "Status": well()});
    resource(&path, "ManagerNetworkProtocol.v1_5_0", "NetworkProtocol", "Network protocols", rest)
}

pub(in crate::bmc) fn chassis(system: &mut System) -> Value {
    let id = system.definition.uuid.to_string();
    let power = if system.power() == Power::On { "On" } else { "Off" };
    let machine = [link(&format!("{ROOT}/Systems/{id}"))];
    let bmc = [link(&format!("{ROOT}/Managers/{id}"))];
    let rest = json!({"ChassisType": "RackMount", "Manufacturer": "Ferric", "Model": "Emulated machine", "SerialNumber": id,
        "PowerState": power, "Status": well(),
        "Links": {"ComputerSystems": machine, "ComputerSystems@odata.count": 1, "ManagedBy": bmc, "ManagedBy@odata.count": 1}});
    resource(&format!("{ROOT}/Chassis/{id}"), "Chassis.v1_14_0", &id, "Chassis", rest)
}
