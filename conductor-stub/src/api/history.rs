//! `/v1/nodes/{node}/history`: what happened to a node.

use axum::extract::Path;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::{Builder, Uuid, Variant, Version as UuidVersion};

use super::body::Answer;
use super::named::Question;
use super::node_view::HOST;
use super::paging::{Page, write_json};
use super::version::Version;
use crate::error::ApiError;
use crate::store::history::HistoryEntry;

/// Characters of an event in a list without details.
const SHORT: usize = 251;

/// An entry: its number and what it says.
type Entry = (i64, HistoryEntry);

/// The identity of an entry, made of the node's and its number.
fn identity(node: Uuid, number: i64) -> Uuid {
    let mut bytes = *node.as_bytes();
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    Builder::from_bytes(bytes).with_variant(Variant::RFC4122).with_version(UuidVersion::Custom).into_uuid()
}

fn view(url: &str, node: Uuid, (number, entry): &Entry, version: Version, whole: bool) -> Value {
    let uuid = identity(node, *number);
    let at = OffsetDateTime::from_unix_timestamp(entry.at as i64).ok().and_then(|at| at.format(&Rfc3339).ok());
    let is_long = !whole && entry.text.chars().count() > 255;
    let event = match is_long {
        true => format!("{}...", entry.text.chars().take(SHORT).collect::<String>()),
        false => entry.text.clone(),
    };
    let mut view = json!({
        "uuid": uuid,
        "created_at": at.map(|text| text.replace('Z', "+00:00")),
        "severity": if entry.kind == "error" { "ERROR" } else { "INFO" },
        "event": event,
        "links": [{"href": format!("{url}/v1/nodes/{node}/history/{uuid}"), "rel": "self"}],
    });
    if whole {
        view["event_type"] = entry.kind.as_str().into();
        view["conductor"] = HOST.into();
        view["user"] = Value::Null;
        if version.0 >= 113 {
            view["project"] = Value::Null;
        }
        if version.0 >= 115 {
            view["state"] = entry.state.as_str().into();
            view["target_provision_state"] = Value::Null;
            view["duration_seconds"] = entry.detail["seconds"].clone();
        }
    }
    view
}

/// `GET …/history`.
///
/// # Errors
/// 400, 404.
pub async fn list(Question { conductor, version, node, ident, mut arguments }: Question) -> Answer {
    version.knows(78)?;
    let whole = arguments.boolean("detail")?.unwrap_or_default();
    let page = Page::read(&mut arguments, version, &[])?;
    arguments.end()?;
    let mut entries = conductor.store.numbered_history(node.uuid)?;
    if let Some(marker) = page.marker {
        let at = entries.iter().position(|(number, _)| identity(node.uuid, *number) == marker);
        entries.drain(..=at.ok_or_else(|| missing(&marker.to_string()))?);
    }
    let url = conductor.urls.public();
    let list = format!("{url}/v1/nodes/{ident}/history");
    let write = |entry: &Entry, body: &mut Vec<u8>| write_json(&view(url, node.uuid, entry, version, whole), body);
    page.answer("history", &list, entries.into_iter().map(Ok), |(number, _)| identity(node.uuid, *number), write)
}

fn missing(event: &str) -> ApiError {
    ApiError::Missing { kind: "Node history record", ident: event.to_owned() }
}

/// `GET …/history/{event}`.
///
/// # Errors
/// 404.
pub async fn show(
    Question { conductor, version, node, .. }: Question,
    Path((_, event)): Path<(String, String)>,
) -> Answer {
    version.knows(78)?;
    let entries = conductor.store.numbered_history(node.uuid)?;
    let is_it = |(number, _): &&Entry| identity(node.uuid, *number).to_string() == event.to_lowercase();
    let entry = entries.iter().find(is_it).ok_or_else(|| missing(&event))?;
    Ok(axum::Json(view(conductor.urls.public(), node.uuid, entry, version, true)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_identities_of_their_own() {
        let node = Uuid::new_v4();
        let first = identity(node, 1);
        assert_eq!(first, identity(node, 1));
        assert_ne!(first, identity(node, 2));
        assert_ne!(first, identity(Uuid::new_v4(), 1));
        assert_eq!(first.to_string().parse::<Uuid>().unwrap(), first);
    }
}
