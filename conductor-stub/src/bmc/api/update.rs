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
    let named = |target: &String| bmc.0.systems.keys().find(|id| target.contains(*id) && !target.contains("Managers"));
    let machine = request.targets.iter().find_map(named).cloned();
    let of_bmc = |target: &String| target.contains("Managers") || target.ends_with("/BMC");
    if machine.is_none() && !request.targets.iter().all(of_bmc) {
        return Err(wrong("Targets", "no such firmware"));
    }
    let id = bmc.0.tasks.open("Firmware update", "Running");
    tokio::spawn(async move {
        let (outcome, text) = match work(&bmc, &request.image_uri, machine).await {
            Ok(()) => (StatusCode::NO_CONTENT.into_response(), "The image was taken".to_owned()),
            Err(reason) => (task::failure(&reason), reason),
        };
        bmc.0.tasks.close(id, outcome, &text);
    });
    Ok(task::announce(id))
}

/// Fetches the image and takes as long as an update does; a machine's firmware comes into force at its next start. What the
/// image is for it says itself; where it does not, it is for what was named, else for the BMC.
async fn work(bmc: &Bmc, url: &str, named: Option<String>) -> Result<(), String> {
    let head = media::head(&bmc.0.client, url, IMAGE_HEAD).await.map_err(|failure| failure.to_string())?;
    if head.is_empty() {
        return Err("The image is empty".into());
    }
    let image = Image::read(&head);
    let mut machines = bmc.0.systems.values();
    let only = machines.next().filter(|_| machines.next().is_none());
    let system = match (image.component.as_deref(), named) {
        (Some("bios"), None) => Some(only.ok_or("Targets is needed: there are several machines")?),
        (Some("bios") | None, Some(id)) => bmc.0.systems.get(&id),
        (Some("bmc"), _) | (None, None) => None,
        (Some(other), _) => return Err(format!("The image is for {other}, which there is not")),
    };
    if let Some(system) = system.or(bmc.0.systems.values().next()) {
        let ms = system.lock().await.definition.update_ms;
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
    match system {
        Some(system) => system.lock().await.firmware.1 = Some(image.version),
        None => *bmc.firmware() = image.version,
    }
    bmc.0.events.tell("ResourceChanged", "Firmware was updated", &format!("{ROOT}/UpdateService"));
    Ok(())
}

/// What an image says in its first lines.
#[derive(Debug, PartialEq, Eq)]
struct Image {
    /// `version: 2.1.0`, else a name for its content.
    version: String,
    /// `component: bios`.
    component: Option<String>,
}

impl Image {
    fn read(head: &[u8]) -> Self {
        let mut lines = head.split(|byte| *byte == b'\n').map_while(|line| std::str::from_utf8(line).ok()).take(2);
        let mut said = |key: &str| {
            let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)?;
            let is_plain = value.len() <= 32 && !value.is_empty() && value.chars().all(|c| c.is_ascii_graphic());
            is_plain.then(|| value.to_owned())
        };
        let version = said("version");
        let component = said("component");
        Self { version: version.unwrap_or_else(|| hex::encode(&Sha256::digest(head)[..4])), component }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_say_what_they_are() {
        let image = |version: &str, component: Option<&str>| Image {
            version: version.into(),
            component: component.map(str::to_owned),
        };
        assert_eq!(Image::read(b"version: 2.1.0\nrest"), image("2.1.0", None));
        assert_eq!(Image::read(b"version: 2.1.0\ncomponent: bios\n\xff"), image("2.1.0", Some("bios")));
        assert_eq!(Image::read(b"version: a\x1b[2J\n").version.len(), 8);
        assert_eq!(Image::read(b"\x7fELF\xff").version.len(), 8);
    }
}
