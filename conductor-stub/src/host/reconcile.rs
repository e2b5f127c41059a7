//! The request that brings a node nearer to where it belongs: nothing but a look at the node, so that it can be gone on
//! with after any interruption.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::seal::{SealError, is_seal_of, seal};
use super::wanted::Wanted;
use super::wanted::instance::Instance;
use crate::node::Object;

/// Where a node keeps what was applied.
pub const MEMORY: &str = "metal3";

/// What was applied, in the node's `extra`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Whose it is.
    pub consumer: Option<String>,
    /// Whether it is to run.
    pub online: bool,
    /// The system on it is somebody else's.
    pub externally_provisioned: bool,
    /// Seal of all that was applied last.
    pub applied: String,
    /// Seal of the preparation that was done.
    pub prepared: String,
    /// Seal of the instance that was put on it.
    pub instance: String,
}

/// A node, as far as the way depends on it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NodeView {
    /// Its identity.
    pub uuid: String,
    /// Where it is in its life.
    pub provision_state: String,
    /// Where it is going.
    pub target_provision_state: Option<String>,
    /// Whether it runs.
    pub power_state: Option<String>,
    /// It is being switched.
    pub target_power_state: Option<String>,
    /// Why the last operation failed.
    pub last_error: Option<String>,
    /// How it is deployed.
    pub deploy_interface: Option<String>,
    /// It is not to be touched.
    pub maintenance: bool,
    /// Kind of the failure that put it into maintenance.
    pub fault: Option<String>,
    /// Who works on it.
    pub reservation: Option<String>,
    /// The last inspection ended well.
    pub inspection_finished_at: Option<String>,
    /// Notes.
    pub extra: Object,
}

impl NodeView {
    /// What was applied.
    pub fn memory(&self) -> Memory {
        self.extra.get(MEMORY).and_then(|memory| serde_json::from_value(memory.clone()).ok()).unwrap_or_default()
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Something goes on already.
    Wait,
    /// It is where it belongs.
    Done,
    /// Requests, one after the other.
    Ask {
        /// In a word, for whoever watches.
        word: &'static str,
        /// What to send.
        requests: Vec<Request>,
    },
    /// Nothing more can be done from here, and why.
    Stuck(String),
}

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// A JSON patch of the node.
    Patch(Value),
    /// `PUT …/states/provision`.
    Provision(Value),
    /// `PUT …/states/raid`.
    Raid(Value),
    /// `PUT …/states/power`.
    Power(&'static str),
    /// `DELETE …/maintenance`.
    EndMaintenance,
}

/// What `wanted` is known by, all of it.
pub fn identity(wanted: &Wanted) -> Value {
    json!([
        wanted.registration,
        wanted.port.as_ref().map(|port| port.as_str()),
        wanted.preparation.as_ref().map(|preparation| preparation.identity()),
        wanted.instance.as_ref().map(|instance| {
            json!([instance.deploy_interface, instance.instance_info, instance.configdrive, instance.deploy_steps])
        }),
        wanted.externally_provisioned,
        wanted.online,
        wanted.consumer,
    ])
}

/// What the node is to keep when it is registered, over what it has kept so far.
///
/// # Errors
/// When there is no randomness.
pub fn remembered(wanted: &Wanted, so_far: Memory) -> Result<Memory, SealError> {
    Ok(Memory {
        consumer: wanted.consumer.clone(),
        online: wanted.online,
        externally_provisioned: wanted.externally_provisioned,
        applied: seal(&identity(wanted))?,
        ..so_far
    })
}

/// The patch of `extra`.
pub fn remember(memory: &Memory) -> Value {
    json!({"op": "add", "path": format!("/extra/{MEMORY}"), "value": memory})
}

/// What comes next for `node`. `asked` is the last word of this run: a failure that follows it is final, an earlier one
/// is no reason to give up.
///
/// # Errors
/// When there is no randomness.
pub fn next(wanted: &Wanted, node: &NodeView, asked: Option<&str>) -> Result<Next, SealError> {
    let state = node.provision_state.as_str();
    let failed = state.ends_with(" failed") || state == "error";
    let moving = (node.target_provision_state.is_some() && !failed)
        || node.target_power_state.is_some()
        || node.reservation.is_some();
    if moving {
        return Ok(Next::Wait);
    }
    let memory = node.memory();
    if let (Some(word), Some(error)) = (asked, &node.last_error) {
        // A system that does not listen is switched off all the same.
        if word == "shut down" {
            return Ok(ask("power off", [Request::Power("power off")]));
        }
        return Ok(Next::Stuck(format!("{state}: {error}")));
    }
    if node.maintenance {
        return Ok(match &node.fault {
            Some(_) => ask("end of maintenance", [Request::EndMaintenance]),
            None => Next::Stuck("it is in maintenance".to_owned()),
        });
    }
    let prepared =
        wanted.preparation.as_ref().is_none_or(|preparation| is_seal_of(&memory.prepared, &preparation.identity()));
    Ok(match state {
        "enroll" => provision("manage"),
        "inspect failed" => provision("inspect"),
        "clean failed" => provision("manage"),
        "adopt failed" => provision("adopt"),
        "error" => provision("deleted"),
        "manageable" if wanted.externally_provisioned => provision("adopt"),
        "manageable" if wanted.inspect && node.inspection_finished_at.is_none() => provision("inspect"),
        "manageable" => match &wanted.preparation {
            // It ran to its end in this run, or somebody would have stopped at its failure.
            Some(preparation) if asked == Some("clean") && !prepared => {
                let memory = Memory { prepared: seal(&preparation.identity())?, ..memory };
                ask("prepared", [Request::Patch(json!([remember(&memory)]))])
            }
            Some(preparation) if !prepared => {
                let raid = preparation.raid.clone().map(|raid| Request::Raid(raid.into()));
                let clean = Request::Provision(json!({"target": "clean", "clean_steps": preparation.clean_steps}));
                ask("clean", raid.into_iter().chain([clean]))
            }
            _ => provision("provide"),
        },
        "available" if wanted.externally_provisioned || !prepared => provision("manage"),
        "available" => match &wanted.instance {
            Some(instance) => deploy(instance, memory, node)?,
            None => power(wanted, node),
        },
        // How it is deployed can be changed in nodes at rest only.
        "deploy failed" => match &wanted.instance {
            Some(instance) if node.deploy_interface.as_deref() == Some(instance.deploy_interface) => {
                deploy(instance, memory, node)?
            }
            _ => provision("deleted"),
        },
        "active" if wanted.externally_provisioned => power(wanted, node),
        "active" if memory.externally_provisioned => {
            Next::Stuck("what is on it was put there by somebody else: undeploy the node if it may go".to_owned())
        }
        "active" => match &wanted.instance {
            Some(instance) if is_seal_of(&memory.instance, &instance.identity()) => power(wanted, node),
            _ => provision("deleted"),
        },
        state => Next::Stuck(format!("no way leads on from {state}")),
    })
}

fn ask(word: &'static str, requests: impl IntoIterator<Item = Request>) -> Next {
    Next::Ask { word, requests: requests.into_iter().collect() }
}

fn provision(verb: &'static str) -> Next {
    ask(verb, [Request::Provision(json!({ "target": verb }))])
}

fn deploy(instance: &Instance, memory: Memory, node: &NodeView) -> Result<Next, SealError> {
    let memory = Memory { instance: seal(&instance.identity())?, ..memory };
    let mut patch =
        vec![json!({"op": "add", "path": "/instance_info", "value": instance.instance_info}), remember(&memory)];
    if node.deploy_interface.as_deref() != Some(instance.deploy_interface) {
        patch.push(json!({"op": "add", "path": "/deploy_interface", "value": instance.deploy_interface}));
    }
    let patch = patch.into();
    let mut verb = json!({"target": "active"});
    if let Some(drive) = &instance.configdrive {
        verb["configdrive"] = drive.clone().into();
    }
    if let Some(steps) = &instance.deploy_steps {
        verb["deploy_steps"] = steps.clone();
    }
    Ok(ask("active", [Request::Patch(patch), Request::Provision(verb)]))
}

fn power(wanted: &Wanted, node: &NodeView) -> Next {
    match (wanted.online, node.power_state.as_deref()) {
        (true, Some("power off")) => ask("power on", [Request::Power("power on")]),
        // There is a system that may want to put things in order.
        (false, Some("power on")) if node.provision_state == "active" => {
            ask("shut down", [Request::Power("soft power off")])
        }
        (false, Some("power on")) => ask("power off", [Request::Power("power off")]),
        _ => Next::Done,
    }
}

#[cfg(test)]
mod tests;
