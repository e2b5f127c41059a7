//! What a client asked for: `PUT /v1/nodes/{node}/states/…`.

use serde_json::Value;
use uuid::Uuid;

use crate::conductor::Shared;
use crate::error::ApiError;
use crate::flow::error::FlowError;
use crate::flow::task::Task;
use crate::flow::{configdrive, deploy, rescue, resume};
use crate::node::{BootStage, Family, Intent, Node, Plan, Step, Switching};
use crate::state::{Event, PowerState, PowerTarget, ProvisionState};

/// The body of the request.
#[derive(Debug, Default)]
pub struct Request {
    /// The verb.
    pub target: String,
    /// For deployments: base64 text, a URL, or an object to render.
    pub configdrive: Option<Value>,
    /// For manual cleaning.
    pub clean_steps: Option<Value>,
    /// For deployments.
    pub deploy_steps: Option<Value>,
    /// For servicing.
    pub service_steps: Option<Value>,
    /// For rescue.
    pub rescue_password: Option<String>,
    /// Accepted; the ramdisk is always booted.
    pub disable_ramdisk: Option<bool>,
}

/// Starts what `request` asks for. When this returns, the node is already in the transitional state.
///
/// # Errors
/// 400 when the verb is not allowed in this state or its input is wrong, 409 when the node is locked.
pub fn begin(conductor: &Shared, node: Uuid, request: Request) -> Result<(), ApiError> {
    let event = Event::from_verb(&request.target).ok_or_else(|| {
        ApiError::Invalid(format!("The requested action \"{}\" could not be understood.", request.target))
    })?;
    let mut task = Task::take(conductor, node)?;
    let from = task.node.provision_state;
    if from.after(event).is_none() {
        return Err(ApiError::Invalid(format!(
            "The requested action \"{}\" can not be performed on node \"{node}\" while it is in state \"{from}\".",
            request.target
        )));
    }
    allowed(&task.node, event)?;
    prepare(&mut task, event, request)?;
    task.enter(event).map_err(FlowError::from)?;
    if event == Event::Abort {
        let text = format!("By request, the operation in state \"{from}\" was aborted.");
        task.node.internal.intent = Some(Intent::Abort(text));
    }
    let needs_agent = matches!(task.node.provision_state, ProvisionState::Cleaning | ProvisionState::Deploying);
    if needs_agent && task.node.internal.agent_url.is_some() {
        // One that is up since another operation is no sign that this one has begun.
        task.node.internal.intent = Some(Intent::Boot(BootStage::Prepare));
    }
    task.save()?;
    tokio::spawn(resume::go_on(task));
    Ok(())
}

/// Whether the node's owner has not forbidden it.
fn allowed(node: &Node, event: Event) -> Result<(), ApiError> {
    let in_maintenance = match event {
        Event::Deploy | Event::Rebuild => "provisioning",
        Event::Clean => "cleaning",
        Event::Rescue => "rescuing",
        Event::Unrescue => "unrescuing",
        Event::Service => "service",
        _ => "",
    };
    if node.spec.maintenance && !in_maintenance.is_empty() {
        return Err(ApiError::Invalid(format!(
            "The {in_maintenance} operation can't be performed on node {} because it's in maintenance mode.",
            node.uuid
        )));
    }
    if node.spec.retired && event == Event::Provide {
        return Err(ApiError::Invalid(format!(
            "The providing operation can't be performed on node {} because it is retired.",
            node.uuid
        )));
    }
    if node.spec.protected && matches!(event, Event::Delete | Event::Rebuild) {
        return Err(ApiError::protected(node.uuid));
    }
    Ok(())
}

/// Checks and keeps what came with the verb.
fn prepare(task: &mut Task, event: Event, request: Request) -> Result<(), ApiError> {
    if matches!(event, Event::Abort) {
        return Ok(());
    }
    task.driver()
        .and_then(|driver| driver.validate(&task.node))
        .map_err(|error| ApiError::Invalid(error.to_string()))?;
    let node = &mut task.node;
    node.internal.plan = None;
    node.internal.boot_retried = false;
    node.last_error = None;
    let refused = |error: FlowError| ApiError::Invalid(error.to_string());
    match event {
        Event::Deploy | Event::Rebuild => {
            deploy::validate(node, &task.conductor.allowed).map_err(|error| {
                ApiError::Invalid(format!(
                    "Failed to validate deploy or power info for node {}. Error: {error}",
                    node.uuid
                ))
            })?;
            if let Some(drive) = request.configdrive {
                configdrive::check(&drive).map_err(refused)?;
                node.spec.instance_info.insert("configdrive".into(), drive);
            }
            keep_steps(node, Family::Deploy, request.deploy_steps)?;
        }
        Event::Clean => {
            let steps = request.clean_steps.ok_or_else(|| {
                ApiError::Invalid("\"clean_steps\" is required when setting target provision state to clean".into())
            })?;
            keep_steps(node, Family::Clean, Some(steps))?;
            node.target_provision_state = Some(ProvisionState::Manageable);
        }
        Event::Service => {
            let steps = request.service_steps.ok_or_else(|| {
                ApiError::Invalid("\"service_steps\" is required when setting target provision state to service".into())
            })?;
            keep_steps(node, Family::Service, Some(steps))?;
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
        Event::Inspect => task.conductor.store.forget_received(node.uuid)?,
        _ => {}
    }
    Ok(())
}

fn keep_steps(node: &mut Node, family: Family, steps: Option<Value>) -> Result<(), ApiError> {
    let Some(steps) = steps else { return Ok(()) };
    let asked: Vec<Step> = serde_json::from_value(steps.clone()).map_err(|_| {
        ApiError::Invalid(format!("{}_steps must be a list of objects with interface and step: {steps}", family.word()))
    })?;
    node.internal.plan = Some(Plan::new(family, Some(asked)));
    Ok(())
}

/// Changes the power of a node: `PUT /v1/nodes/{node}/states/power`.
///
/// # Errors
/// 409 when the node is locked.
pub fn power(conductor: &Shared, node: Uuid, target: PowerTarget, timeout: Option<u64>) -> Result<(), ApiError> {
    let mut task = Task::take(conductor, node)?;
    task.node.target_power_state = Some(match target {
        PowerTarget::Off | PowerTarget::SoftOff => PowerState::Off,
        _ => PowerState::On,
    });
    let soft = matches!(target, PowerTarget::SoftOff | PowerTarget::SoftRebooting)
        .then(|| timeout.unwrap_or(conductor.config.soft_power_off_timeout_seconds));
    let steps: &[PowerState] = match target {
        PowerTarget::On => &[PowerState::On],
        PowerTarget::Off | PowerTarget::SoftOff => &[PowerState::Off],
        PowerTarget::Rebooting | PowerTarget::SoftRebooting => &[PowerState::Off, PowerState::On],
    };
    task.node.last_error = None;
    task.intend(Intent::Power(Switching { left: steps.to_vec(), soft }))?;
    tokio::spawn(resume::go_on(task));
    Ok(())
}

/// Changes the boot mode or Secure Boot of a node in the background; a refusal becomes its `last_error`.
///
/// # Errors
/// 409 when the node is locked.
pub fn firmware(conductor: &Shared, node: Uuid, intent: Intent) -> Result<(), ApiError> {
    let mut task = Task::take(conductor, node)?;
    task.node.last_error = None;
    task.intend(intent)?;
    tokio::spawn(resume::go_on(task));
    Ok(())
}
