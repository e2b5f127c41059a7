//! `/v1/nodes/{node}/states`: verbs, power, RAID.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::json;

use super::body::{Answer, Json};
use super::version::Version;
use crate::conductor::Shared;
use crate::error::ApiError;
use crate::flow::task::Task;
use crate::flow::verb;
use crate::node::{Node, Object};

/// `GET …/states`.
///
/// # Errors
/// 404.
pub async fn show(State(conductor): State<Shared>, Path(ident): Path<String>) -> Answer {
    let node = conductor.find(&ident)?;
    Ok(axum::Json(json!({
        "power_state": node.power_state,
        "target_power_state": node.target_power_state,
        "provision_state": node.provision_state,
        "target_provision_state": node.target_provision_state,
        "provision_updated_at": node.provision_updated_at,
        "last_error": node.last_error,
        "console_enabled": false,
        "raid_config": node.raid_config,
        "target_raid_config": node.target_raid_config,
        "boot_mode": null,
        "secure_boot": null,
    }))
    .into_response())
}

/// `PUT …/states/provision`.
///
/// # Errors
/// 400, 404, 409.
pub async fn provision(
    State(conductor): State<Shared>,
    Path(ident): Path<String>,
    version: Version,
    Json(request): Json<verb::Request>,
) -> Answer {
    let node = conductor.find(&ident)?;
    for (given, needs, what) in [
        (request.deploy_steps.is_some(), 69, "deploy_steps"),
        (request.configdrive.as_ref().is_some_and(|drive| drive.is_object()), 56, "a configdrive object"),
        (request.rescue_password.is_some(), 38, "rescue_password"),
        (request.target == "service", 87, "service"),
    ] {
        if given && version.0 < needs {
            return Err(ApiError::NotAcceptable(format!(
                "{what} needs API version 1.{needs} or later, this request is 1.{}.",
                version.0
            )));
        }
    }
    verb::begin(&conductor, node.uuid, request)?;
    Ok(accepted(&conductor, &node))
}

fn accepted(conductor: &Shared, node: &Node) -> axum::response::Response {
    let location = format!("{}/v1/nodes/{}/states", conductor.urls.public(), node.uuid);
    (StatusCode::ACCEPTED, [(header::LOCATION, location)]).into_response()
}

/// Body of a power request.
#[derive(Debug, Deserialize)]
pub struct Power {
    target: String,
}

/// `PUT …/states/power`.
///
/// # Errors
/// 400 for an unknown target, 404, 409.
pub async fn power(State(conductor): State<Shared>, Path(ident): Path<String>, Json(request): Json<Power>) -> Answer {
    let node = conductor.find(&ident)?;
    let target = request
        .target
        .parse()
        .map_err(|_| ApiError::Invalid(format!("Unsupported power state: {}", request.target)))?;
    verb::power(&conductor, node.uuid, target)?;
    Ok(accepted(&conductor, &node))
}

/// `PUT …/states/raid`: the RAID that the next cleaning is to build.
///
/// # Errors
/// 404, 409.
pub async fn raid(State(conductor): State<Shared>, Path(ident): Path<String>, Json(wanted): Json<Object>) -> Answer {
    let mut task = Task::take(&conductor, conductor.find(&ident)?.uuid)?;
    task.node.target_raid_config = wanted;
    task.save()?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
