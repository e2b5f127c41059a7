//! `/v1/nodes/{node}/vmedia`: media of a machine that runs its instance (ironic/api/controllers/v1/node.py).

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Answer, Json, OptionalJson};
use super::version::Version;
use crate::boot_url::BootUrl;
use crate::conductor::Shared;
use crate::error::ApiError;
use crate::flow::task::Task;
use crate::flow::virtual_media;

fn needs(version: Version, minimum: u32) -> Result<(), ApiError> {
    if version.0 < minimum { Err(ApiError::NotFound) } else { Ok(()) }
}

/// `GET …/vmedia`: the drives and what is in them.
///
/// # Errors
/// 404; 400 when the machine has none or its BMC refuses.
pub async fn list(State(conductor): State<Shared>, version: Version, Path(ident): Path<String>) -> Answer {
    needs(version, 93)?;
    let node = conductor.find(&ident)?;
    let drives = virtual_media::drives(&conductor, &node).await;
    let drives = drives.map_err(|error| ApiError::Invalid(error.to_string()))?;
    let list: Vec<Value> = drives
        .into_iter()
        .map(|drive| {
            json!({"media_types": drive.media_types, "inserted": drive.image.is_some(), "image": drive.image.unwrap_or_default()})
        })
        .collect();
    Ok(axum::Json(list).into_response())
}

/// What is to be attached.
#[derive(Debug, Deserialize)]
pub struct Medium {
    device_type: String,
    image_url: String,
}

/// `POST …/vmedia`: the BMC gets the URL as it is; whether it takes it shows in `last_error`.
///
/// # Errors
/// 400 for anything but a CD, 404, 409.
pub async fn attach(
    State(conductor): State<Shared>,
    version: Version,
    Path(ident): Path<String>,
    Json(medium): Json<Medium>,
) -> Answer {
    needs(version, 89)?;
    if medium.device_type != "cdrom" {
        return Err(ApiError::Invalid(format!("device type {} is not supported, only cdrom", medium.device_type)));
    }
    let shared = ["nfs://", "cifs://"].into_iter().find(|scheme| medium.image_url.starts_with(scheme));
    let as_http = shared.map(|scheme| medium.image_url.replacen(scheme, "http://", 1));
    as_http
        .as_ref()
        .unwrap_or(&medium.image_url)
        .parse::<BootUrl>()
        .map_err(|error| ApiError::Invalid(error.to_string()))?;
    change(&conductor, &ident, Some(medium.image_url))
}

/// Which drives are to be emptied.
#[derive(Debug, Default, Deserialize)]
pub struct Detached {
    device_types: Option<String>,
}

/// `DELETE …/vmedia`, with the types in the query or, as openstacksdk sends them, in the body; none means all.
///
/// # Errors
/// 400 for anything but a CD, 404, 409.
pub async fn detach(
    State(conductor): State<Shared>,
    version: Version,
    Path(ident): Path<String>,
    Query(query): Query<Detached>,
    OptionalJson(body): OptionalJson<Detached>,
) -> Answer {
    needs(version, 89)?;
    let types = query.device_types.or(body.unwrap_or_default().device_types);
    if let Some(other) = types.iter().flat_map(|types| types.split(',')).find(|kind| *kind != "cdrom") {
        return Err(ApiError::Invalid(format!("device type {other} is not supported, only cdrom")));
    }
    change(&conductor, &ident, None)
}

fn change(conductor: &Shared, ident: &str, url: Option<String>) -> Answer {
    virtual_media::begin(Task::take(conductor, conductor.find(ident)?.uuid)?, url)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
