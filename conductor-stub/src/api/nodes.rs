//! `/v1/nodes`: the records.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::arguments::Arguments;
use super::body::{Answer, Json};
use super::fields::{Wanted, refuse_newer};
use super::named::{Named, find};
use super::node_check::{check_driver, check_instance, resolve_parent};
use super::node_view::{FIELDS, view};
use super::resource;
use super::states::supported;
use super::version::Version;
use crate::conductor::{Conductor, Shared};
use crate::error::ApiError;
use crate::flow::deploy;
use crate::flow::task::Task;
use crate::node::{Node, Object, Spec};
use crate::state::ProvisionState as S;
use crate::store::listing::{Listing, Table};

/// `POST /v1/nodes`.
///
/// # Errors
/// 400 for what does not describe a node that there can be here, 409 for a name that is taken.
pub async fn create(State(conductor): State<Shared>, version: Version, Json(mut body): Json<Object>) -> Answer {
    refuse_newer(given(&body), version, FIELDS)?;
    let uuid = match body.shift_remove("uuid") {
        None | Some(Value::Null) => Uuid::new_v4(),
        Some(value) => {
            let parsed = value.as_str().and_then(|text| text.parse().ok());
            parsed.ok_or_else(|| ApiError::Invalid(format!("Expected UUID for uuid: {value}")))?
        }
    };
    if let Some(key) = ["protected", "protected_reason"].into_iter().find(|key| body.contains_key(*key)) {
        return Err(ApiError::Invalid(format!(
            "Schema error for node: Additional properties are not allowed ('{key}' was unexpected)"
        )));
    }
    if let Some(chassis) = body.get("chassis_uuid").filter(|value| !value.is_null()) {
        return Err(ApiError::Invalid(format!("Chassis {} could not be found.", chassis.as_str().unwrap_or_default())));
    }
    resolve_parent(&conductor, &mut body, None)?;
    let spec = Spec::read(Value::Object(body))?;
    if conductor.store.node(&uuid.to_string())?.is_some() {
        return Err(ApiError::Conflict(format!("A node with UUID {uuid} already exists.")));
    }
    let mut node = Node::new(uuid, spec);
    if version.0 < 11 {
        node.provision_state = S::Available;
    }
    check_driver(&conductor, &node)?;
    check_instance(&conductor, &node)?;
    conductor.enrol(&node)?;
    Ok(resource::created(&conductor, &format!("nodes/{uuid}"), view(&conductor, &node, version)))
}

/// The fields that say something.
fn given(body: &Object) -> impl Iterator<Item = &str> {
    body.iter().filter(|(_, value)| !value.is_null() && *value != "").map(|(key, _)| key.as_str())
}

/// `GET /v1/nodes/{node}`.
///
/// # Errors
/// 400 and 406 for fields that there are not, 404.
pub async fn show(
    State(conductor): State<Shared>,
    version: Version,
    Named { node, .. }: Named,
    mut arguments: Arguments,
) -> Answer {
    let wanted = Wanted::read(&mut arguments, version, FIELDS, None)?;
    arguments.end()?;
    Ok(axum::Json(wanted.of(view(&conductor, &node, version))).into_response())
}

/// `DELETE /v1/nodes/{node}`.
///
/// # Errors
/// 403 when it is protected, 409 when it has an instance, or in a state that does not allow it.
pub async fn delete(State(conductor): State<Shared>, Named { node, .. }: Named) -> Answer {
    let task = Task::take(&conductor, node.uuid)?;
    let node = &task.node;
    if let Some(instance) = node.spec.instance_uuid.filter(|_| !node.spec.maintenance) {
        return Err(ApiError::Conflict(format!("Node {} is associated with instance {instance}.", node.uuid)));
    }
    if node.spec.protected {
        return Err(ApiError::protected(node.uuid));
    }
    let mut allowed = vec![S::Manageable, S::Enroll, S::AdoptFailed];
    if conductor.config.allow_deleting_available_nodes {
        allowed.push(S::Available);
    }
    if !allowed.contains(&node.provision_state) && !node.spec.maintenance {
        let names: Vec<String> = allowed.iter().map(|state| format!("'{state}'")).collect();
        return Err(ApiError::Conflict(format!(
            "Can not delete node \"{}\" while it is in provision state \"{}\". Valid provision states to perform deletion \
             are: \"({})\", or set the node into maintenance mode",
            node.uuid,
            node.provision_state,
            names.join(", ")
        )));
    }
    conductor.store.delete_node(node.uuid)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET /v1/nodes/{node}/validate`.
///
/// # Errors
/// 404.
pub async fn validate(State(conductor): State<Shared>, Named { node, .. }: Named) -> Answer {
    Ok(axum::Json(verdicts(&conductor, &node)).into_response())
}

/// `GET /v1/nodes/validate?node=…`, as older clients ask.
///
/// # Errors
/// 400 without a node, 404.
pub async fn validate_by_query(State(conductor): State<Shared>, version: Version, mut arguments: Arguments) -> Answer {
    let ident = arguments.ident("node")?.or(arguments.uuid("node_uuid")?.map(|uuid| uuid.to_string()));
    arguments.end()?;
    let ident = ident.ok_or_else(|| ApiError::Invalid("Expected a logical name or UUID but received None.".into()))?;
    Ok(axum::Json(verdicts(&conductor, &find(&conductor, version, &ident)?)).into_response())
}

fn verdicts(conductor: &Conductor, node: &Node) -> Value {
    let verdict = |result: Result<(), String>| match result {
        Ok(()) => json!({"result": true}),
        Err(reason) => json!({"result": false, "reason": reason}),
    };
    let control =
        conductor.drivers.of(node).and_then(|driver| driver.validate(node)).map_err(|error| error.to_string());
    let deploy = deploy::validate(node, &conductor.allowed).map_err(|error| error.to_string());
    let mut body = Map::new();
    for name in ["boot", "management", "power"] {
        body.insert(name.into(), verdict(control.clone()));
    }
    body.insert("deploy".into(), verdict(control.clone().and(deploy)));
    for name in ["bios", "console", "firmware", "inspect", "network", "raid", "rescue", "storage"] {
        body.insert(name.into(), verdict(supported(node, name)));
    }
    Value::Object(body)
}

/// `GET /v1/nodes/{node}/inventory`.
///
/// # Errors
/// 404 before the first inspection.
pub async fn inventory(State(conductor): State<Shared>, version: Version, Named { node, .. }: Named) -> Answer {
    version.knows(81)?;
    let found = conductor.store.inventory(node.uuid)?;
    let missing = || ApiError::Missing { kind: "Node inventory record for node", ident: node.uuid.to_string() };
    Ok(axum::Json(found.ok_or_else(missing)?).into_response())
}

/// `GET /v1/nodes/{node}/children`.
///
/// # Errors
/// 404.
pub async fn children(State(conductor): State<Shared>, version: Version, Named { node, .. }: Named) -> Answer {
    version.knows(83)?;
    let listing = Listing::first(usize::MAX).equal("$.spec.parent_node", node.uuid.to_string());
    let children: Vec<Node> = conductor.store.list(Table::Nodes, &listing)?;
    let uuids: Vec<Uuid> = children.iter().map(|child| child.uuid).collect();
    let link = format!("{}/v1/nodes?parent_node={}", conductor.urls.public(), node.uuid);
    Ok(axum::Json(json!({"children": uuids, "links": {"href": link, "rel": "children"}})).into_response())
}
