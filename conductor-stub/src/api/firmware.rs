//! `/v1/nodes/{node}/firmware`: the parts of a machine that have firmware (ironic/api/controllers/v1/firmware.py).

use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::body::Answer;
use super::fields::{Field, Wanted, field, hide_newer};
use super::named::Question;
use crate::node::Component;

/// The fields of a part; the version is that from which on they can be asked for.
const FIELDS: &[Field] = &[
    field("created_at", 86),
    field("updated_at", 86),
    field("component", 86),
    field("initial_version", 86),
    field("current_version", 86),
    field("last_version_flashed", 86),
    field("vendor", 114),
    field("model", 114),
    field("serial_number", 114),
];

/// Shown whatever is asked for.
const TIMES: [&str; 2] = ["created_at", "updated_at"];

/// `GET …/firmware`.
///
/// # Errors
/// 400, 404, 406.
pub async fn list(Question { conductor, version, node, mut arguments, .. }: Question) -> Answer {
    version.knows(86)?;
    let known: Vec<&str> = FIELDS.iter().filter(|field| field.since <= version.0).map(|field| field.name).collect();
    let wanted = Wanted::read(&mut arguments, version, FIELDS, Some(&known))?.and(&TIMES);
    arguments.end()?;
    let view = |component: &Component| {
        let Value::Object(mut view) = json!(component) else { return Value::Null };
        hide_newer(&mut view, version, FIELDS);
        wanted.of(view)
    };
    let components = conductor.store.components(node.uuid)?;
    Ok(axum::Json(json!({"firmware": components.iter().map(view).collect::<Vec<_>>()})).into_response())
}
