//! active → rescuing → rescue wait → rescue, and back.

use serde_json::{Value, json};
use sha_crypt::{PasswordHasher, ShaCrypt};

use crate::flow::error::FlowError;
use crate::flow::task::Task;
use crate::flow::{deploy, power};
use crate::node::Node;
use crate::state::Event;

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
    task.step_to(Event::Resume)?;
    let hash = task.node.spec.instance_info.get(KEY).and_then(Value::as_str).unwrap_or_default();
    let params = json!({"rescue_password": hash, "hashed": true});
    // The answer to this very request must be the end: the agent is gone afterwards.
    task.agent()?.command("rescue.finalize_rescue", params, false).await?.succeeded()?;
    task.node.spec.instance_info.shift_remove(KEY);
    power::boot_disk(task).await?;
    task.step_to(Event::Done)
}

/// Back to the instance.
///
/// # Errors
/// When the machine cannot be switched.
pub async fn undo(task: &mut Task) -> Result<(), FlowError> {
    task.node.spec.instance_info.shift_remove(KEY);
    deploy::boot_instance(task).await?;
    task.step_to(Event::Done)
}
