//! `/v1/nodes/{node}/management`: what the machine boots, and the interrupt.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::json;

use super::arguments::WithBody;
use super::body::Answer;
use super::named::Named;
use super::version::Version;
use crate::conductor::{Conductor, Shared};
use crate::driver::DriverError;
use crate::error::ApiError;
use crate::flow::management;
use crate::flow::task::Task;
use crate::node::Node;
use crate::state::BootDevice;

const DEVICES: [BootDevice; 5] =
    [BootDevice::Pxe, BootDevice::Disk, BootDevice::Cdrom, BootDevice::Bios, BootDevice::UefiHttp];

fn refused(error: impl std::fmt::Display) -> ApiError {
    ApiError::Invalid(error.to_string())
}

/// `GET …/boot_device`.
///
/// # Errors
/// 400 when the machine cannot be asked, 404.
pub async fn boot_device(State(conductor): State<Shared>, Named { node, .. }: Named) -> Answer {
    let found = ask(&conductor, &node).await.map_err(|error| refused(node.without_secrets(&error.0)))?;
    let (device, persistent) = found.unzip();
    Ok(axum::Json(json!({"boot_device": device, "persistent": persistent})).into_response())
}

async fn ask(conductor: &Conductor, node: &Node) -> Result<Option<(BootDevice, bool)>, DriverError> {
    let mut machine = conductor.drivers.of(node)?.connect(node)?;
    let found = match management::of(machine.as_mut(), node, "get_boot_device") {
        Ok(management) => management.boot_device(node).await,
        Err(error) => Err(error),
    };
    machine.close().await;
    found
}

/// `GET …/boot_device/supported`.
///
/// # Errors
/// 400 when its driver chooses none, 404.
pub async fn boot_devices(State(conductor): State<Shared>, Named { node, .. }: Named) -> Answer {
    let mut machine = conductor.drivers.of(&node).and_then(|driver| driver.connect(&node)).map_err(refused)?;
    management::of(machine.as_mut(), &node, "get_supported_boot_devices").map_err(refused)?;
    Ok(axum::Json(json!({"supported_boot_devices": DEVICES})).into_response())
}

/// `PUT …/boot_device`.
///
/// # Errors
/// 400 for a device that there is not, or a machine that refuses; 404, 409.
pub async fn set_boot_device(
    State(conductor): State<Shared>,
    Named { node, .. }: Named,
    WithBody(mut arguments): WithBody,
) -> Answer {
    let name = arguments.needed("boot_device")?;
    let persistent = arguments.boolean("persistent")?.unwrap_or_default();
    arguments.end()?;
    let mut task = Task::take(&conductor, node.uuid)?;
    let (machine, _) = task.machine().map_err(refused)?;
    management::of(machine, &node, "set_boot_device").map_err(refused)?;
    let device = name.parse().map_err(|_| refused(format!("Invalid boot device {name} specified.")))?;
    let done = management::set_boot_device(&mut task, device, persistent).await;
    task.end().await;
    done.map_err(|error| refused(node.without_secrets(&error.to_string())))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `PUT …/inject_nmi`.
///
/// # Errors
/// 400 when the machine cannot be interrupted, 404, 409.
pub async fn inject_nmi(
    State(conductor): State<Shared>,
    version: Version,
    Named { node, .. }: Named,
    WithBody(_): WithBody,
) -> Answer {
    version.knows(29)?;
    let mut task = Task::take(&conductor, node.uuid)?;
    let (machine, _) = task.machine().map_err(refused)?;
    let done = match management::of(machine, &node, "inject_nmi") {
        Ok(management) => management.interrupt(&node).await,
        Err(error) => Err(error),
    };
    task.end().await;
    done.map_err(|error| refused(node.without_secrets(&error.0)))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
