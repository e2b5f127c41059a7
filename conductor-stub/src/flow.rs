//! What happens to a node between two stable states.
//!
//! A verb of the API, a heartbeat, inspection data or a timeout starts an operation; it holds the node's lock,
//! moves the node along the state machine and ends in a `… wait` state or a stable one.
//!
//! - [`verb`]: what a client asked for
//! - [`inspect`], [`clean`], [`deploy`], [`rescue`], [`service`]: the flows; [`boot_iso`]: deployments that are an ISO
//! - [`steps`]: listing, planning and running steps, the same for clean, deploy and service
//! - [`image`]: what the agent is told about an image; [`configdrive`]: the config drive
//! - [`power`]: switching the machine within a flow
//! - [`timeout`]: the machine that never calls

pub mod boot_iso;
pub mod clean;
pub mod configdrive;
pub mod deploy;
pub mod image;
pub mod inspect;
pub mod power;
pub mod rescue;
pub mod service;
pub mod steps;
pub mod timeout;
pub mod verb;

use uuid::Uuid;

use crate::agent_client::AgentError;
use crate::conductor::{Conductor, Shared};
use crate::driver::DriverError;
use crate::node::Node;
use crate::state::{Event, ProvisionState};
use crate::store::StoreError;

/// Why an operation failed; the text becomes the node's `last_error`.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// The agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The machine's power or boot control.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was asked for cannot be done.
    #[error("{0}")]
    Refused(String),
}

/// A heartbeat of `node` came: goes on with what waits for it.
pub fn heartbeat(conductor: &Shared, node: Uuid) {
    let Some(lock) = conductor.lock_for_heartbeat(node) else { return };
    let conductor = std::sync::Arc::clone(conductor);
    tokio::spawn(async move {
        let _lock = lock;
        let Ok(Some(mut node)) = conductor.store.node(&node.to_string()) else { return };
        if !node.provision_state.awaits_heartbeat() {
            return;
        }
        node.touch();
        let result = match node.provision_state {
            ProvisionState::RescueWait => rescue::finalize(&conductor, &mut node).await,
            ProvisionState::CleanWait => steps::on_heartbeat(&conductor, &mut node, steps::Kind::Clean).await,
            ProvisionState::ServiceWait => steps::on_heartbeat(&conductor, &mut node, steps::Kind::Service).await,
            _ => steps::on_heartbeat(&conductor, &mut node, steps::Kind::Deploy).await,
        };
        if let Err(error) = result {
            fail(&conductor, &mut node, &error.to_string()).await;
        }
    });
}

/// Ends the running operation in its failed state: the machine is switched off, its boot settings are taken back.
pub async fn fail(conductor: &Conductor, node: &mut Node, text: &str) {
    tracing::warn!(node = %node.label(), "{text}");
    let keep_on = matches!(node.provision_state, ProvisionState::Verifying | ProvisionState::Adopting);
    let cleaning = matches!(node.provision_state, ProvisionState::Cleaning | ProvisionState::CleanWait);
    let mut text = text.to_owned();
    if !keep_on && let Err(error) = power::tear_down(conductor, node).await {
        tracing::warn!(node = %node.label(), "cleaning up after a failure: {error}");
        // Somebody has to look after the machine: it may be on, or have a medium in its drive.
        text = format!("{text} Cleaning up failed too: {error}");
    }
    if cleaning && node.clean_step.is_some() {
        node.spec.maintenance = true;
        node.fault = Some("clean failure".into());
        node.maintenance_reason = Some(text.clone());
    }
    steps::forget(node);
    // After the power action: Ironic's own clears it.
    node.last_error = Some(text.clone());
    let result = conductor
        .store
        .record(node, "error", &text, serde_json::Value::Null)
        .and_then(|()| conductor.step_to(node, Event::Fail));
    if let Err(error) = result {
        tracing::error!(node = %node.label(), "writing a failure: {error}");
    }
}
