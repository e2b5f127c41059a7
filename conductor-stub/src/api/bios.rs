//! `/v1/nodes/{node}/bios`: the settings of a machine's firmware (ironic/api/controllers/v1/bios.py).

use axum::extract::Path;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::body::Answer;
use super::fields::{Field, Wanted, field};
use super::named::Question;
use super::resource::links;
use crate::conductor::Conductor;
use crate::error::ApiError;
use crate::node::{Object, Setting};
use crate::store::settings::Settings;

/// The fields of a setting; the version is that from which on they can be asked for.
const FIELDS: &[Field] = &[
    field("created_at", 40),
    field("updated_at", 40),
    field("name", 40),
    field("value", 40),
    field("attribute_type", 74),
    field("allowable_values", 74),
    field("lower_bound", 74),
    field("max_length", 74),
    field("min_length", 74),
    field("read_only", 74),
    field("reset_required", 74),
    field("unique", 74),
    field("upper_bound", 74),
];

const SHORT: &[&str] = &["created_at", "updated_at", "name", "value"];

fn view(conductor: &Conductor, ident: &str, settings: &Settings, setting: &Setting) -> Object {
    let Value::Object(mut view) = json!(setting) else { return Object::new() };
    view.insert("created_at".into(), json!(settings.created_at));
    view.insert("updated_at".into(), json!(settings.updated_at));
    let path = format!("nodes/{ident}/bios/{}", setting.name);
    view.insert("links".into(), links(conductor.urls.public(), &path));
    view
}

/// `GET …/bios`.
///
/// # Errors
/// 400, 404, 406.
pub async fn list(Question { conductor, version, node, ident, mut arguments }: Question) -> Answer {
    version.knows(40)?;
    let wanted = match version.0 {
        ..74 => Wanted::of_names(SHORT),
        _ => Wanted::read(&mut arguments, version, FIELDS, Some(SHORT))?,
    };
    arguments.end()?;
    let settings = conductor.store.settings(node.uuid)?;
    let shown = |settings: &Settings| -> Vec<Value> {
        settings.list.iter().map(|setting| wanted.of(view(&conductor, &ident, settings, setting))).collect()
    };
    Ok(axum::Json(json!({"bios": settings.as_ref().map(shown).unwrap_or_default()})).into_response())
}

/// `GET …/bios/{setting}`.
///
/// # Errors
/// 404.
pub async fn show(
    Question { conductor, version, node, arguments, .. }: Question,
    Path((_, name)): Path<(String, String)>,
) -> Answer {
    version.knows(40)?;
    arguments.end()?;
    let missing = || ApiError::NoSuch(format!("Node {} doesn't have a BIOS setting '{name}'", node.uuid));
    let settings = conductor.store.settings(node.uuid)?.ok_or_else(missing)?;
    let setting = settings.list.iter().find(|setting| setting.name == name).ok_or_else(missing)?;
    let wanted = if version.0 < 74 { Wanted::of_names(SHORT) } else { Wanted::All };
    let shown = wanted.of(view(&conductor, &node.uuid.to_string(), &settings, setting));
    Ok(axum::Json(json!({ name: shown })).into_response())
}
