//! `/v1/nodes`: the records.

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::body::{Answer, Json, OptionalJson};
use super::patch::{self, Operation};
use crate::conductor::Shared;
use crate::error::ApiError;
use crate::flow::deploy;
use crate::flow::task::Task;
use crate::node::{Node, Object, Spec};
use crate::store::nodes::Filter;

/// Filters and shape of a list.
#[derive(Debug, Default, Deserialize)]
pub struct ListQuery {
    fields: Option<String>,
    detail: Option<String>,
    limit: Option<usize>,
    marker: Option<Uuid>,
    provision_state: Option<String>,
    driver: Option<String>,
    maintenance: Option<String>,
    instance_uuid: Option<Uuid>,
    associated: Option<String>,
    resource_class: Option<String>,
    owner: Option<String>,
}

/// The most nodes that one answer has (`[api]max_limit`).
const MOST: usize = 1000;

/// The fields of a list that asked for none in particular.
const SHORT: [&str; 7] = ["instance_uuid", "maintenance", "name", "power_state", "provision_state", "uuid", "links"];

/// `GET /v1/nodes`.
///
/// # Errors
/// When the database fails.
pub async fn list(State(conductor): State<Shared>, Query(query): Query<ListQuery>) -> Answer {
    let whole = query.detail.as_deref().is_some_and(truth);
    let fields: Option<Vec<String>> = match &query.fields {
        Some(fields) => Some(fields.split(',').map(str::to_owned).collect()),
        None if whole => None,
        None => Some(SHORT.map(str::to_owned).to_vec()),
    };
    nodes(&conductor, &query, fields.as_deref())
}

/// `GET /v1/nodes/detail`.
///
/// # Errors
/// When the database fails.
pub async fn detail(State(conductor): State<Shared>, Query(query): Query<ListQuery>) -> Answer {
    nodes(&conductor, &query, None)
}

fn truth(text: &str) -> bool {
    matches!(text.to_lowercase().as_str(), "true" | "1" | "yes" | "on" | "t" | "y")
}

fn nodes(conductor: &Shared, query: &ListQuery, fields: Option<&[String]>) -> Answer {
    if let Some(marker) = query.marker {
        conductor.find(&marker.to_string())?;
    }
    let filter = Filter {
        provision_state: query.provision_state.clone(),
        driver: query.driver.clone(),
        resource_class: query.resource_class.clone(),
        owner: query.owner.clone(),
        maintenance: query.maintenance.as_deref().map(truth),
        associated: query.associated.as_deref().map(truth),
        instance_uuid: query.instance_uuid,
    };
    let limit = query.limit.filter(|limit| *limit > 0).unwrap_or(MOST).min(MOST);
    // One more than is shown says that there are more.
    let mut found = conductor.store.page(&filter, query.marker, limit + 1)?;
    let next = (found.len() > limit).then(|| found[limit - 1].uuid);
    found.truncate(limit);
    let list: Vec<Value> = found.iter().map(|node| chosen(view(conductor, node), fields)).collect::<Result<_, _>>()?;
    let mut body = json!({ "nodes": list });
    if let Some(marker) = next {
        body["next"] = format!("{}/v1/nodes?limit={limit}&marker={marker}", conductor.urls.public()).into();
    }
    Ok(axum::Json(body).into_response())
}

/// The record as clients see it.
pub(super) fn view(conductor: &Shared, node: &Node) -> Object {
    let mut view = node.view(conductor.locks.is_taken(node.uuid).then_some("conductor-stub"));
    let link = format!("{}/v1/nodes/{}", conductor.urls.public(), node.uuid);
    view.insert("links".into(), json!([{"href": link, "rel": "self"}]));
    view
}

fn chosen(mut view: Object, fields: Option<&[String]>) -> Result<Value, ApiError> {
    let Some(fields) = fields else { return Ok(Value::Object(view)) };
    let mut picked = Map::new();
    for field in fields {
        let value =
            view.remove(field).ok_or_else(|| ApiError::Invalid(format!("Field(s) \"{field}\" are not valid.")))?;
        picked.insert(field.clone(), value);
    }
    Ok(Value::Object(picked))
}

/// `POST /v1/nodes`.
///
/// # Errors
/// 400 for an unknown key or hardware type, 409 for a name that is taken.
pub async fn create(State(conductor): State<Shared>, Json(mut body): Json<Object>) -> Answer {
    let uuid = match body.remove("uuid") {
        None | Some(Value::Null) => Uuid::new_v4(),
        Some(value) => serde_json::from_value(value).map_err(|error| ApiError::Invalid(format!("uuid: {error}")))?,
    };
    let spec = Spec::read(Value::Object(body))?;
    let node = Node::new(uuid, spec);
    conductor.drivers.of(&node).map_err(|error| ApiError::Invalid(error.to_string()))?;
    if conductor.store.node(&uuid.to_string())?.is_some() {
        return Err(ApiError::Conflict(format!("A node with UUID {uuid} already exists.")));
    }
    conductor.enrol(&node)?;
    let location = format!("{}/v1/nodes/{uuid}", conductor.urls.public());
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], axum::Json(view(&conductor, &node))).into_response())
}

/// Query of one record.
#[derive(Debug, Deserialize)]
pub struct ShowQuery {
    fields: Option<String>,
}

/// `GET /v1/nodes/{node}`.
///
/// # Errors
/// 404.
pub async fn show(
    State(conductor): State<Shared>,
    Path(ident): Path<String>,
    Query(query): Query<ShowQuery>,
) -> Answer {
    let node = conductor.find(&ident)?;
    let fields: Option<Vec<String>> = query.fields.map(|fields| fields.split(',').map(str::to_owned).collect());
    Ok(axum::Json(chosen(view(&conductor, &node), fields.as_deref())?).into_response())
}

/// `PATCH /v1/nodes/{node}`.
///
/// # Errors
/// 400 for a patch that does not fit, 409 for a locked node.
pub async fn patch(
    State(conductor): State<Shared>,
    Path(ident): Path<String>,
    Json(operations): Json<Vec<Operation>>,
) -> Answer {
    let mut task = Task::take(&conductor, conductor.find(&ident)?.uuid)?;
    let node = &mut task.node;
    let mut document = serde_json::to_value(&node.spec).map_err(|error| ApiError::Internal(error.to_string()))?;
    patch::apply(&mut document, &operations)?;
    node.spec = Spec::read(document)?;
    conductor.drivers.of(node).map_err(|error| ApiError::Invalid(error.to_string()))?;
    if !node.spec.maintenance {
        node.maintenance_reason = None;
        node.fault = None;
    }
    task.save()?;
    let node = task.node.clone();
    drop(task);
    Ok(axum::Json(view(&conductor, &node)).into_response())
}

/// `DELETE /v1/nodes/{node}`.
///
/// # Errors
/// 409 in a state that does not allow it.
pub async fn delete(State(conductor): State<Shared>, Path(ident): Path<String>) -> Answer {
    let task = Task::take(&conductor, conductor.find(&ident)?.uuid)?;
    let node = &task.node;
    if !node.provision_state.allows_deletion() && !node.spec.maintenance {
        return Err(ApiError::Conflict(format!(
            "Can not delete node \"{}\" while it is in provision state \"{}\". Valid provision states to perform deletion are: enroll, manageable, adopt failed",
            node.uuid, node.provision_state
        )));
    }
    conductor.store.delete_node(node.uuid)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET /v1/nodes/{node}/validate`.
///
/// # Errors
/// 404.
pub async fn validate(State(conductor): State<Shared>, Path(ident): Path<String>) -> Answer {
    let node = conductor.find(&ident)?;
    let verdict = |result: Result<(), String>| match result {
        Ok(()) => json!({"result": true}),
        Err(reason) => json!({"result": false, "reason": reason}),
    };
    let control =
        conductor.drivers.of(&node).and_then(|driver| driver.validate(&node)).map_err(|error| error.to_string());
    let deploy = deploy::validate(&node, &conductor.allowed).map_err(|error| error.to_string());
    let mut body = Map::new();
    for name in ["boot", "management", "power"] {
        body.insert(name.into(), verdict(control.clone()));
    }
    body.insert("deploy".into(), verdict(deploy));
    for name in ["bios", "console", "firmware", "inspect", "network", "raid", "rescue", "storage"] {
        body.insert(name.into(), verdict(Ok(())));
    }
    Ok(axum::Json(body).into_response())
}

/// `GET /v1/nodes/{node}/inventory`.
///
/// # Errors
/// 404 before the first inspection.
pub async fn inventory(State(conductor): State<Shared>, Path(ident): Path<String>) -> Answer {
    let node = conductor.find(&ident)?;
    let found = conductor.store.inventory(node.uuid)?;
    Ok(axum::Json(found.ok_or(ApiError::Missing { kind: "Inventory for node", ident: node.uuid.to_string() })?)
        .into_response())
}

/// `GET /v1/nodes/{node}/history`.
///
/// # Errors
/// 404.
pub async fn history(State(conductor): State<Shared>, Path(ident): Path<String>) -> Answer {
    let node = conductor.find(&ident)?;
    let history: Vec<Value> = conductor
        .store
        .history(node.uuid)?
        .into_iter()
        .map(|entry| {
            let severity = if entry.kind == "error" { "ERROR" } else { "INFO" };
            json!({"event": entry.text, "event_type": entry.kind, "severity": severity, "conductor": "conductor-stub"})
        })
        .collect();
    Ok(axum::Json(json!({ "history": history })).into_response())
}

/// Body of a maintenance request.
#[derive(Debug, Default, Deserialize)]
pub struct Maintenance {
    #[serde(default)]
    reason: Option<String>,
}

/// `PUT /v1/nodes/{node}/maintenance`.
///
/// # Errors
/// 409 for a locked node.
pub async fn set_maintenance(
    State(conductor): State<Shared>,
    Path(ident): Path<String>,
    OptionalJson(body): OptionalJson<Maintenance>,
) -> Answer {
    maintenance(&conductor, &ident, true, body.and_then(|body| body.reason))
}

/// `DELETE /v1/nodes/{node}/maintenance`.
///
/// # Errors
/// 409 for a locked node.
pub async fn clear_maintenance(State(conductor): State<Shared>, Path(ident): Path<String>) -> Answer {
    maintenance(&conductor, &ident, false, None)
}

fn maintenance(conductor: &Shared, ident: &str, on: bool, reason: Option<String>) -> Answer {
    let mut task = Task::take(conductor, conductor.find(ident)?.uuid)?;
    task.node.spec.maintenance = on;
    task.node.maintenance_reason = reason;
    task.node.fault = None;
    task.save()?;
    Ok(StatusCode::ACCEPTED.into_response())
}
