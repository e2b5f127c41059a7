//! What the BMC answers: Redfish documents (DMTF DSP0266, schemas of DSP8010) and errors.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::system::{Power, System};

pub(super) const ROOT: &str = "/redfish/v1";

fn resource(id: &str, name: &str, kind: &str, path: String, mut rest: Value) -> Value {
    rest["@odata.id"] = path.into();
    rest["@odata.type"] = kind.into();
    rest["Id"] = id.into();
    rest["Name"] = name.into();
    rest
}

fn collection(name: &str, kind: &str, path: String, members: impl IntoIterator<Item = String>) -> Value {
    let members: Vec<Value> = members.into_iter().map(|path| json!({"@odata.id": path})).collect();
    json!({"@odata.id": path, "@odata.type": format!("#{kind}.{kind}"), "Name": name,
           "Members@odata.count": members.len(), "Members": members})
}

pub(super) fn service_root(uuid: &str) -> Value {
    let link = |name: &str| json!({"@odata.id": format!("{ROOT}/{name}")});
    resource(
        "RootService",
        "Ferric BMC emulator",
        "#ServiceRoot.v1_5_0.ServiceRoot",
        format!("{ROOT}/"),
        json!({"RedfishVersion": "1.15.0", "UUID": uuid, "Systems": link("Systems"), "Managers": link("Managers"),
               "Chassis": link("Chassis"), "SessionService": link("SessionService"),
               "Links": {"Sessions": link("SessionService/Sessions")}}),
    )
}

pub(super) fn session_service() -> Value {
    resource(
        "SessionService",
        "Sessions",
        "#SessionService.v1_1_0.SessionService",
        format!("{ROOT}/SessionService"),
        json!({"ServiceEnabled": true, "Sessions": {"@odata.id": format!("{ROOT}/SessionService/Sessions")}}),
    )
}

pub(super) fn session(id: &str, user: &str) -> Value {
    let path = format!("{ROOT}/SessionService/Sessions/{id}");
    resource(id, "Session", "#Session.v1_3_0.Session", path, json!({"UserName": user}))
}

pub(super) fn sessions() -> Value {
    collection("Sessions", "SessionCollection", format!("{ROOT}/SessionService/Sessions"), [])
}

/// `Systems`, `Managers` or `Chassis`: each machine has one of each, under the same id.
pub(super) fn machines(kind: &str, ids: impl Iterator<Item = String>) -> Value {
    let type_name = match kind {
        "Systems" => "ComputerSystemCollection",
        "Managers" => "ManagerCollection",
        _ => "ChassisCollection",
    };
    collection(kind, type_name, format!("{ROOT}/{kind}"), ids.map(|id| format!("{ROOT}/{kind}/{id}")))
}

pub(super) fn system(system: &mut System) -> Value {
    let id = system.definition.uuid.to_string();
    let path = format!("{ROOT}/Systems/{id}");
    let power = system.power();
    let boot = &system.boot;
    resource(
        &id,
        &system.definition.name,
        "#ComputerSystem.v1_18_0.ComputerSystem",
        path.clone(),
        json!({
            "SystemType": "Virtual", "UUID": id, "Manufacturer": "Ferric", "Model": "Emulated machine",
            "SerialNumber": id, "PowerState": power,
            "Status": {"State": if power == Power::On { "Enabled" } else { "StandbyOffline" }, "Health": "OK"},
            "Boot": {
                "BootSourceOverrideEnabled": boot.enabled,
                "BootSourceOverrideTarget": boot.target,
                "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "Cd", "Hdd", "UefiHttp"],
                "BootSourceOverrideMode": "UEFI",
                "BootSourceOverrideMode@Redfish.AllowableValues": ["UEFI"],
                "HttpBootUri": boot.http_boot_uri,
            },
            "EthernetInterfaces": {"@odata.id": format!("{path}/EthernetInterfaces")},
            "VirtualMedia": {"@odata.id": format!("{path}/VirtualMedia")},
            "Links": {"ManagedBy": [{"@odata.id": format!("{ROOT}/Managers/{id}")}],
                      "Chassis": [{"@odata.id": format!("{ROOT}/Chassis/{id}")}]},
            "Actions": {"#ComputerSystem.Reset": {
                "target": format!("{path}/Actions/ComputerSystem.Reset"),
                "ResetType@Redfish.AllowableValues":
                    ["On", "ForceOff", "GracefulShutdown", "ForceRestart", "GracefulRestart"],
            }},
        }),
    )
}

pub(super) fn manager(id: &str) -> Value {
    resource(
        id,
        "BMC",
        "#Manager.v1_17_0.Manager",
        format!("{ROOT}/Managers/{id}"),
        json!({"ManagerType": "BMC", "FirmwareVersion": env!("CARGO_PKG_VERSION"), "UUID": id,
               "Status": {"State": "Enabled", "Health": "OK"},
               "VirtualMedia": {"@odata.id": format!("{ROOT}/Systems/{id}/VirtualMedia")},
               "Links": {"ManagerForServers": [{"@odata.id": format!("{ROOT}/Systems/{id}")}]}}),
    )
}

pub(super) fn chassis(id: &str) -> Value {
    resource(
        id,
        "Chassis",
        "#Chassis.v1_21_0.Chassis",
        format!("{ROOT}/Chassis/{id}"),
        json!({"ChassisType": "RackMount", "Status": {"State": "Enabled", "Health": "OK"},
               "Links": {"ComputerSystems": [{"@odata.id": format!("{ROOT}/Systems/{id}")}]}}),
    )
}

pub(super) fn ethernet_interfaces(system: &System) -> Value {
    let path = format!("{ROOT}/Systems/{}/EthernetInterfaces", system.definition.uuid);
    let members: Vec<String> = system.definition.macs.iter().map(|mac| format!("{path}/{mac}")).collect();
    collection("Ethernet interfaces", "EthernetInterfaceCollection", path, members)
}

pub(super) fn ethernet_interface(system: &System, mac: &str) -> Value {
    let path = format!("{ROOT}/Systems/{}/EthernetInterfaces/{mac}", system.definition.uuid);
    let rest = json!({"MACAddress": mac, "PermanentMACAddress": mac, "Status": {"State": "Enabled", "Health": "OK"}});
    resource(mac, "Ethernet interface", "#EthernetInterface.v1_9_0.EthernetInterface", path, rest)
}

pub(super) fn virtual_media(id: &str) -> Value {
    let path = format!("{ROOT}/Systems/{id}/VirtualMedia");
    let member = format!("{path}/Cd");
    collection("Virtual media", "VirtualMediaCollection", path, [member])
}

pub(super) fn virtual_cd(system: &System) -> Value {
    let path = format!("{ROOT}/Systems/{}/VirtualMedia/Cd", system.definition.uuid);
    let url = system.medium.as_ref().map(|medium| medium.url.as_str());
    resource(
        "Cd",
        "Virtual CD",
        "#VirtualMedia.v1_6_0.VirtualMedia",
        path.clone(),
        json!({"MediaTypes": ["CD", "DVD"], "Inserted": url.is_some(), "WriteProtected": true,
               "Image": url.unwrap_or_default(), "ImageName": url.and_then(|url| url.rsplit('/').next()),
               "ConnectedVia": if url.is_some() { "URI" } else { "NotConnected" },
               "Actions": {
                   "#VirtualMedia.InsertMedia": {"target": format!("{path}/Actions/VirtualMedia.InsertMedia")},
                   "#VirtualMedia.EjectMedia": {"target": format!("{path}/Actions/VirtualMedia.EjectMedia")}}}),
    )
}

/// A Redfish error (DSP0266, 8.6) with a message of the Base registry.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message_id: &'static str,
    message: String,
}

pub(super) fn error(status: StatusCode, message_id: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { status, message_id, message: message.into() }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = format!("Base.1.8.{}", self.message_id);
        let body = json!({"error": {"code": code, "message": self.message, "@Message.ExtendedInfo": [
            {"@odata.type": "#Message.v1_1_1.Message", "MessageId": code, "Message": self.message,
             "Severity": "Critical"}]}});
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let basic = HeaderValue::from_static("Basic realm=\"BMC\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
        }
        response
    }
}
