//! Takes machines where they are to be.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::document::Name;
use super::ironic::{Ironic, IronicError};
use super::reconcile::{self, Memory, Next, NodeView, Request};
use super::seal::{SealError, is_seal_of};
use super::wanted::Wanted;
use crate::node::Object;

/// Pause between looks at a node.
const PAUSE: Duration = Duration::from_secs(1);

/// What applying did at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// There was no such node.
    Created,
    /// Something about it is wanted otherwise.
    Configured,
    /// It was applied before, as it is.
    Unchanged,
}

impl Change {
    /// As `kubectl apply` says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Why a machine is not where it is to be.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The conductor.
    #[error(transparent)]
    Ironic(#[from] IronicError),
    /// No randomness.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Nothing more can be done from here.
    #[error("{0}")]
    Stuck(String),
    /// It took too long.
    #[error("still {state} after {} s", limit.as_secs())]
    Late {
        /// Where it is.
        state: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The conductor was busy for too long.
    #[error("still refused after {} s: {refusal}", limit.as_secs())]
    Busy {
        /// What it said last.
        refusal: IronicError,
        /// How long was waited.
        limit: Duration,
    },
}

/// Writes down what is wanted: makes the node or changes it. Nothing is switched or deployed yet.
///
/// # Errors
/// When the conductor refuses, or is busy with the node for longer than `limit`.
pub async fn register(ironic: &Ironic, wanted: &Wanted, limit: Duration) -> Result<Change, ApplyError> {
    let started = Instant::now();
    loop {
        match register_once(ironic, wanted).await {
            Err(ApplyError::Ironic(refusal)) if refusal.is_busy() => {
                if started.elapsed() > limit {
                    return Err(ApplyError::Busy { refusal, limit });
                }
            }
            outcome => return outcome,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn register_once(ironic: &Ironic, wanted: &Wanted) -> Result<Change, ApplyError> {
    let name = wanted.name.of_node();
    let (uuid, change) = match ironic.node(&name).await? {
        None => {
            let mut node = wanted.registration.clone();
            let memory = reconcile::remembered(wanted, Memory::default())?;
            node.insert("extra".into(), json!({ reconcile::MEMORY: memory }));
            (view(ironic.create_node(node).await?)?.uuid, Change::Created)
        }
        Some(node) => {
            let node = view(node)?;
            let memory = node.memory();
            if is_seal_of(&memory.applied, &reconcile::identity(wanted)) {
                return Ok(Change::Unchanged);
            }
            // Until it is settled whose the system on it is, the node says what it said.
            let keep = memory.externally_provisioned && !wanted.externally_provisioned;
            let mut memory = reconcile::remembered(wanted, memory)?;
            memory.externally_provisioned |= keep;
            ironic.patch(&name, &patch(&wanted.registration, &memory)).await?;
            (node.uuid, Change::Configured)
        }
    };
    if let Some(address) = &wanted.port {
        ironic.ensure_port(&uuid, address).await?;
    }
    Ok(change)
}

/// Takes a registered machine where it is to be; `say` hears of each step.
///
/// # Errors
/// When it gets stuck, or takes longer than `limit`.
pub async fn take_there(
    ironic: &Ironic,
    wanted: &Wanted,
    limit: Duration,
    say: impl Fn(&Name, &str),
) -> Result<(), ApplyError> {
    let name = wanted.name.of_node();
    let started = Instant::now();
    let mut asked: Option<&'static str> = None;
    let mut last_state = String::new();
    let mut refusal: Option<IronicError> = None;
    loop {
        if started.elapsed() > limit {
            return Err(match refusal {
                Some(refusal) => ApplyError::Busy { refusal, limit },
                None => ApplyError::Late { state: last_state, limit },
            });
        }
        let Some(node) = ironic.node(&name).await? else {
            return Err(ApplyError::Stuck("the node is gone".to_owned()));
        };
        let node = view(node)?;
        if node.provision_state != last_state {
            last_state.clone_from(&node.provision_state);
            say(&wanted.name, &last_state);
        }
        match reconcile::next(wanted, &node, asked)? {
            Next::Done => return Ok(()),
            Next::Stuck(reason) => return Err(ApplyError::Stuck(reason)),
            Next::Wait => {}
            Next::Ask { word, requests } => match send(ironic, &name, requests).await {
                Ok(()) => {
                    refusal = None;
                    // What was asked for twice has changed nothing yet.
                    if asked.replace(word) != Some(word) {
                        continue;
                    }
                }
                // Somebody else holds the node for a moment.
                Err(error) if error.is_busy() => refusal = Some(error),
                Err(error) => return Err(error.into()),
            },
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn send(ironic: &Ironic, name: &str, requests: Vec<Request>) -> Result<(), IronicError> {
    for request in requests {
        match request {
            Request::Patch(patch) => drop(ironic.patch(name, &patch).await?),
            Request::Provision(body) => ironic.put_state(name, "provision", &body).await?,
            Request::Raid(body) => ironic.put_state(name, "raid", &body).await?,
            Request::Power(target) => ironic.put_state(name, "power", &json!({ "target": target })).await?,
            Request::EndMaintenance => ironic.end_maintenance(name).await?,
        }
    }
    Ok(())
}

/// Every key of the registration, and what is remembered of it. The name is how the node was found.
fn patch(registration: &Object, memory: &Memory) -> Value {
    let keys = registration.iter().filter(|(key, _)| *key != "name" && *key != "driver_info");
    let mut operations: Vec<Value> =
        keys.map(|(key, value)| json!({"op": "add", "path": format!("/{key}"), "value": value})).collect();
    // What others have put there stays: ramdisks, for example.
    let info = registration.get("driver_info").and_then(Value::as_object).into_iter().flatten();
    operations
        .extend(info.map(|(key, value)| json!({"op": "add", "path": format!("/driver_info/{key}"), "value": value})));
    operations.push(reconcile::remember(memory));
    operations.into()
}

fn view(node: Value) -> Result<NodeView, IronicError> {
    serde_json::from_value(node)
        .map_err(|error| IronicError::Nonsense { url: "/v1/nodes".to_owned(), cause: error.to_string() })
}
