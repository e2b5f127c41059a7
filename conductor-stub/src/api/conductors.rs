//! `/v1/conductors`: this one.

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::body::Answer;
use super::fields::{Field, Wanted, field};
use super::node_view::HOST;
use super::resource::links;
use super::version::Version;
use crate::clock;
use crate::conductor::{Conductor, Shared};
use crate::error::ApiError;
use crate::node::Object;

const FIELDS: &[Field] = &[
    field("created_at", 49),
    field("updated_at", 49),
    field("hostname", 49),
    field("conductor_group", 49),
    field("drivers", 49),
    field("alive", 49),
];

const SHORT: &[&str] = &["hostname", "conductor_group", "alive"];

fn view(conductor: &Conductor) -> Object {
    let names: Vec<&str> = conductor.drivers.names().collect();
    let view = json!({
        "created_at": conductor.started_at,
        "updated_at": clock::now(),
        "hostname": HOST,
        "conductor_group": "",
        "drivers": names,
        "links": links(conductor.urls.public(), &format!("conductors/{HOST}")),
        "alive": true,
    });
    let Value::Object(view) = view else { return Object::new() };
    view
}

/// `GET /v1/conductors`.
///
/// # Errors
/// 400, 404 for clients of early versions.
pub async fn list(State(conductor): State<Shared>, version: Version, mut arguments: Arguments) -> Answer {
    version.knows(49)?;
    let wanted = Wanted::read(&mut arguments, version, FIELDS, Some(SHORT))?;
    let behind = arguments.text("marker")?;
    for name in ["limit", "sort_key", "sort_dir"] {
        arguments.any(name);
    }
    arguments.end()?;
    if let Some(other) = behind.as_ref().filter(|host| *host != HOST) {
        return Err(ApiError::Missing { kind: "Conductor", ident: other.clone() });
    }
    let shown: Vec<Value> = behind.is_none().then(|| wanted.of(view(&conductor))).into_iter().collect();
    Ok(axum::Json(json!({ "conductors": shown })).into_response())
}

/// `GET /v1/conductors/{host}`.
///
/// # Errors
/// 404.
pub async fn show(
    State(conductor): State<Shared>,
    version: Version,
    Path(host): Path<String>,
    mut arguments: Arguments,
) -> Answer {
    version.knows(49)?;
    if host != HOST {
        return Err(ApiError::Missing { kind: "Conductor", ident: host });
    }
    let wanted = Wanted::read(&mut arguments, version, FIELDS, None)?;
    arguments.end()?;
    Ok(axum::Json(wanted.of(view(&conductor))).into_response())
}
