//! `/v1/nodes/{node}/states`: verbs, power, RAID.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::arguments::{Arguments, WithBody};
use super::body::{Answer, Json};
use super::fields::hide_newer;
use super::named::Named;
use super::node_view::{FIELDS, older_state};
use super::version::Version;
use crate::conductor::{Conductor, Shared};
use crate::error::ApiError;
use crate::flow::task::Task;
use crate::flow::verb;
use crate::node::{Intent, Node, Object};
use crate::state::{PowerTarget, ProvisionState as S};

/// `GET …/states`.
///
/// # Errors
/// 404.
pub async fn show(version: Version, Named { node, .. }: Named) -> Answer {
    let states = json!({
        "power_state": node.power_state,
        "target_power_state": node.target_power_state,
        "provision_state": node.provision_state,
        "target_provision_state": node.target_provision_state,
        "provision_updated_at": node.provision_updated_at,
        "last_error": node.last_error,
        "console_enabled": false,
        "raid_config": node.raid_config,
        "target_raid_config": node.target_raid_config,
        "boot_mode": node.boot_mode,
        "secure_boot": node.secure_boot,
    });
    let Value::Object(mut states) = states else { return Err(ApiError::NotFound) };
    hide_newer(&mut states, version, FIELDS);
    older_state(&mut states, node.provision_state, version);
    Ok(axum::Json(states).into_response())
}

/// Verbs, and the first minor version that has them.
const VERBS: [(&str, u32); 12] = [
    ("manage", 4),
    ("provide", 4),
    ("inspect", 6),
    ("abort", 13),
    ("clean", 15),
    ("adopt", 17),
    ("rescue", 38),
    ("unrescue", 38),
    ("deploy", 73),
    ("undeploy", 73),
    ("unhold", 85),
    ("service", 87),
];

/// `PUT …/states/provision`.
///
/// # Errors
/// 400, 404, 406, 409.
pub async fn provision(
    State(conductor): State<Shared>,
    version: Version,
    Named { node, ident }: Named,
    WithBody(arguments): WithBody,
) -> Answer {
    let request = request(arguments, version)?;
    let since = match (request.target.as_str(), node.provision_state) {
        ("abort", S::InspectWait) => 41,
        ("abort", S::WaitCallBack) => 110,
        _ => 1,
    };
    if version.0 < since {
        return Err(ApiError::not_acceptable());
    }
    if let kind @ ("inspect" | "rescue") = request.target.as_str() {
        supported(&node, kind).map_err(ApiError::Invalid)?;
    }
    verb::begin(&conductor, node.uuid, request)?;
    Ok(accepted(&conductor, &ident))
}

/// What a verb comes with, where it may.
fn request(mut arguments: Arguments, version: Version) -> Result<verb::Request, ApiError> {
    let request = verb::Request {
        target: arguments.needed("target")?,
        configdrive: arguments.any("configdrive"),
        clean_steps: arguments.list("clean_steps")?,
        deploy_steps: arguments.list("deploy_steps")?,
        rescue_password: arguments.text("rescue_password")?,
        disable_ramdisk: arguments.boolean("disable_ramdisk")?,
        service_steps: arguments.list("service_steps")?,
    };
    let runbook = arguments.text("runbook")?;
    arguments.end()?;
    let target = request.target.as_str();
    if VERBS.iter().any(|(verb, since)| *verb == target && version.0 < *since) {
        return Err(ApiError::not_acceptable());
    }
    if runbook.is_some() {
        return Err(ApiError::Absent("runbooks"));
    }
    let drive = request.configdrive.as_ref().filter(|drive| **drive != "" && **drive != json!({}));
    if let Some(drive) = drive {
        let allowed: &[&str] = if version.0 >= 35 { &["active", "deploy", "rebuild"] } else { &["active"] };
        if !allowed.contains(&target) {
            let allowed = if version.0 >= 35 { "active, rebuild" } else { "active" };
            let text = format!("Adding a config drive is only supported when setting provision state to {allowed}");
            return Err(ApiError::Invalid(text));
        }
        let newer =
            [("JSON object for", 56, drive.is_object()), ("vendor_data in", 59, drive.get("vendor_data").is_some())];
        if let Some((what, since, _)) = newer.into_iter().find(|(_, since, given)| *given && version.0 < *since) {
            let text = format!("Providing {what} configdrive is only supported starting with API version 1.{since}");
            return Err(ApiError::Invalid(text));
        }
    }
    if request.disable_ramdisk.is_some() {
        let since = match target {
            "clean" => 70,
            "service" => 108,
            _ => {
                let text = "disable_ramdisk is supported only with manual cleaning or service";
                return Err(ApiError::Invalid(text.into()));
            }
        };
        if version.0 < since {
            return Err(ApiError::NotAcceptable("disable_ramdisk is not acceptable in this API version".into()));
        }
    }
    let belongs = |name: &str, given: bool, verbs: &[&str], words: &str| match given && !verbs.contains(&target) {
        true => {
            let text = format!("\"{name}\" is only valid when setting target provision state to {words}");
            Err(ApiError::Invalid(text))
        }
        false => Ok(()),
    };
    let some = |steps: &Option<Value>| steps.as_ref().and_then(Value::as_array).is_some_and(|steps| !steps.is_empty());
    belongs("clean_steps", some(&request.clean_steps), &["clean"], "clean")?;
    if some(&request.deploy_steps) {
        version.needs(69)?;
    }
    belongs("deploy_steps", some(&request.deploy_steps), &["active", "deploy", "rebuild"], "active or rebuild")?;
    belongs("rescue_password", request.rescue_password.is_some(), &["rescue"], "rescue")?;
    belongs("service_steps", some(&request.service_steps), &["service"], "service")?;
    Ok(request)
}

/// 202, and where to look what becomes of it.
pub fn accepted(conductor: &Conductor, ident: &str) -> Response {
    let location = format!("{}/v1/nodes/{ident}/states", conductor.urls.public());
    (StatusCode::ACCEPTED, [(header::LOCATION, location)]).into_response()
}

/// `PUT …/states/power`.
///
/// # Errors
/// 400 for an unknown target or a node that is being cleaned, 404, 406, 409.
pub async fn power(
    State(conductor): State<Shared>,
    version: Version,
    Named { node, ident }: Named,
    WithBody(mut arguments): WithBody,
) -> Answer {
    let (target, timeout) = (arguments.needed("target")?, arguments.integer("timeout")?);
    arguments.end()?;
    if (target.starts_with("soft ") || timeout.is_some_and(|seconds| seconds != 0)) && version.0 < 27 {
        return Err(ApiError::not_acceptable());
    }
    if timeout.is_some_and(|seconds| seconds < 1) {
        return Err(ApiError::Invalid("timeout has to be positive integer".into()));
    }
    let refused = |state: &str| {
        ApiError::Invalid(format!(
            "The requested action \"{target}\" can not be performed on node \"{ident}\" while it is in state \"{state}\"."
        ))
    };
    let Ok(wanted) = target.parse::<PowerTarget>() else {
        return Err(refused(node.power_state.map_or("None", |state| state.as_str())));
    };
    if matches!(node.provision_state, S::Cleaning | S::CleanWait) {
        return Err(refused(node.provision_state.as_str()));
    }
    if node.spec.disable_power_off && matches!(wanted, PowerTarget::Off | PowerTarget::SoftOff) {
        return Err(ApiError::Conflict(format!("Failed to set node power state to {target}.")));
    }
    verb::power(&conductor, node.uuid, wanted, timeout.and_then(|seconds| u64::try_from(seconds).ok()))?;
    Ok(accepted(&conductor, &ident))
}

/// Why what a machine boots is not changed now.
fn in_transition(node: &Node) -> Result<(), ApiError> {
    let state = node.provision_state;
    match state.is_unstable() {
        true => Err(ApiError::Conflict(format!(
            "Node is in {state} state. Since node is transitioning, the boot mode will not be set as this may interfere with \
             ongoing changes and result in erroneous modification. Try again later."
        ))),
        false => Ok(()),
    }
}

fn since_76(version: Version) -> Result<(), ApiError> {
    let text = "This endpoint is supported starting with the API version 1.76";
    if version.0 < 76 { Err(ApiError::NoSuch(text.into())) } else { Ok(()) }
}

/// `PUT …/states/boot_mode`.
///
/// # Errors
/// 400 for what is no mode, 404, 409.
pub async fn boot_mode(
    State(conductor): State<Shared>,
    version: Version,
    Named { node, ident }: Named,
    WithBody(mut arguments): WithBody,
) -> Answer {
    since_76(version)?;
    let target = arguments.needed("target")?;
    arguments.end()?;
    let mode = target.parse().map_err(|_| {
        ApiError::Invalid(format!("Invalid boot mode {target} requested for node. Allowed boot modes are: bios, uefi"))
    })?;
    in_transition(&node)?;
    verb::firmware(&conductor, node.uuid, Intent::BootMode(mode))?;
    Ok(accepted(&conductor, &ident))
}

/// `PUT …/states/secure_boot`.
///
/// # Errors
/// 400 for what is no boolean, 404, 409.
pub async fn secure_boot(
    State(conductor): State<Shared>,
    version: Version,
    Named { node, ident }: Named,
    WithBody(mut arguments): WithBody,
) -> Answer {
    since_76(version)?;
    let missing = || ApiError::Invalid("Missing mandatory parameter: target".into());
    let on = arguments.boolean("target")?.ok_or_else(missing)?;
    arguments.end()?;
    in_transition(&node)?;
    verb::firmware(&conductor, node.uuid, Intent::SecureBoot(on))?;
    Ok(accepted(&conductor, &ident))
}

/// `PUT …/states/raid`: the RAID that the next cleaning is to build.
///
/// # Errors
/// 404, also when the node's RAID interface builds none; 406, 409.
pub async fn raid(
    State(conductor): State<Shared>,
    version: Version,
    Named { node, .. }: Named,
    Json(wanted): Json<Object>,
) -> Answer {
    if version.0 < 12 {
        return Err(ApiError::not_acceptable());
    }
    supported(&node, "raid").map_err(ApiError::NoSuch)?;
    let mut task = Task::take(&conductor, node.uuid)?;
    task.node.target_raid_config = wanted;
    task.save()?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Whether the node's interface of this kind does anything.
///
/// # Errors
/// Ironic's words for it.
pub fn supported(node: &Node, kind: &str) -> Result<(), String> {
    match node.interface(kind).starts_with("no-") {
        true => Err(format!("Driver {} does not support {kind} (disabled or not implemented).", node.spec.driver)),
        false => Ok(()),
    }
}
