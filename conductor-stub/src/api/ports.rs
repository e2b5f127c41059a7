//! `/v1/ports`: network interfaces.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use uuid::Uuid;

use super::arguments::Arguments;
use super::body::{Answer, Json};
use super::fields::{Field, Wanted, field, refuse_newer, sorted};
use super::named::{Question, find as find_node};
use super::paging::{Page, beside, write_json};
use super::patch::{self, Operation};
use super::resource;
use super::version::Version;
use crate::conductor::{Conductor, Shared};
use crate::error::ApiError;
use crate::flow::task::Task;
use crate::node::spec::is_logical_name;
use crate::node::{Object, Port};
use crate::store::listing::{Listing, Table};

/// The fields of a port.
pub const FIELDS: &[Field] = &[
    sorted("uuid", 1, "$.uuid"),
    sorted("created_at", 1, "$.created_at"),
    sorted("updated_at", 1, "$.updated_at"),
    sorted("address", 1, "$.address"),
    field("extra", 1),
    field("internal_info", 18),
    sorted("is_smartnic", 53, "$.is_smartnic"),
    field("local_link_connection", 19),
    sorted("physical_network", 34, "$.physical_network"),
    sorted("pxe_enabled", 19, "$.pxe_enabled"),
    sorted("node_uuid", 1, "$.node_uuid"),
    sorted("name", 88, "$.name"),
    sorted("description", 97, "$.description"),
    sorted("vendor", 100, "$.vendor"),
    sorted("category", 101, "$.category"),
    sorted("available_for_dynamic_portgroup", 111, "$.available_for_dynamic_portgroup"),
    field("portgroup_uuid", 24),
];

/// What a list shows of a port when nothing else is asked for.
const SHORT: &[&str] = &["uuid", "address"];

fn view(conductor: &Conductor, port: &Port, version: Version) -> Object {
    let mut view = resource::view(conductor, port, version, FIELDS, &format!("ports/{}", port.uuid));
    if version.0 >= 24 {
        view.insert("portgroup_uuid".into(), Value::Null);
    }
    view
}

/// `GET /v1/ports`.
///
/// # Errors
/// 400 and 406 for arguments that do not fit, 404 for a node or a marker that is not there.
pub async fn list(State(conductor): State<Shared>, version: Version, mut arguments: Arguments) -> Answer {
    let wanted = Wanted::read(&mut arguments, version, FIELDS, Some(SHORT))?;
    beside(move || answer(&conductor, version, arguments, &wanted, "ports", None)).await
}

/// `GET /v1/ports/detail`.
///
/// # Errors
/// As [`list`].
pub async fn detail(State(conductor): State<Shared>, version: Version, arguments: Arguments) -> Answer {
    beside(move || answer(&conductor, version, arguments, &Wanted::All, "ports/detail", None)).await
}

/// `GET /v1/nodes/{node}/ports`.
///
/// # Errors
/// As [`list`].
pub async fn of_node(Question { conductor, version, node, ident, mut arguments }: Question) -> Answer {
    let wanted = Wanted::read(&mut arguments, version, FIELDS, Some(SHORT))?;
    let path = format!("nodes/{ident}/ports");
    answer(&conductor, version, arguments, &wanted, &path, Some(node.uuid))
}

fn answer(
    conductor: &Conductor,
    version: Version,
    mut arguments: Arguments,
    wanted: &Wanted,
    path: &str,
    node: Option<Uuid>,
) -> Answer {
    let page = Page::read(&mut arguments, version, FIELDS)?;
    let mut listing = page.listing();
    let ident = arguments.ident("node")?.or(arguments.uuid("node_uuid")?.map(|uuid| uuid.to_string()));
    let asked = ident.map(|ident| find_node(conductor, version, &ident)).transpose()?;
    for node in node.into_iter().chain(asked.map(|node| node.uuid)) {
        listing = listing.filter("node_uuid = ?", [node.to_string().into()]);
    }
    if let Some(address) = arguments.address("address")? {
        listing = listing.filter("address = ?", [address.to_string().into()]);
    }
    if let Some(group) = arguments.ident("portgroup")? {
        return Err(ApiError::Missing { kind: "Portgroup", ident: group });
    }
    if let Some(part) = arguments.text("description_contains")? {
        listing = listing.containing("$.description", &part);
    }
    for (name, since, place) in [("shard", 82, "$.spec.shard"), ("conductor_groups", 99, "$.spec.conductor_group")] {
        if let Some(words) = arguments.words(name)?.filter(|words| !words.is_empty()) {
            version.needs(since)?;
            let marks = vec!["?"; words.len()].join(", ");
            let nodes = format!("SELECT uuid FROM nodes WHERE json_extract(document, '{place}') IN ({marks})");
            listing = listing.filter(&format!("node_uuid IN ({nodes})"), words.into_iter().map(Into::into));
        }
    }
    arguments.end()?;
    if let Some(marker) = page.marker {
        by_uuid(conductor, marker)?;
    }
    let ports = conductor.store.records(Table::Ports, &listing)?;
    let url = format!("{}/v1/{path}", conductor.urls.public());
    let write = |port: &Port, body: &mut Vec<u8>| write_json(&wanted.of(view(conductor, port, version)), body);
    page.answer("ports", &url, ports, |port| port.uuid, write)
}

fn by_uuid(conductor: &Conductor, uuid: Uuid) -> Result<Port, ApiError> {
    let found = conductor.store.port(&uuid.to_string())?;
    found.ok_or(ApiError::Missing { kind: "Port", ident: uuid.to_string() })
}

fn named(conductor: &Conductor, name: &str) -> Result<Option<Port>, ApiError> {
    let listing = Listing::first(1).equal("$.name", name.to_owned());
    Ok(conductor.store.list(Table::Ports, &listing)?.pop())
}

/// The port with this UUID or, for clients that know them, this name.
fn find(conductor: &Conductor, version: Version, ident: String) -> Result<Port, ApiError> {
    if !is_logical_name(&ident) {
        return Err(ApiError::Ident { kind: "port_ident", ident });
    }
    match ident.parse() {
        Ok(uuid) => by_uuid(conductor, uuid),
        Err(_) if version.0 < 88 => Err(ApiError::Missing { kind: "Port", ident }),
        Err(_) => named(conductor, &ident)?.ok_or(ApiError::Missing { kind: "Port", ident }),
    }
}

/// `POST /v1/ports`.
///
/// # Errors
/// 400 for what describes no port, or names no node; 409 for an address, name or UUID that is taken.
pub async fn create(State(conductor): State<Shared>, version: Version, Json(mut body): Json<Object>) -> Answer {
    body.retain(|_, value| !value.is_null());
    refuse_newer(body.keys().map(String::as_str), version, FIELDS)?;
    let uuid = match body.shift_remove("uuid") {
        None => Uuid::new_v4(),
        Some(value) => {
            let parsed = value.as_str().and_then(|text| text.parse().ok());
            parsed.ok_or_else(|| ApiError::Invalid(format!("Expected UUID for uuid: {value}")))?
        }
    };
    if let Some(group) = body.shift_remove("portgroup_uuid") {
        return Err(ApiError::Invalid(format!("Portgroup {} could not be found.", group.as_str().unwrap_or_default())));
    }
    name_node(&conductor, version, &mut body)?;
    let port = Port::read(uuid, body)?;
    if conductor.store.port(&uuid.to_string())?.is_some() {
        return Err(ApiError::Conflict(format!("A port with UUID {uuid} already exists.")));
    }
    check(&conductor, &port)?;
    conductor.store.save_port(&port)?;
    Ok(resource::created(&conductor, &format!("ports/{uuid}"), view(&conductor, &port, version)))
}

/// Has the UUID of the node in `node_uuid`, where it may be named by `node_ident`.
fn name_node(conductor: &Conductor, version: Version, body: &mut Object) -> Result<(), ApiError> {
    let ident = body.shift_remove("node_ident");
    if ident.is_some() && version.0 < 94 {
        return Err(ApiError::not_acceptable());
    }
    let given = ident.as_ref().or(body.get("node_uuid"));
    // That there has to be one is said with the rest.
    let Some(given) = given.and_then(Value::as_str) else { return Ok(()) };
    if ident.is_none() && given.parse::<Uuid>().is_err() {
        return Err(ApiError::Invalid(format!("Expected UUID for node_uuid: {given}")));
    }
    let found = find_node(conductor, version, given).map_err(|error| ApiError::Invalid(error.to_string()))?;
    body.insert("node_uuid".into(), json!(found.uuid));
    Ok(())
}

fn check(conductor: &Conductor, port: &Port) -> Result<(), ApiError> {
    let Some(name) = &port.name else { return Ok(()) };
    match named(conductor, name)? {
        Some(other) if other.uuid != port.uuid => {
            Err(ApiError::Conflict(format!("A port with name {name} already exists.")))
        }
        _ => Ok(()),
    }
}

/// `GET /v1/ports/{port}`.
///
/// # Errors
/// 400 and 406 for fields that there are not, 404.
pub async fn show(
    State(conductor): State<Shared>,
    version: Version,
    Path(ident): Path<String>,
    mut arguments: Arguments,
) -> Answer {
    let port = find(&conductor, version, ident)?;
    let wanted = Wanted::read(&mut arguments, version, FIELDS, None)?;
    arguments.end()?;
    Ok(axum::Json(wanted.of(view(&conductor, &port, version))).into_response())
}

/// What a patch may change.
const PATCHED: [&str; 14] = [
    "address",
    "extra",
    "is_smartnic",
    "local_link_connection",
    "node_ident",
    "node_uuid",
    "physical_network",
    "portgroup_uuid",
    "pxe_enabled",
    "name",
    "description",
    "vendor",
    "category",
    "available_for_dynamic_portgroup",
];

/// `PATCH /v1/ports/{port}`.
///
/// # Errors
/// 400, 404, 409 for an address or name that is taken, or while the node is at work.
pub async fn patch(
    State(conductor): State<Shared>,
    version: Version,
    Path(ident): Path<String>,
    Json(operations): Json<Vec<Operation>>,
) -> Answer {
    let port = find(&conductor, version, ident)?;
    let fields = patch::check(&operations, &PATCHED)?;
    refuse_newer(fields.iter().map(String::as_str), version, FIELDS)?;
    // Held so that the node's flow and we do not change it at once.
    let _task = Task::take(&conductor, port.node_uuid)?;
    let mut document = Value::Object(port.settable());
    patch::apply(&mut document, &operations)?;
    let Value::Object(mut document) = document else { return Err(ApiError::NotFound) };
    if document.shift_remove("portgroup_uuid").is_some_and(|group| !group.is_null()) {
        return Err(ApiError::Absent("portgroups"));
    }
    name_node(&conductor, version, &mut document)?;
    let changed = port.changed(document)?;
    check(&conductor, &changed)?;
    conductor.store.save_port(&changed)?;
    Ok(axum::Json(view(&conductor, &changed, version)).into_response())
}

/// `DELETE /v1/ports/{port}`.
///
/// # Errors
/// 400 for what is no UUID, 404, 409 while the node is at work.
pub async fn delete(State(conductor): State<Shared>, Path(ident): Path<String>) -> Answer {
    let uuid = ident.parse().map_err(|_| ApiError::Invalid(format!("Expected UUID for port_uuid: {ident}")))?;
    let port = by_uuid(&conductor, uuid)?;
    let _task = Task::take(&conductor, port.node_uuid)?;
    conductor.store.delete_port(port.uuid)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
