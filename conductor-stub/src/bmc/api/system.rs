//! Machines and their managers: power, boot override, firmware settings.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{only, parse, property};
use crate::bmc::documents::{self, ROOT, Refusal, error, wrong};
use crate::bmc::state::Bmc;
use crate::bmc::system::{Power, System, Target};

pub(super) async fn manager(State(bmc): State<Bmc>, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    bmc.system(&id)?;
    Ok(Json(documents::manager::manager(&id, &bmc.0.uuid, &bmc.firmware())))
}

/// The clock can be set, to what it shows already: it is this host's.
pub(super) async fn change_manager(
    State(bmc): State<Bmc>,
    path: Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    only(&body, &["DateTime", "DateTimeLocalOffset"])?;
    manager(State(bmc), path).await
}

pub(super) async fn network_protocol(State(bmc): State<Bmc>, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    bmc.system(&id)?;
    let (tls, port) = bmc.served();
    Ok(Json(documents::manager::network_protocol(&id, tls, port)))
}

pub(super) async fn change(
    State(bmc): State<Bmc>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let wish = only(&body, &["Boot", "AssetTag"])?;
    let system = bmc.system(&id)?;
    let mut system = system.lock().await;
    if let Some(boot) = wish.get("Boot") {
        change_boot(&mut system, boot)?;
    }
    if let Some(tag) = wish.get("AssetTag") {
        let change = json!({"AssetTag": tag}).as_object().cloned().unwrap_or_default();
        system.settings.change(&change).map_err(|name| wrong(&name, "no such text"))?;
        system.settings.set_now("AssetTag", tag.clone());
    }
    bmc.0.events.tell("ResourceChanged", "The system was changed", &format!("{ROOT}/Systems/{id}"));
    Ok(Json(documents::system::system(&mut system)))
}

fn change_boot(system: &mut System, wish: &Value) -> Result<(), Refusal> {
    let wish = wish.as_object().ok_or_else(|| wrong("Boot", "must be an object"))?;
    let (mut boot, mut legacy) = (system.boot.clone(), system.settings.is_legacy());
    for (key, value) in wish {
        match key.as_str() {
            "BootSourceOverrideEnabled" => boot.enabled = property(key, value)?,
            "BootSourceOverrideTarget" => boot.target = property(key, value)?,
            "HttpBootUri" => boot.http_boot_uri = property(key, value)?,
            "BootSourceOverrideMode" => {
                legacy = match value.as_str() {
                    Some("UEFI") => false,
                    Some("Legacy") if system.knows_legacy() => true,
                    _ if system.knows_legacy() => return Err(wrong(key, "only UEFI and Legacy")),
                    _ => return Err(wrong(key, "only UEFI")),
                }
            }
            _ => return Err(error(StatusCode::BAD_REQUEST, "PropertyUnknown", format!("Boot has no {key} to write"))),
        }
    }
    if legacy && boot.target == Target::UefiHttp {
        return Err(wrong("BootSourceOverrideTarget", "UefiHttp needs the mode UEFI"));
    }
    if boot.http_boot_uri.as_ref().is_some_and(|uri| uri.chars().any(|c| c.is_control() || c.is_whitespace())) {
        return Err(wrong("HttpBootUri", "must be a URL"));
    }
    system.settings.set_now("BootMode", if legacy { "Legacy" } else { "Uefi" }.into());
    system.boot = boot;
    Ok(())
}

#[derive(Deserialize)]
struct ResetRequest {
    #[serde(rename = "ResetType")]
    reset_type: String,
}

pub(super) async fn reset(State(bmc): State<Bmc>, Path(id): Path<String>, body: Bytes) -> Result<StatusCode, Refusal> {
    let request: ResetRequest = parse(&body)?;
    let shared = bmc.system(&id)?;
    let mut system = shared.lock().await;
    let power = system.power();
    let failed = |reason: std::io::Error| {
        error(StatusCode::INTERNAL_SERVER_ERROR, "GeneralError", format!("The machine did not obey: {reason}"))
    };
    let (way, end) = match (request.reset_type.as_str(), power) {
        (_, Power::PoweringOn | Power::PoweringOff) => {
            return Err(error(StatusCode::CONFLICT, "ResourceInUse", "A power change is under way"));
        }
        ("On", Power::On) | ("ForceOff" | "GracefulShutdown", Power::Off) => return Ok(StatusCode::NO_CONTENT),
        ("GracefulShutdown", Power::On) => {
            system.shut_down().map_err(failed)?;
            return Ok(StatusCode::NO_CONTENT);
        }
        ("Nmi", _) => {
            system.interrupt().map_err(failed)?;
            return Ok(StatusCode::NO_CONTENT);
        }
        ("On" | "ForceRestart" | "GracefulRestart", _) => (Power::PoweringOn, Power::On),
        ("ForceOff", _) => (Power::PoweringOff, Power::Off),
        (other, _) => {
            let text = format!("ResetType {other} is not supported");
            return Err(error(StatusCode::BAD_REQUEST, "ActionParameterNotSupported", text));
        }
    };
    let delay = Duration::from_millis(system.definition.transition_ms);
    if delay.is_zero() {
        arrive(&bmc, &mut system, end).map_err(failed)?;
    } else {
        system.set_transition(Some(way));
        let shared = shared.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let mut system = shared.lock().await;
            system.set_transition(None);
            if let Err(error) = arrive(&bmc, &mut system, end) {
                tracing::error!(machine = %system.definition.name, %error, "power change failed");
            }
        });
    }
    Ok(StatusCode::NO_CONTENT)
}

fn arrive(bmc: &Bmc, system: &mut System, power: Power) -> std::io::Result<()> {
    system.switch_off();
    let arrived = if power == Power::On { system.switch_on() } else { Ok(()) };
    let text = format!("The machine is {}", if power == Power::On { "on" } else { "off" });
    bmc.0.events.tell("ResourceStatusChangedOK", &text, &format!("{ROOT}/Systems/{}", system.definition.uuid));
    if let Some(task) = system.waiting.take_if(|_| power == Power::On) {
        bmc.0.tasks.close(task, StatusCode::NO_CONTENT.into_response(), "The settings are in force");
    }
    arrived
}

/// Keeps changes for the next start; a task waits for that.
pub(super) async fn change_bios(
    State(bmc): State<Bmc>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let wish = only(&body, &["Attributes"])?;
    let attributes = wish.get("Attributes").and_then(Value::as_object);
    let attributes = attributes.ok_or_else(|| wrong("Attributes", "must be an object"))?;
    let system = bmc.system(&id)?;
    let mut system = system.lock().await;
    system
        .settings
        .change(attributes)
        .map_err(|name| wrong(&format!("Attributes/{name}"), "no such attribute or value"))?;
    wait_for_start(&bmc, &mut system);
    Ok(Json(documents::system::bios_settings(&system)).into_response())
}

fn wait_for_start(bmc: &Bmc, system: &mut System) {
    let open = || bmc.0.tasks.open("Firmware settings", "Pending");
    system.waiting.get_or_insert_with(open);
}

pub(super) async fn reset_bios(State(bmc): State<Bmc>, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    let system = bmc.system(&id)?;
    let mut system = system.lock().await;
    system.settings.reset();
    wait_for_start(&bmc, &mut system);
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn change_secure_boot(
    State(bmc): State<Bmc>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let wish = only(&body, &["SecureBootEnable"])?;
    let enable: bool = property("SecureBootEnable", &wish["SecureBootEnable"])?;
    let system = bmc.system(&id)?;
    let mut system = system.lock().await;
    if enable && system.settings.is_legacy() {
        return Err(wrong("SecureBootEnable", "needs the mode UEFI"));
    }
    system.secure_boot = enable;
    Ok(Json(documents::system::secure_boot(&system)))
}

#[derive(Deserialize)]
struct ResetKeysRequest {
    #[serde(rename = "ResetKeysType")]
    reset_keys_type: String,
}

/// The factory's keys: the variables of Secure Boot are made anew at its next start.
pub(super) async fn reset_keys(
    State(bmc): State<Bmc>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let request: ResetKeysRequest = parse(&body)?;
    if request.reset_keys_type != "ResetAllKeysToDefault" {
        return Err(wrong("ResetKeysType", "only ResetAllKeysToDefault"));
    }
    let system = bmc.system(&id)?;
    let mut system = system.lock().await;
    system.forget_keys().map_err(|failure| {
        error(StatusCode::INTERNAL_SERVER_ERROR, "GeneralError", format!("The keys stay: {failure}"))
    })?;
    Ok(StatusCode::NO_CONTENT)
}
