//! active → rescuing → rescue wait → rescue, and back.

use serde_json::{Value, json};
use sha_crypt::{PasswordHasher, ShaCrypt};

use crate::crash;
use crate::flow::error::FlowError;
use crate::flow::task::Task;
use crate::flow::{instance, power};
use crate::node::Node;
use crate::state::{Event, ProvisionState};

const KEY: &str = "hashed_rescue_password";

/// Keeps the hash of the password for the agent; the password itself is not kept.
///
/// # Errors
/// When there is no randomness for a salt.
pub fn keep_password(node: &mut Node, password: &str) -> Result<(), FlowError> {
    let hash = ShaCrypt::SHA256.hash_password(password.as_bytes());
    let hash = hash.map_err(|error| FlowError::Refused(format!("hashing the rescue password: {error}")))?;
    node.spec.instance_info.insert(KEY.into(), hash.to_string().into());
    Ok(())
}

/// Boots the agent.
///
/// # Errors
/// When the machine cannot be booted.
pub async fn begin(task: &mut Task) -> Result<(), FlowError> {
    power::boot_ramdisk(task, &power::api_parameters(&task.conductor)).await?;
    task.step_to(Event::Wait)
}

/// The agent is there: gives it the password.
///
/// # Errors
/// When the agent does not take it at once.
pub async fn finalize(task: &mut Task) -> Result<(), FlowError> {
    if task.node.provision_state == ProvisionState::RescueWait {
        task.step_to(Event::Resume)?;
    }
    if let Some(hash) = task.node.spec.instance_info.get(KEY).and_then(Value::as_str) {
        let params = json!({"rescue_password": hash, "hashed": true});
        // The answer to this very request must be the end: the agent is gone afterwards.
        crash::point();
        task.agent()?.command("rescue.finalize_rescue", params, false).await?.succeeded()?;
        crash::point();
    }
    finish(task).await
}

/// The agent has the password.
///
/// # Errors
/// When the machine refuses.
pub async fn finish(task: &mut Task) -> Result<(), FlowError> {
    task.node.spec.instance_info.shift_remove(KEY);
    task.node.internal.forget_agent();
    task.save()?;
    power::boot_disk(task).await?;
    task.step_to(Event::Done)
}

/// Whether the agent may have the password, or has it.
pub fn is_among_agents(node: &Node) -> bool {
    node.internal.agent_url.is_some() || !node.spec.instance_info.contains_key(KEY)
}

/// Back to the instance.
///
/// # Errors
/// When the machine cannot be switched.
pub async fn undo(task: &mut Task) -> Result<(), FlowError> {
    task.node.spec.instance_info.shift_remove(KEY);
    instance::boot(task).await?;
    task.step_to(Event::Done)
}
