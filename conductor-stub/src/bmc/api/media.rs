//! Virtual media.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::parse;
use crate::bmc::documents::{Refusal, error, missing, system};
use crate::bmc::media;
use crate::bmc::state::Bmc;
use crate::bmc::system::Medium;

pub(super) async fn read(
    State(bmc): State<Bmc>,
    Path((id, drive)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let machine = bmc.system(&id)?;
    let machine = machine.lock().await;
    let number = machine.drive(&drive).ok_or_else(|| missing("drive", &drive))?;
    Ok(Json(system::virtual_drive(&machine, &machine.drives[number])))
}

#[derive(Deserialize)]
struct InsertRequest {
    #[serde(rename = "Image")]
    image: String,
    #[serde(rename = "Inserted")]
    inserted: Option<bool>,
}

fn origin(id: &str, drive: &str) -> String {
    format!("{}/Systems/{id}/VirtualMedia/{drive}", super::ROOT)
}

pub(super) async fn insert(
    State(bmc): State<Bmc>,
    Path((id, drive)): Path<(String, String)>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let request: InsertRequest = parse(&body)?;
    let machine = bmc.system(&id)?;
    let mut machine = machine.lock().await;
    let number = machine.drive(&drive).ok_or_else(|| missing("drive", &drive))?;
    if machine.drives[number].medium.is_some() {
        let text = "Another medium is inserted: eject it first";
        return Err(error(StatusCode::BAD_REQUEST, "ResourceInUse", text));
    }
    let failed = |text: String| error(StatusCode::BAD_REQUEST, "GeneralError", text);
    if request.inserted == Some(false) {
        return Err(failed("A medium that is not inserted is of no use here".into()));
    }
    let url = url::Url::parse(&request.image).map_err(|reason| failed(format!("Image: {reason}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(failed("Image: only http and https".into()));
    }
    let file = machine.media_file(number);
    if let Some(file) = &file {
        media::download(&bmc.0.client, &request.image, file).await.map_err(|error| failed(error.to_string()))?;
    }
    let medium = Medium { url: request.image, file };
    machine.change_medium(number, Some(medium)).map_err(|error| failed(error.to_string()))?;
    bmc.0.events.tell("ResourceChanged", "A medium was inserted", &origin(&id, &drive));
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn eject(
    State(bmc): State<Bmc>,
    Path((id, drive)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let machine = bmc.system(&id)?;
    let mut machine = machine.lock().await;
    let number = machine.drive(&drive).ok_or_else(|| missing("drive", &drive))?;
    machine.change_medium(number, None).map_err(|failure| {
        error(StatusCode::INTERNAL_SERVER_ERROR, "GeneralError", format!("The drive did not open: {failure}"))
    })?;
    bmc.0.events.tell("ResourceChanged", "The medium was ejected", &origin(&id, &drive));
    Ok(StatusCode::NO_CONTENT)
}
