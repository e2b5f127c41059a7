//! What all resources have: fields by version, links, an answer when they are made.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use super::fields::{Field, hide_newer};
use super::version::Version;
use crate::conductor::Conductor;
use crate::node::Object;

/// The record of the resource at `path` (`ports/…`) as a client of `version` sees it.
pub fn view(conductor: &Conductor, record: &impl Serialize, version: Version, known: &[Field], path: &str) -> Object {
    let Value::Object(mut view) = json!(record) else { return Object::new() };
    hide_newer(&mut view, version, known);
    view.insert("links".into(), links(conductor.urls.public(), path));
    view
}

/// The ways to a resource: with the version of the API in front, and without.
pub fn links(url: &str, path: &str) -> Value {
    json!([{"href": format!("{url}/v1/{path}"), "rel": "self"}, {"href": format!("{url}/{path}"), "rel": "bookmark"}])
}

/// 201, and where the resource is.
pub fn created(conductor: &Conductor, path: &str, view: Object) -> Response {
    let location = format!("{}/v1/{path}", conductor.urls.public());
    (StatusCode::CREATED, [(header::LOCATION, location)], axum::Json(view)).into_response()
}
