//! The version documents, drivers and conductors.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Value, json};

use super::body::Answer;
use super::version;
use crate::conductor::Shared;
use crate::error::ApiError;

const PAGE: &str = include_str!("page.html");

/// The page asks nobody but us, and nobody puts it into theirs.
const PAGE_HEADERS: [(header::HeaderName, &str); 3] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

fn version(conductor: &Shared) -> Value {
    json!({
        "id": "v1",
        "links": [{"href": format!("{}/v1/", conductor.urls.public()), "rel": "self"}],
        "status": "CURRENT",
        "min_version": format!("1.{}", version::MINIMUM),
        "version": format!("1.{}", version::MAXIMUM),
    })
}

/// `GET /`: the page for browsers, the versions for everybody else.
pub async fn root(State(conductor): State<Shared>, headers: HeaderMap) -> Response {
    let wants_page = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|text| text.contains("text/html"));
    if wants_page {
        return (PAGE_HEADERS, Html(PAGE)).into_response();
    }
    let version = version(&conductor);
    axum::Json(json!({
        "name": "OpenStack Ironic API",
        "description": "Ironic is an OpenStack project which enables the provision and management of baremetal machines.",
        "default_version": version,
        "versions": [version],
    }))
    .into_response()
}

/// `GET /v1`.
pub async fn v1(State(conductor): State<Shared>) -> Response {
    let url = conductor.urls.public();
    let link = |name: &str| json!([{"href": format!("{url}/v1/{name}/"), "rel": "self"}, {"href": format!("{url}/{name}/"), "rel": "bookmark"}]);
    axum::Json(json!({
        "id": "v1",
        "links": [{"href": format!("{url}/v1/"), "rel": "self"}],
        "media_types": [{"base": "application/json", "type": "application/vnd.openstack.ironic.v1+json"}],
        "version": version(&conductor),
        "nodes": link("nodes"),
        "ports": link("ports"),
        "drivers": link("drivers"),
        "lookup": link("lookup"),
        "heartbeat": link("heartbeat"),
        "continue_inspection": link("continue_inspection"),
    }))
    .into_response()
}

/// `GET /v1/drivers`.
pub async fn drivers(State(conductor): State<Shared>) -> Response {
    let drivers: Vec<Value> = conductor.drivers.names().map(description).collect();
    axum::Json(json!({ "drivers": drivers })).into_response()
}

/// `GET /v1/drivers/{name}`.
///
/// # Errors
/// 404.
pub async fn driver(State(conductor): State<Shared>, Path(name): Path<String>) -> Answer {
    let found = conductor.drivers.names().find(|known| *known == name);
    let found = found.ok_or(ApiError::Missing { kind: "Driver", ident: name })?;
    Ok(axum::Json(description(found)).into_response())
}

fn description(name: &str) -> Value {
    json!({"name": name, "hosts": ["conductor-stub"], "type": "dynamic", "links": []})
}

/// `GET /v1/conductors`.
pub async fn conductors() -> Response {
    axum::Json(
        json!({"conductors": [{"hostname": "conductor-stub", "conductor_group": "", "alive": true, "links": []}]}),
    )
    .into_response()
}
