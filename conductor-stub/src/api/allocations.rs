//! `/v1/allocations`: nodes asked for by what they are.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use uuid::Uuid;

use super::arguments::{Arguments, WithBody};
use super::body::{Answer, Json};
use super::fields::{Field, Wanted, field, refuse_newer, sorted};
use super::named::{Named, find as find_node};
use super::paging::{Page, write_json};
use super::patch::{self, Operation};
use super::resource;
use super::traits;
use super::version::Version;
use crate::clock;
use crate::conductor::{Conductor, Shared};
use crate::error::ApiError;
use crate::flow::allocation;
use crate::node::allocation::AllocationState;
use crate::node::spec::is_logical_name;
use crate::node::{Allocation, Object};
use crate::store::listing::{Listing, Table};

/// The fields of an allocation.
pub const FIELDS: &[Field] = &[
    sorted("uuid", 52, "$.uuid"),
    sorted("created_at", 52, "$.created_at"),
    sorted("updated_at", 52, "$.updated_at"),
    field("candidate_nodes", 52),
    field("extra", 52),
    sorted("last_error", 52, "$.last_error"),
    sorted("name", 52, "$.name"),
    sorted("node_uuid", 52, "$.node_uuid"),
    sorted("owner", 60, "$.owner"),
    sorted("resource_class", 52, "$.resource_class"),
    sorted("state", 52, "$.state"),
    field("traits", 52),
];

fn view(conductor: &Conductor, allocation: &Allocation, version: Version) -> Object {
    resource::view(conductor, allocation, version, FIELDS, &format!("allocations/{}", allocation.uuid))
}

/// The allocation with this UUID or name.
fn find(conductor: &Conductor, ident: String) -> Result<Allocation, ApiError> {
    if !is_logical_name(&ident) {
        return Err(ApiError::Ident { kind: "allocation", ident });
    }
    conductor.store.allocation(&ident)?.ok_or(ApiError::Missing { kind: "Allocation", ident })
}

/// `GET /v1/allocations`.
///
/// # Errors
/// 400 and 406 for arguments that do not fit, 404 for a marker that is gone.
pub async fn list(State(conductor): State<Shared>, version: Version, mut arguments: Arguments) -> Answer {
    version.knows(52)?;
    let wanted = Wanted::read(&mut arguments, version, FIELDS, None)?;
    let page = Page::read(&mut arguments, version, FIELDS)?;
    let mut listing = page.listing();
    if let Some(ident) = arguments.ident("node")? {
        let node = find_node(&conductor, version, &ident).map_err(|error| ApiError::Invalid(error.to_string()))?;
        listing = listing.filter("node_uuid = ?", [node.uuid.to_string().into()]);
    }
    for (name, since, place) in
        [("resource_class", 52, "$.resource_class"), ("state", 52, "$.state"), ("owner", 60, "$.owner")]
    {
        if let Some(text) = arguments.text(name)? {
            version.needs(since)?;
            listing = listing.equal(place, text);
        }
    }
    arguments.end()?;
    if let Some(marker) = page.marker {
        find(&conductor, marker.to_string())?;
    }
    let found = conductor.store.records(Table::Allocations, &listing)?;
    let url = format!("{}/v1/allocations", conductor.urls.public());
    let write = |allocation: &Allocation, body: &mut Vec<u8>| {
        write_json(&wanted.of(view(&conductor, allocation, version)), body);
    };
    page.answer("allocations", &url, found, |allocation| allocation.uuid, write)
}

/// `POST /v1/allocations`.
///
/// # Errors
/// 400 for what describes none, 409 for a name that is taken or a node that is not to be had.
pub async fn create(State(conductor): State<Shared>, version: Version, Json(body): Json<Object>) -> Answer {
    if version.0 < 52 {
        return Err(ApiError::MethodNotAllowed);
    }
    refuse_newer(body.keys().map(String::as_str), version, FIELDS)?;
    let mut arguments = Arguments::of_body(body);
    let node = arguments.ident("node")?;
    if node.is_some() && version.0 < 58 {
        return Err(ApiError::Invalid("Cannot set node when creating an allocation in this API version".into()));
    }
    let found =
        |ident: &str| find_node(&conductor, version, ident).map_err(|error| ApiError::Invalid(error.to_string()));
    let node = node.map(|ident| found(&ident)).transpose()?;
    let own_instance = node.as_ref().and_then(|node| node.spec.instance_uuid);
    let uuid = arguments.uuid("uuid")?.or(own_instance).unwrap_or_else(Uuid::new_v4);
    let name = name(arguments.text("name")?)?;
    let class = arguments.text("resource_class")?.filter(|class| !class.is_empty());
    let resource_class = match (class, &node) {
        (Some(class), _) => Some(class),
        (None, Some(node)) => node.spec.resource_class.clone(),
        (None, None) => {
            return Err(ApiError::Invalid("The resource_class field is mandatory when not backfilling".into()));
        }
    };
    if resource_class.as_ref().is_some_and(|class| class.chars().count() > 80) {
        return Err(ApiError::Invalid(
            "Schema error for allocation: resource_class is longer than 80 characters".into(),
        ));
    }
    let list = |value: Option<Value>| match value {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    };
    let candidates = list(arguments.list("candidate_nodes")?);
    let candidates = candidates.iter().map(|ident| Ok(found(ident.as_str().unwrap_or_default())?.uuid));
    let words = list(arguments.list("traits")?);
    let wanted = Allocation {
        uuid,
        name,
        node_uuid: None,
        state: AllocationState::Error,
        last_error: None,
        resource_class,
        traits: words.iter().map(|word| traits::check("allocation", word)).collect::<Result<_, _>>()?,
        candidate_nodes: candidates.collect::<Result<_, ApiError>>()?,
        extra: extra(arguments.any("extra"))?,
        owner: arguments.text("owner")?,
        created_at: clock::now(),
        updated_at: None,
    };
    arguments.end()?;
    if conductor.store.allocation(&uuid.to_string())?.is_some() {
        return Err(ApiError::Conflict(format!("An allocation with UUID {uuid} already exists.")));
    }
    let made = match node {
        Some(node) => allocation::backfill(&conductor, &node, wanted)?,
        None => allocation::find(&conductor, wanted).await?,
    };
    Ok(resource::created(&conductor, &format!("allocations/{uuid}"), view(&conductor, &made, version)))
}

fn name(name: Option<String>) -> Result<Option<String>, ApiError> {
    match name.filter(|name| !name.is_empty()) {
        Some(name) if !is_logical_name(&name) || name.parse::<Uuid>().is_ok() => {
            Err(ApiError::Invalid(format!("Cannot create allocation with invalid name '{name}'")))
        }
        name => Ok(name),
    }
}

fn extra(value: Option<Value>) -> Result<Object, ApiError> {
    match value {
        None | Some(Value::Null) => Ok(Object::new()),
        Some(Value::Object(extra)) => Ok(extra),
        Some(other) => Err(ApiError::Invalid(format!("Schema error for allocation: extra is no object: {other}"))),
    }
}

/// `GET /v1/allocations/{allocation}`.
///
/// # Errors
/// 404.
pub async fn show(
    State(conductor): State<Shared>,
    version: Version,
    Path(ident): Path<String>,
    mut arguments: Arguments,
) -> Answer {
    version.knows(52)?;
    let allocation = find(&conductor, ident)?;
    let wanted = Wanted::read(&mut arguments, version, FIELDS, None)?;
    arguments.end()?;
    Ok(axum::Json(wanted.of(view(&conductor, &allocation, version))).into_response())
}

/// `PATCH /v1/allocations/{allocation}`: its name and its notes.
///
/// # Errors
/// 400, 404, 409 for a name that is taken.
pub async fn patch(
    State(conductor): State<Shared>,
    version: Version,
    Path(ident): Path<String>,
    Json(operations): Json<Vec<Operation>>,
) -> Answer {
    if version.0 < 57 {
        return Err(ApiError::MethodNotAllowed);
    }
    let mut allocation = find(&conductor, ident)?;
    patch::check(&operations, &["name", "extra"])?;
    let mut document = json!({"name": allocation.name, "extra": allocation.extra});
    patch::apply(&mut document, &operations)?;
    let mut changed = match document {
        Value::Object(document) => Arguments::of_body(document),
        _ => return Err(ApiError::NotFound),
    };
    allocation.name = name(changed.text("name")?)?;
    allocation.extra = extra(changed.any("extra"))?;
    allocation.updated_at = Some(clock::now());
    conductor.store.save_allocation(&allocation)?;
    Ok(axum::Json(view(&conductor, &allocation, version)).into_response())
}

/// `DELETE /v1/allocations/{allocation}`.
///
/// # Errors
/// 404, 409 while its node is in use.
pub async fn delete(State(conductor): State<Shared>, version: Version, Path(ident): Path<String>) -> Answer {
    if version.0 < 52 {
        return Err(ApiError::MethodNotAllowed);
    }
    allocation::remove(&conductor, &find(&conductor, ident)?)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn of_node(conductor: &Conductor, Named { node, ident }: &Named) -> Result<Allocation, ApiError> {
    let listing = Listing::first(1).filter("node_uuid = ?", [node.uuid.to_string().into()]);
    let missing = || ApiError::NoSuch(format!("Allocation for node {ident} was not found"));
    conductor.store.list(Table::Allocations, &listing)?.pop().ok_or_else(missing)
}

/// `GET /v1/nodes/{node}/allocation`.
///
/// # Errors
/// 404.
pub async fn show_of_node(
    State(conductor): State<Shared>,
    version: Version,
    named: Named,
    mut arguments: Arguments,
) -> Answer {
    version.knows(52)?;
    let wanted = Wanted::read(&mut arguments, version, FIELDS, None)?;
    arguments.end()?;
    let allocation = of_node(&conductor, &named)?;
    Ok(axum::Json(wanted.of(view(&conductor, &allocation, version))).into_response())
}

/// `DELETE /v1/nodes/{node}/allocation`.
///
/// # Errors
/// 404, 409 while the node is in use.
pub async fn delete_of_node(
    State(conductor): State<Shared>,
    version: Version,
    named: Named,
    WithBody(_): WithBody,
) -> Answer {
    version.knows(52)?;
    allocation::remove(&conductor, &of_node(&conductor, &named)?)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
