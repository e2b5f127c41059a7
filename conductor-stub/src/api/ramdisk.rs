//! What agents call: look-up, heartbeat, inspection data (ironic/api/controllers/v1/ramdisk.py).

use std::collections::BTreeSet;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::body::{Answer, Json};
use super::version::Version;
use crate::conductor::{Conductor, Shared};
use crate::error::ApiError;
use crate::flow::task::Task;
use crate::flow::{self, fast_track, inspection_data};
use crate::mask::MASK;
use crate::node::{MacAddress, Node, Object};
use crate::{clock, token};

/// Query of a look-up.
#[derive(Debug, Deserialize)]
pub struct LookupQuery {
    addresses: Option<String>,
    node_uuid: Option<String>,
}

/// `GET /v1/lookup`.
///
/// # Errors
/// 400 without a usable address or UUID; 404 for no node, several nodes or a state without agent; 409 when locked.
pub async fn lookup(State(conductor): State<Shared>, version: Version, Query(query): Query<LookupQuery>) -> Answer {
    needs(version, 22)?;
    let addresses: BTreeSet<MacAddress> =
        query.addresses.iter().flat_map(|text| text.split(',')).filter_map(|mac| mac.trim().parse().ok()).collect();
    let uuid = query.node_uuid.as_deref().and_then(|text| text.parse::<Uuid>().ok());
    if addresses.is_empty() && uuid.is_none() {
        return Err(ApiError::Invalid("At least one of 'addresses' and 'node_uuid' parameters is required".into()));
    }
    let node = match uuid {
        Some(uuid) => conductor.store.node(&uuid.to_string())?,
        None => {
            let owners = conductor.store.owners(&addresses)?;
            match owners.iter().collect::<Vec<_>>()[..] {
                [uuid] => conductor.store.node(&uuid.to_string())?,
                _ => None,
            }
        }
    };
    let node = node.filter(|node| allows_lookup(&conductor, node)).ok_or(ApiError::NotFound)?;
    // An agent from before tokens gets none; its heartbeats are refused anyway.
    if version.0 < 62 {
        return Ok(axum::Json(document(&conductor, &node, None)).into_response());
    }
    if node.internal.agent_secret_token.is_some() {
        // It was shown, or came with the ramdisk: who asks again has nothing to do with it.
        note_look_up(&conductor, &node);
        return Ok(axum::Json(document(&conductor, &node, Some(MASK))).into_response());
    }
    let mut task = Task::take(&conductor, node.uuid)?;
    if !allows_lookup(&conductor, &task.node) {
        return Err(ApiError::NotFound);
    }
    let shown = token::hand_out(&mut task.node);
    task.node.internal.agent_looked_up = Some(clock::now());
    task.note("lookup", LOOKED_UP, &Value::Null);
    task.save()?;
    Ok(axum::Json(document(&conductor, &task.node, Some(&shown))).into_response())
}

/// Who is waited for, and who stays up for the next flow.
fn allows_lookup(conductor: &Conductor, node: &Node) -> bool {
    node.provision_state.allows_lookup() || fast_track::is_resting(conductor, node)
}

/// What history says of a look-up.
const LOOKED_UP: &str = "the agent looked itself up";

/// Writes down the first look-up after a boot, when nobody is in the way.
fn note_look_up(conductor: &Shared, node: &Node) {
    if node.internal.agent_looked_up.is_some() {
        return;
    }
    let Ok(mut task) = Task::take(conductor, node.uuid) else { return };
    task.node.internal.agent_looked_up = Some(clock::now());
    task.note("lookup", LOOKED_UP, &Value::Null);
    if let Err(error) = task.save() {
        tracing::warn!("writing a look-up: {error}");
    }
}

fn needs(version: Version, minimum: u32) -> Result<(), ApiError> {
    if version.0 < minimum { Err(ApiError::NotFound) } else { Ok(()) }
}

/// What an agent is told about its node and about how to behave.
fn document(conductor: &Conductor, node: &Node, shown_token: Option<&str>) -> Value {
    let view = node.view(None);
    let redfish = matches!(node.spec.management_interface.as_deref(), Some("redfish" | "idrac-redfish"))
        || node.spec.driver == "redfish";
    let mut config = json!({
        "metrics": {"backend": "noop", "prepend_host": false, "prepend_uuid": false, "prepend_host_reverse": true, "global_prefix": null},
        "metrics_statsd": {"statsd_host": "localhost", "statsd_port": 8125},
        "heartbeat_timeout": conductor.config.heartbeat_timeout_seconds,
        "agent_containers": {
            "allow_arbitrary_containers": false, "allowed_containers": [],
            "container_steps_file": "/etc/ironic-python-agent.d/mysteps.yaml",
            "runner": "podman", "pull_options": [], "run_options": ["--rm", "--network=host"],
        },
        "agent_token_required": true,
        "agent_md5_checksum_enable": true,
        "disable_deep_image_inspection": false,
        "permitted_image_formats": ["raw", "gpt", "qcow2", "iso"],
        "agent_skip_bmc_detect": redfish,
        "enable_bios_bootloader_install": false,
        "tls_min_version": "1.3",
        "tls_cipher_suites": null,
    });
    if let Some(token) = shown_token {
        config["agent_token"] = token.into();
    }
    let mut told = Object::new();
    for key in ["uuid", "properties", "instance_info", "driver_internal_info"] {
        told.insert(key.into(), view.get(key).cloned().unwrap_or_default());
    }
    told.insert(
        "links".into(),
        json!([{"href": format!("{}/v1/nodes/{}", conductor.urls.public(), node.uuid), "rel": "self"}]),
    );
    json!({"node": told, "config": config})
}

/// `POST /v1/heartbeat/{node}`.
///
/// # Errors
/// Ironic's, in Ironic's order.
pub async fn heartbeat(
    State(conductor): State<Shared>,
    version: Version,
    Path(ident): Path<String>,
    Json(body): Json<Object>,
) -> Answer {
    needs(version, 22)?;
    for (key, minimum) in [
        ("callback_url", 22),
        ("agent_version", 36),
        ("agent_token", 62),
        ("agent_verify_ca", 68),
        ("agent_status", 72),
        ("agent_status_message", 72),
    ] {
        if body.contains_key(key) && version.0 < minimum {
            return Err(ApiError::Invalid(format!("Field \"{key}\" not recognised in this version")));
        }
    }
    let known =
        ["callback_url", "agent_version", "agent_token", "agent_verify_ca", "agent_status", "agent_status_message"];
    if let Some(key) = body.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(ApiError::Invalid(format!("Unexpected arguments: {key}")));
    }
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    let node = conductor.find(&ident).map_err(|_| ApiError::NotFound)?;
    let url = text("callback_url").filter(|url| url.starts_with("http"));
    let url =
        url.ok_or_else(|| ApiError::Invalid("An issue with the supplied \"callback_url\" has been detected.".into()))?;
    if node.internal.agent_url.as_deref().is_some_and(|known| known != url) {
        return Err(ApiError::Invalid("Detected change in ramdisk provided \"callback_url\"".into()));
    }
    let offered = text("agent_token")
        .ok_or_else(|| ApiError::Invalid("Agent token is required for heartbeat processing.".into()))?;
    let agent_version = text("agent_version");
    if agent_version.is_none() && text("agent_status").is_none() {
        return Err(ApiError::Invalid(
            "Agent did not transmit a version, and a version is required. Please update the agent being used.".into(),
        ));
    }
    if !token::matches(&node, offered) {
        return Err(ApiError::Invalid("Invalid or missing agent token received.".into()));
    }
    if conductor.config.require_tls && !url.starts_with("https://") {
        return Err(ApiError::Invalid("TLS is required by configuration".into()));
    }
    let certificate = text("agent_verify_ca").map(str::trim);
    if let (Some(known), Some(sent)) = (&node.internal.agent_verify_ca, certificate)
        && known.trim() != sent
    {
        return Err(ApiError::Invalid("Detected change in ramdisk provided \"agent_verify_ca\"".into()));
    }
    match conductor.locks.take(node.uuid) {
        Some(lock) => {
            let mut task = Task::with(&conductor, lock)?;
            // A power change may have made the token void while we looked.
            if !token::matches(&task.node, offered) {
                return Err(ApiError::Invalid("Invalid or missing agent token received.".into()));
            }
            let known = &mut task.node.internal;
            known.boot_retried = false;
            known.agent_url = Some(url.to_owned());
            known.agent_last_heartbeat = Some(clock::now());
            known.agent_version = agent_version.map(str::to_owned).or(known.agent_version.take());
            known.agent_verify_ca = certificate.map(str::to_owned).or(known.agent_verify_ca.take());
            if task.node.provision_state.awaits_heartbeat() {
                task.node.touch();
            }
            task.save()?;
            flow::heartbeat::follow(task);
        }
        None if node.internal.agent_url.is_none() => return Err(ApiError::Locked(node.uuid.to_string())),
        None => flow::heartbeat::begin(&conductor, node.uuid),
    }
    conductor.metrics.heartbeat();
    Ok(StatusCode::ACCEPTED.into_response())
}

/// Query of inspection data.
#[derive(Debug, Deserialize)]
pub struct InspectionQuery {
    node_uuid: Option<Uuid>,
}

/// `POST /v1/continue_inspection`.
///
/// # Errors
/// 400 for data without inventory, 404 when no node waits for it.
pub async fn continue_inspection(
    State(conductor): State<Shared>,
    version: Version,
    Query(query): Query<InspectionQuery>,
    Json(data): Json<Object>,
) -> Answer {
    let node = inspection_data::receive(&conductor, query.node_uuid, data)?;
    // The old form is what inspector answered; the machine is switched off afterwards, so there is no token to hand out.
    let body = if version.0 >= 84 { document(&conductor, &node, None) } else { json!({"uuid": node.uuid}) };
    Ok((StatusCode::ACCEPTED, axum::Json(body)).into_response())
}
