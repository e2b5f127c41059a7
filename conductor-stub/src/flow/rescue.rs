//! active → rescuing → rescue wait → rescue, and back.

use serde_json::{Value, json};
use sha_crypt::{Sha256Params, sha256_simple};

use crate::conductor::Conductor;
use crate::flow::{FlowError, deploy, power};
use crate::node::Node;
use crate::state::Event;

const KEY: &str = "hashed_rescue_password";

/// Keeps the hash of the password for the agent; the password itself is not kept.
///
/// # Errors
/// When there is no randomness for a salt.
pub fn keep_password(node: &mut Node, password: &str) -> Result<(), FlowError> {
    let hash = Sha256Params::new(5000).and_then(|params| sha256_simple(password, &params));
    let hash = hash.map_err(|error| FlowError::Refused(format!("hashing the rescue password: {error:?}")))?;
    node.spec.instance_info.insert(KEY.into(), hash.into());
    Ok(())
}

/// Boots the agent.
///
/// # Errors
/// When the machine cannot be booted.
pub async fn begin(conductor: &Conductor, node: &mut Node) -> Result<(), FlowError> {
    power::boot_ramdisk(conductor, node, &power::api_parameters(conductor)).await?;
    Ok(conductor.step_to(node, Event::Wait)?)
}

/// The agent is there: gives it the password.
///
/// # Errors
/// When the agent does not take it at once.
pub async fn finalize(conductor: &Conductor, node: &mut Node) -> Result<(), FlowError> {
    conductor.step_to(node, Event::Resume)?;
    let hash = node.spec.instance_info.get(KEY).and_then(Value::as_str).unwrap_or_default();
    let params = json!({"rescue_password": hash, "hashed": true});
    // The answer to this very request must be the end: the agent is gone afterwards.
    conductor.agent(node)?.command("rescue.finalize_rescue", params, false).await?.succeeded()?;
    node.spec.instance_info.shift_remove(KEY);
    conductor.driver(node)?.prepare_instance(conductor, node).await?;
    Ok(conductor.step_to(node, Event::Done)?)
}

/// Back to the instance.
///
/// # Errors
/// When the machine cannot be switched.
pub async fn undo(conductor: &Conductor, node: &mut Node) -> Result<(), FlowError> {
    node.spec.instance_info.shift_remove(KEY);
    deploy::boot_instance(conductor, node).await?;
    Ok(conductor.step_to(node, Event::Done)?)
}
