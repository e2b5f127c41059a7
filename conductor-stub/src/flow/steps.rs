//! The step engine: the same for clean, deploy and service (ironic/drivers/modules/agent_base.py).

mod plan;

use serde_json::{Value, json};

use crate::agent_client::{AgentError, Command};
use crate::clock;
use crate::conductor::Conductor;
use crate::flow::{FlowError, clean, deploy, power, service};
use crate::node::{Node, Object};
use crate::state::Event;

pub use plan::Step;

/// Set while the agent was too busy to start the current step.
const REFUSED: &str = "step_refused_as_busy";
/// When the current step was started, seconds since the epoch.
const STARTED: &str = "step_started";

/// Which of the three step families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Cleaning.
    Clean,
    /// Deployment.
    Deploy,
    /// Servicing.
    Service,
}

impl Kind {
    /// `clean`, `deploy`, `service`: the word in command names and keys.
    pub fn word(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Deploy => "deploy",
            Self::Service => "service",
        }
    }

    fn list_key(self) -> String {
        format!("{}_steps", self.word())
    }

    fn index_key(self) -> String {
        format!("{}_step_index", self.word())
    }

    fn cache_key(self) -> String {
        format!("agent_cached_{}_steps", self.word())
    }

    fn reboot_key(self) -> &'static str {
        match self {
            Self::Clean => "cleaning_reboot",
            Self::Deploy => "deployment_reboot",
            Self::Service => "servicing_reboot",
        }
    }

    fn current(self, node: &mut Node) -> &mut Option<Value> {
        match self {
            Self::Clean => &mut node.clean_step,
            Self::Deploy => &mut node.deploy_step,
            Self::Service => &mut node.service_step,
        }
    }
}

/// What became of a step that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// It is over already: the conductor did it itself.
    Done,
    /// The agent is at it; a heartbeat will tell.
    Running,
}

/// Forgets plan and position; called when an operation begins and when it has ended.
pub fn forget(node: &mut Node) {
    for kind in [Kind::Clean, Kind::Deploy, Kind::Service] {
        *kind.current(node) = None;
        for key in [
            kind.list_key(),
            kind.index_key(),
            kind.cache_key(),
            format!("agent_cached_{}_steps_refreshed", kind.word()),
        ] {
            node.forget(&key);
        }
        node.forget(kind.reboot_key());
        node.forget(&format!("user_{}_steps", kind.word()));
    }
    node.forget("hardware_manager_version");
    node.forget(REFUSED);
    node.forget(STARTED);
}

/// A heartbeat came in the wait state of `kind`: reads what the agent did and goes on.
///
/// # Errors
/// The reason why the operation has failed.
pub async fn on_heartbeat(conductor: &Conductor, node: &mut Node, kind: Kind) -> Result<(), FlowError> {
    if !node.driver_internal_info.contains_key(&kind.list_key()) {
        conductor.step_to(node, Event::Resume)?;
        refresh(conductor, node, kind).await?;
        return proceed(conductor, node, kind, 0).await;
    }
    let index = node.driver_internal_info.get(&kind.index_key()).and_then(Value::as_u64).unwrap_or(0) as usize;
    if node.driver_internal_info.remove(REFUSED).is_some() {
        conductor.step_to(node, Event::Resume)?;
        return proceed(conductor, node, kind, index).await;
    }
    conductor.save(node)?;
    let commands = match conductor.agent(node)?.commands().await {
        Ok(commands) => commands,
        // Just switched off and on at a step's wish: the old agent may still be dying.
        Err(AgentError::Connection(_)) if node.driver_internal_info.contains_key(kind.reboot_key()) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    match verdict(kind, kind.current(node).as_ref(), &commands) {
        Verdict::Wait => Ok(()),
        Verdict::Next => {
            node.forget(kind.reboot_key());
            conductor.step_to(node, Event::Resume)?;
            proceed(conductor, node, kind, index + 1).await
        }
        Verdict::Finished(command) => finished(conductor, node, kind, index, command).await,
        Verdict::VersionMismatch => {
            conductor.step_to(node, Event::Resume)?;
            // Automated cleaning starts over; everything else goes on where it is.
            let over = kind == Kind::Clean && !node.driver_internal_info.contains_key("user_clean_steps");
            refresh(conductor, node, kind).await?;
            proceed(conductor, node, kind, if over { 0 } else { index }).await
        }
        Verdict::Failed(text) => Err(FlowError::Refused(format!(
            "Agent returned error for {} step {} on node {}: {text}.",
            kind.word(),
            kind.current(node).as_ref().map_or_else(String::new, Value::to_string),
            node.uuid
        ))),
    }
}

#[derive(Debug, PartialEq)]
enum Verdict<'a> {
    Wait,
    /// A fresh agent: the step before a reboot counts as done.
    Next,
    Finished(&'a Command),
    VersionMismatch,
    Failed(String),
}

/// What the agent's list says about the current step.
fn verdict<'a>(kind: Kind, current: Option<&Value>, commands: &'a [Command]) -> Verdict<'a> {
    let listing = format!("get_{}_steps", kind.word());
    let executing = format!("execute_{}_step", kind.word());
    let Some(last) = commands.last().filter(|_| commands.iter().any(|command| command.name != listing)) else {
        return Verdict::Next;
    };
    if last.name != executing {
        return Verdict::Wait;
    }
    match last.status.as_str() {
        "RUNNING" => Verdict::Wait,
        "SUCCEEDED" => {
            let echoed = last.result.get(format!("{}_step", kind.word()));
            let same = |key| echoed.and_then(|step| step.get(key)) == current.and_then(|step| step.get(key));
            if echoed.is_some() && same("interface") && same("step") { Verdict::Finished(last) } else { Verdict::Wait }
        }
        "CLEAN_VERSION_MISMATCH" | "VERSION_MISMATCH" => Verdict::VersionMismatch,
        "FAILED" => Verdict::Failed(last.error_text()),
        other => Verdict::Failed(format!("unknown command status {other}")),
    }
}

async fn finished(
    conductor: &Conductor,
    node: &mut Node,
    kind: Kind,
    index: usize,
    command: &Command,
) -> Result<(), FlowError> {
    let step = kind.current(node).clone().unwrap_or_default();
    let name = step.get("step").and_then(Value::as_str).unwrap_or_default().to_owned();
    let started = node.driver_internal_info.remove(STARTED).and_then(|at| at.as_f64());
    let seconds = started.map(|at| clock::seconds() - at);
    let detail = json!({"seconds": seconds, "result": command.result.get(format!("{}_result", kind.word())), "progress": command.progress});
    conductor.store.record(node, "step", &name, detail)?;
    conductor.step_to(node, Event::Resume)?;
    if step.get("reboot_requested").and_then(Value::as_bool).unwrap_or_default() {
        node.remember(kind.reboot_key(), true);
        power::boot_ramdisk(conductor, node, &power::api_parameters(conductor)).await?;
        conductor.step_to(node, Event::Wait)?;
        return Ok(());
    }
    proceed(conductor, node, kind, index + 1).await
}

/// Asks the agent for its steps and makes the plan.
async fn refresh(conductor: &Conductor, node: &mut Node, kind: Kind) -> Result<(), FlowError> {
    let params = json!({"node": node.agent_view(), "ports": ports(conductor, node)?});
    let command = format!("{0}.get_{0}_steps", kind.word());
    let answer = conductor.agent(node)?.command(&command, params, true).await?.succeeded()?;
    let bad = |what: &str| {
        FlowError::Refused(format!("The agent's answer to {command} has no usable {what}: {}", answer.result))
    };
    let version = answer.result.get("hardware_manager_version").ok_or_else(|| bad("hardware_manager_version"))?;
    let listed = answer.result.get(kind.list_key()).and_then(Value::as_object).ok_or_else(|| bad(&kind.list_key()))?;
    let available = plan::by_interface(listed).map_err(FlowError::Refused)?;
    node.remember("hardware_manager_version", version.clone());
    node.remember(&kind.cache_key(), json!(available));
    node.remember(&format!("agent_cached_{}_steps_refreshed", kind.word()), crate::clock::now());
    let user = node.driver_internal_info.get(&format!("user_{}_steps", kind.word())).cloned();
    let steps = plan::make(kind, &available, user.as_ref(), &conductor.config, &deploy::own_steps(node))
        .map_err(FlowError::Refused)?;
    node.remember(&kind.list_key(), json!(steps));
    Ok(conductor.save(node)?)
}

/// Runs the plan from `index` until the agent is at work or the plan is done.
async fn proceed(conductor: &Conductor, node: &mut Node, kind: Kind, mut index: usize) -> Result<(), FlowError> {
    loop {
        let step = node.driver_internal_info.get(&kind.list_key()).and_then(|list| list.get(index)).cloned();
        let Some(step) = step else { return finish(conductor, node, kind).await };
        node.remember(&kind.index_key(), index);
        *kind.current(node) = Some(step.clone());
        conductor.save(node)?;
        let name = step.get("step").and_then(Value::as_str).unwrap_or_default();
        tracing::info!(node = %node.label(), "{} step {name}", kind.word());
        node.remember(STARTED, clock::seconds());
        let started = if step.get("conductor").and_then(Value::as_bool).unwrap_or_default() {
            deploy::run_own(conductor, node, &step).await
        } else {
            execute(conductor, node, kind, step).await
        };
        match started {
            Ok(Started::Done) => index += 1,
            Ok(Started::Running) => return Ok(conductor.step_to(node, Event::Wait)?),
            Err(FlowError::Agent(AgentError::Busy { .. })) => {
                // Not a failure: the same step is tried again at the next heartbeat.
                node.remember(REFUSED, true);
                return Ok(conductor.step_to(node, Event::Wait)?);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Tells the agent to run one step in the background.
///
/// # Errors
/// When the agent refuses.
pub async fn execute(conductor: &Conductor, node: &Node, kind: Kind, step: Value) -> Result<Started, FlowError> {
    let word = kind.word();
    let mut params = Object::new();
    params.insert("step".into(), step);
    params.insert("node".into(), Value::Object(node.agent_view()));
    params.insert("ports".into(), ports(conductor, node)?);
    params.insert(
        format!("{word}_version"),
        node.driver_internal_info.get("hardware_manager_version").cloned().unwrap_or_default(),
    );
    conductor.agent(node)?.command(&format!("{word}.execute_{word}_step"), Value::Object(params), false).await?;
    Ok(Started::Running)
}

fn ports(conductor: &Conductor, node: &Node) -> Result<Value, FlowError> {
    Ok(json!(conductor.store.ports_of(node.uuid)?))
}

async fn finish(conductor: &Conductor, node: &mut Node, kind: Kind) -> Result<(), FlowError> {
    match kind {
        Kind::Clean => clean::finish(conductor, node).await,
        Kind::Deploy => deploy::finish(conductor, node),
        Kind::Service => service::finish(conductor, node).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(name: &str, status: &str, result: Value) -> Command {
        Command {
            name: name.into(),
            status: status.into(),
            result,
            error: json!({"details": "why"}),
            progress: Value::Null,
        }
    }

    #[test]
    fn the_last_command_decides() {
        let current = json!({"interface": "deploy", "step": "erase_devices"});
        let echo = json!({"clean_step": {"interface": "deploy", "step": "erase_devices", "priority": 1}});
        let other = json!({"clean_step": {"interface": "deploy", "step": "other"}});
        let listing = command("get_clean_steps", "SUCCEEDED", Value::Null);
        let run =
            |status: &str, result: &Value| vec![listing.clone(), command("execute_clean_step", status, result.clone())];
        fn judge<'a>(commands: &'a [Command], current: &Value) -> Verdict<'a> {
            verdict(Kind::Clean, Some(current), commands)
        }
        assert_eq!(judge(&[], &current), Verdict::Next);
        assert_eq!(judge(std::slice::from_ref(&listing), &current), Verdict::Next);
        assert_eq!(judge(&run("RUNNING", &Value::Null), &current), Verdict::Wait);
        assert_eq!(judge(&run("SUCCEEDED", &other), &current), Verdict::Wait, "the result of an earlier step");
        assert_eq!(judge(&run("SUCCEEDED", &Value::Null), &current), Verdict::Wait);
        assert!(matches!(judge(&run("SUCCEEDED", &echo), &current), Verdict::Finished(_)));
        assert_eq!(judge(&run("FAILED", &Value::Null), &current), Verdict::Failed("why".into()));
        assert_eq!(judge(&run("CLEAN_VERSION_MISMATCH", &Value::Null), &current), Verdict::VersionMismatch);
        assert!(matches!(judge(&run("ODD", &Value::Null), &current), Verdict::Failed(_)));
        assert_eq!(
            judge(&[listing, command("collect_system_logs", "SUCCEEDED", Value::Null)], &current),
            Verdict::Wait
        );
    }
}
