//! Firmware: what there is, and updates, which take their time.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::parse;
use crate::bmc::documents::{ROOT, Refusal, missing, service, wrong};
use crate::bmc::state::Bmc;
use crate::bmc::{media, task};

/// Of an image, in which its version is looked for.
const IMAGE_HEAD: usize = 64 << 10;

/// `BMC`, and the firmware of each machine.
fn ids(bmc: &Bmc) -> Vec<String> {
    std::iter::once("BMC".to_owned()).chain(bmc.0.systems.keys().map(|id| format!("BIOS-{id}"))).collect()
}

pub(super) async fn inventory(State(bmc): State<Bmc>) -> Json<Value> {
    Json(service::firmware_inventory(ids(&bmc).into_iter()))
}

pub(super) async fn read(State(bmc): State<Bmc>, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    if id == "BMC" {
        let of = bmc.0.systems.keys().next().map(|id| format!("{ROOT}/Managers/{id}")).unwrap_or_default();
        return Ok(Json(service::firmware(&id, "Firmware of the BMC", &bmc.firmware(), &of)));
    }
    let machine = id.strip_prefix("BIOS-").ok_or_else(|| missing("firmware", &id))?;
    let system = bmc.system(machine)?;
    let system = system.lock().await;
    let of = format!("{ROOT}/Systems/{machine}");
    Ok(Json(service::firmware(&id, "Firmware of the machine", &system.firmware.0, &of)))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    #[serde(rename = "ImageURI")]
    image_uri: String,
    #[serde(default)]
    targets: Vec<String>,
}

pub(super) async fn update(State(bmc): State<Bmc>, body: Bytes) -> Result<Response, Refusal> {
    let request: Request = parse(&body)?;
    let url = url::Url::parse(&request.image_uri).map_err(|reason| wrong("ImageURI", reason))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("ImageURI", "only http and https"));
    }
    let machine =
        |target: &String| bmc.0.systems.keys().find(|id| target.contains(*id) && !target.contains("Managers"));
    let machine = request.targets.iter().find_map(machine).cloned();
    let of_bmc = |target: &String| target.contains("Managers") || target.ends_with("/BMC");
    if machine.is_none() && !request.targets.iter().all(of_bmc) {
        return Err(wrong("Targets", "no such firmware"));
    }
    let id = bmc.0.tasks.open("Firmware update", "Running");
    tokio::spawn(work(bmc, id, request.image_uri, machine));
    Ok(task::announce(id))
}

/// Fetches the image and takes as long as an update does; a machine's firmware comes into force at its next start.
async fn work(bmc: Bmc, id: u64, url: String, machine: Option<String>) {
    let head = match media::head(&bmc.0.client, &url, IMAGE_HEAD).await {
        Ok(head) if !head.is_empty() => head,
        Ok(_) => return bmc.0.tasks.close(id, task::failure("The image is empty"), "The image is empty"),
        Err(failure) => return bmc.0.tasks.close(id, task::failure(&failure.to_string()), &failure.to_string()),
    };
    let system = machine.as_deref().and_then(|id| bmc.0.systems.get(id)).cloned();
    let first = bmc.0.systems.values().next().cloned();
    if let Some(system) = system.as_ref().or(first.as_ref()) {
        let ms = system.lock().await.definition.update_ms;
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
    let version = version(&head);
    match system {
        Some(system) => system.lock().await.firmware.1 = Some(version),
        None => *bmc.firmware() = version,
    }
    bmc.0.events.tell("ResourceChanged", "Firmware was updated", &format!("{ROOT}/UpdateService"));
    bmc.0.tasks.close(id, StatusCode::NO_CONTENT.into_response(), "The image was taken");
}

/// What an image's first line says it is (`version: 2.1.0`), else a name for its content.
fn version(head: &[u8]) -> String {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let named = std::str::from_utf8(line).ok().and_then(|line| line.strip_prefix("version:")).map(str::trim);
    let plain = |text: &&str| text.len() <= 32 && !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
    named.filter(plain).map_or_else(|| hex::encode(&Sha256::digest(head)[..4]), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_say_their_version() {
        assert_eq!(version(b"version: 2.1.0\nrest"), "2.1.0");
        assert_eq!(version(b"version: a\x1b[2J\n").len(), 8);
        assert_eq!(version(b"\x7fELF").len(), 8);
    }
}
