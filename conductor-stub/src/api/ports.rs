//! `/v1/ports`: network interfaces.

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::body::{Answer, Json};
use super::patch::{self, Operation};
use crate::clock;
use crate::conductor::Shared;
use crate::error::ApiError;
use crate::node::{Object, Port};

/// Filters of a list.
#[derive(Debug, Deserialize)]
pub struct ListQuery {
    address: Option<String>,
    node: Option<String>,
    node_uuid: Option<String>,
}

/// `GET /v1/ports` and `/v1/ports/detail`.
///
/// # Errors
/// 404 for an unknown node.
pub async fn list(State(conductor): State<Shared>, Query(query): Query<ListQuery>) -> Answer {
    let owner = query.node.or(query.node_uuid).map(|ident| conductor.find(&ident)).transpose()?.map(|node| node.uuid);
    let mut ports: Vec<Port> = match (&query.address, owner) {
        (Some(address), _) => conductor.store.port(address)?.into_iter().collect(),
        (None, Some(owner)) => conductor.store.ports_of(owner)?,
        (None, None) => conductor.store.ports()?,
    };
    ports.retain(|port| owner.is_none_or(|owner| owner == port.node_uuid));
    Ok(axum::Json(json!({ "ports": ports })).into_response())
}

/// `GET /v1/nodes/{node}/ports`.
///
/// # Errors
/// 404.
pub async fn of_node(State(conductor): State<Shared>, Path(ident): Path<String>) -> Answer {
    let node = conductor.find(&ident)?;
    Ok(axum::Json(json!({ "ports": conductor.store.ports_of(node.uuid)? })).into_response())
}

/// `POST /v1/ports`.
///
/// # Errors
/// 400 for a malformed address or unknown node, 409 for an address that is taken.
pub async fn create(State(conductor): State<Shared>, Json(mut body): Json<Object>) -> Answer {
    let uuid = Uuid::new_v4();
    body.insert("uuid".into(), json!(uuid));
    body.insert("created_at".into(), clock::now().into());
    body.retain(|_, value| !value.is_null());
    let port = Port::read(Value::Object(body))?;
    conductor.find(&port.node_uuid.to_string()).map_err(|error| ApiError::Invalid(error.to_string()))?;
    conductor.store.save_port(&port)?;
    let location = format!("{}/v1/ports/{uuid}", conductor.urls.public());
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], axum::Json(port)).into_response())
}

fn find(conductor: &Shared, ident: String) -> Result<Port, ApiError> {
    conductor.store.port(&ident)?.ok_or(ApiError::Missing { kind: "Port", ident })
}

/// `GET /v1/ports/{port}`.
///
/// # Errors
/// 404.
pub async fn show(State(conductor): State<Shared>, Path(ident): Path<String>) -> Answer {
    Ok(axum::Json(find(&conductor, ident)?).into_response())
}

/// `PATCH /v1/ports/{port}`.
///
/// # Errors
/// 400, 404.
pub async fn patch(
    State(conductor): State<Shared>,
    Path(ident): Path<String>,
    Json(operations): Json<Vec<Operation>>,
) -> Answer {
    let port = find(&conductor, ident)?;
    let mut document = json!(port);
    patch::apply(&mut document, &operations)?;
    let port = Port::read(document)?;
    conductor.store.save_port(&port)?;
    Ok(axum::Json(port).into_response())
}

/// `DELETE /v1/ports/{port}`.
///
/// # Errors
/// 404.
pub async fn delete(State(conductor): State<Shared>, Path(ident): Path<String>) -> Answer {
    let port = find(&conductor, ident)?;
    conductor.store.delete_port(port.uuid)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
