//! What a client asked for: `PUT /v1/nodes/{node}/states/provision`.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::conductor::Shared;
use crate::error::ApiError;
use crate::flow::{self, FlowError, clean, configdrive, deploy, inspect, power, rescue, service};
use crate::node::Node;
use crate::state::{Event, PowerState, PowerTarget, ProvisionState};

/// The body of the request.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The verb.
    pub target: String,
    /// For deployments: base64 text, a URL, or an object to render.
    #[serde(default)]
    pub configdrive: Option<Value>,
    /// For manual cleaning.
    #[serde(default)]
    pub clean_steps: Option<Value>,
    /// For deployments.
    #[serde(default)]
    pub deploy_steps: Option<Value>,
    /// For servicing.
    #[serde(default)]
    pub service_steps: Option<Value>,
    /// For rescue.
    #[serde(default)]
    pub rescue_password: Option<String>,
    /// Accepted; the ramdisk is always booted.
    #[serde(default)]
    pub disable_ramdisk: Option<bool>,
    /// Accepted.
    #[serde(default)]
    pub runbook: Option<String>,
}

/// Starts what `request` asks for. When this returns, the node is already in the transitional state.
///
/// # Errors
/// 400 when the verb is not allowed in this state or its input is wrong, 409 when the node is locked.
pub fn begin(conductor: &Shared, mut node: Node, request: Request) -> Result<(), ApiError> {
    let event = Event::from_verb(&request.target).ok_or_else(|| {
        ApiError::Invalid(format!("The requested action \"{}\" could not be understood.", request.target))
    })?;
    let lock = conductor.lock(&node)?;
    // Read again: it may have changed before the lock was ours.
    node = conductor.find(&node.uuid.to_string())?;
    let from = node.provision_state;
    if from.after(event).is_none() {
        return Err(ApiError::Invalid(format!(
            "The requested action \"{}\" can not be performed on node \"{}\" while it is in state \"{from}\".",
            request.target, node.uuid
        )));
    }
    prepare(conductor, &mut node, event, request)?;
    conductor.step_to(&mut node, event)?;
    let conductor = Arc::clone(conductor);
    tokio::spawn(async move {
        let _lock = lock;
        if let Err(error) = run(&conductor, &mut node, event, from).await {
            flow::fail(&conductor, &mut node, &error.to_string()).await;
        }
    });
    Ok(())
}

/// Checks and keeps what came with the verb.
fn prepare(conductor: &Shared, node: &mut Node, event: Event, request: Request) -> Result<(), ApiError> {
    if matches!(event, Event::Abort) {
        return Ok(());
    }
    flow::steps::forget(node);
    node.last_error = None;
    let refused = |error: FlowError| ApiError::Invalid(error.to_string());
    conductor
        .driver(node)
        .and_then(|driver| driver.validate(node))
        .map_err(|error| ApiError::Invalid(error.to_string()))?;
    match event {
        Event::Deploy | Event::Rebuild => {
            deploy::validate(node).map_err(|error| {
                ApiError::Invalid(format!(
                    "Failed to validate deploy or power info for node {}. Error: {error}",
                    node.uuid
                ))
            })?;
            if let Some(drive) = request.configdrive {
                configdrive::check(&drive).map_err(refused)?;
                node.spec.instance_info.insert("configdrive".into(), drive);
            }
            keep_steps(node, "deploy", request.deploy_steps)?;
        }
        Event::Clean => {
            let steps = request.clean_steps.ok_or_else(|| {
                ApiError::Invalid("\"clean_steps\" is required when setting target provision state to clean".into())
            })?;
            keep_steps(node, "clean", Some(steps))?;
            node.target_provision_state = Some(ProvisionState::Manageable);
        }
        Event::Service => {
            let steps = request.service_steps.ok_or_else(|| {
                ApiError::Invalid("\"service_steps\" is required when setting target provision state to service".into())
            })?;
            keep_steps(node, "service", Some(steps))?;
        }
        Event::Rescue => {
            let password = request.rescue_password.filter(|password| !password.is_empty());
            let password = password.ok_or_else(|| {
                ApiError::Invalid(
                    "A non-empty \"rescue_password\" is required when setting target provision state to rescue".into(),
                )
            })?;
            rescue::keep_password(node, &password).map_err(refused)?;
        }
        Event::Delete if node.spec.protected => {
            return Err(ApiError::Forbidden(format!(
                "Node {} is protected and can not be undeployed, rebuilt or deleted.",
                node.uuid
            )));
        }
        _ => {}
    }
    Ok(())
}

fn keep_steps(node: &mut Node, word: &str, steps: Option<Value>) -> Result<(), ApiError> {
    let Some(steps) = steps else { return Ok(()) };
    let whole = |step: &Value| ["interface", "step"].iter().all(|key| step.get(key).is_some_and(Value::is_string));
    match steps.as_array() {
        Some(list) if list.iter().all(whole) => node.remember(&format!("user_{word}_steps"), steps),
        _ => {
            return Err(ApiError::Invalid(format!(
                "{word}_steps must be a list of objects with interface and step: {steps}"
            )));
        }
    }
    Ok(())
}

async fn run(conductor: &Shared, node: &mut Node, event: Event, from: ProvisionState) -> Result<(), FlowError> {
    match event {
        Event::Manage if node.provision_state == ProvisionState::Verifying => {
            let state = conductor.driver(node)?.power_state(node).await?;
            node.power_state = Some(state);
            conductor.step_to(node, Event::Done)?;
        }
        Event::Inspect => inspect::begin(conductor, node).await?,
        Event::Provide | Event::Clean => clean::begin(conductor, node).await?,
        Event::Deploy | Event::Rebuild => deploy::begin(conductor, node).await?,
        Event::Delete => deploy::undo(conductor, node).await?,
        Event::Rescue => rescue::begin(conductor, node).await?,
        Event::Unrescue => rescue::undo(conductor, node).await?,
        Event::Service => service::begin(conductor, node).await?,
        Event::Adopt => {
            node.power_state = Some(conductor.driver(node)?.power_state(node).await?);
            conductor.step_to(node, Event::Done)?;
        }
        Event::Abort => {
            power::tear_down(conductor, node).await?;
            flow::steps::forget(node);
            node.last_error = Some(format!("By request, the operation in state \"{from}\" was aborted."));
            conductor.save(node)?;
        }
        // Nothing but a change of state: `manage` from another stable state, `unhold`.
        _ => {}
    }
    Ok(())
}

/// Changes the power of a node: `PUT /v1/nodes/{node}/states/power`.
///
/// # Errors
/// 409 when the node is locked.
pub fn power(conductor: &Shared, node: &Node, target: PowerTarget) -> Result<(), ApiError> {
    let lock = conductor.lock(node)?;
    let mut node = conductor.find(&node.uuid.to_string())?;
    node.target_power_state = Some(match target {
        PowerTarget::Off | PowerTarget::SoftOff => PowerState::Off,
        _ => PowerState::On,
    });
    node.last_error = None;
    conductor.save(&mut node)?;
    let conductor = Arc::clone(conductor);
    tokio::spawn(async move {
        let _lock = lock;
        let steps: &[PowerState] = match target {
            PowerTarget::On => &[PowerState::On],
            PowerTarget::Off | PowerTarget::SoftOff => &[PowerState::Off],
            PowerTarget::Rebooting | PowerTarget::SoftRebooting => &[PowerState::Off, PowerState::On],
        };
        for to in steps {
            if let Err(error) = power::set(&conductor, &mut node, *to).await {
                node.last_error = Some(error.to_string());
                node.target_power_state = None;
                if let Err(error) = conductor.save(&mut node) {
                    tracing::error!(node = %node.label(), "writing a power failure: {error}");
                }
                return;
            }
        }
    });
    Ok(())
}
