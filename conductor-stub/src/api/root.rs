//! The documents about versions, and the page.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::{Value, json};

use super::resource::links;
use super::version::{self, Version};
use crate::conductor::Shared;

fn version(conductor: &Shared) -> Value {
    json!({
        "id": "v1",
        "links": [{"href": format!("{}/v1/", conductor.urls.public()), "rel": "self"}],
        "status": "CURRENT",
        "min_version": format!("1.{}", version::MINIMUM),
        "version": format!("1.{}", version::MAXIMUM),
    })
}

/// `GET /`: the way to the page for browsers, the versions for everybody else.
pub async fn root(State(conductor): State<Shared>, headers: HeaderMap) -> Response {
    let wants_page = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|text| text.contains("text/html"));
    if wants_page {
        return Redirect::to("/page").into_response();
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

/// What there is below `/v1`, and the first minor version that has it.
const RESOURCES: [(&str, u32); 8] = [
    ("nodes", 1),
    ("ports", 1),
    ("drivers", 1),
    ("lookup", 22),
    ("heartbeat", 22),
    ("conductors", 49),
    ("allocations", 52),
    ("continue_inspection", 84),
];

/// `GET /v1`.
pub async fn v1(State(conductor): State<Shared>, asked: Version) -> Response {
    let url = conductor.urls.public();
    let mut body = json!({
        "id": "v1",
        "links": [{"href": format!("{url}/v1/"), "rel": "self"}],
        "media_types": [{"base": "application/json", "type": "application/vnd.openstack.ironic.v1+json"}],
        "version": version(&conductor),
    });
    for (name, _) in RESOURCES.into_iter().filter(|(_, since)| asked.0 >= *since) {
        body[name] = links(url, &format!("{name}/"));
    }
    axum::Json(body).into_response()
}
