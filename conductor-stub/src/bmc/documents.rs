//! What the BMC answers: Redfish documents (DMTF DSP0266, schemas of DSP8010) and errors.

pub(super) mod account;
pub(super) mod manager;
pub(super) mod service;
pub(super) mod system;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(super) const ROOT: &str = "/redfish/v1";

/// A resource of the schema `kind`, such as `Task.v1_4_3`.
pub(super) fn resource(path: &str, kind: &str, id: &str, name: &str, mut rest: Value) -> Value {
    rest["@odata.id"] = path.into();
    rest["@odata.type"] = format!("#{kind}.{}", kind.split('.').next().unwrap_or_default()).into();
    rest["Id"] = id.into();
    rest["Name"] = name.into();
    rest
}

/// A collection of resources of the schema `kind`, at these paths.
pub(super) fn collection(path: &str, kind: &str, name: &str, members: impl IntoIterator<Item = String>) -> Value {
    let members: Vec<Value> = members.into_iter().map(|path| link(&path)).collect();
    json!({"@odata.id": path, "@odata.type": format!("#{kind}Collection.{kind}Collection"), "Name": name,
           "Members@odata.count": members.len(), "Members": members})
}

pub(super) fn link(path: &str) -> Value {
    json!({"@odata.id": path})
}

/// A point in time, in whole seconds.
pub(super) fn instant(time: OffsetDateTime) -> String {
    time.replace_nanosecond(0).unwrap_or(time).format(&Rfc3339).unwrap_or_default()
}

/// All is well.
pub(super) fn well() -> Value {
    json!({"State": "Enabled", "Health": "OK"})
}

/// A message of the Base registry.
pub(super) fn message(id: &str, text: &str) -> Value {
    let good = id == "Success";
    json!({"@odata.type": "#Message.v1_1_1.Message", "MessageId": format!("Base.1.8.{id}"), "Message": text,
           "MessageArgs": [], "Severity": if good { "OK" } else { "Critical" },
           "MessageSeverity": if good { "OK" } else { "Critical" },
           "Resolution": if good { "None" } else { "See the message." }})
}

/// A Redfish error (DSP0266, "Error responses") with a message of the Base registry.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message_id: &'static str,
    message: String,
}

pub(super) fn error(status: StatusCode, message_id: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { status, message_id, message: message.into() }
}

/// There is no such thing.
pub(super) fn missing(kind: &str, id: &str) -> Refusal {
    error(StatusCode::NOT_FOUND, "ResourceMissingAtURI", format!("There is no {kind} {id}"))
}

/// A property or parameter cannot have that value.
pub(super) fn wrong(name: &str, reason: impl std::fmt::Display) -> Refusal {
    error(StatusCode::BAD_REQUEST, "PropertyValueNotInList", format!("{name}: {reason}"))
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let info = message(self.message_id, &self.message);
        let body =
            json!({"error": {"code": info["MessageId"], "message": self.message, "@Message.ExtendedInfo": [info]}});
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let basic = HeaderValue::from_static("Basic realm=\"BMC\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
        }
        response
    }
}
