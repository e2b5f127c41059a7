//! The step engine: the same for clean, deploy and service (ironic/drivers/modules/agent_base.py).

pub mod plan;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::agent_client::{AgentError, Command};
use crate::clock;
use crate::config::Config;
use crate::crash;
use crate::flow::error::FlowError;
use crate::flow::power;
use crate::flow::task::Task;
use crate::node::{Family, Node, Object, Plan, Step};
use crate::state::Event;

/// What is particular to a family of steps.
pub trait StepFamily: Send + Sync {
    /// Its name.
    fn family(&self) -> Family;

    /// The plan: what the user asked for, what the agent offers and what the conductor does itself, in order.
    fn order(&self, asked: Option<Vec<Step>>, offered: Vec<Step>, own: Vec<Step>, config: &Config) -> Vec<Step>;

    /// Steps that the conductor does itself.
    fn own_steps(&self, _node: &Node) -> Vec<Step> {
        Vec::new()
    }

    /// Does one of them.
    fn run_own<'a>(&'a self, _task: &'a mut Task, step: &'a Step) -> BoxFuture<'a, Result<Started, FlowError>> {
        Box::pin(async { Err(FlowError::Refused(format!("no such step: {}", step.step))) })
    }

    /// All steps are done.
    fn finish<'a>(&'a self, task: &'a mut Task) -> BoxFuture<'a, Result<(), FlowError>>;
}

/// What became of a step that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// It is over already: the conductor did it itself.
    Done,
    /// The agent is at it; a heartbeat will tell.
    Running,
    /// It comes into force when the machine is started anew; then it is to be looked at once more.
    NextBoot,
}

/// A heartbeat came in the wait state of a family: reads what the agent did and goes on.
///
/// # Errors
/// The reason why the operation has failed.
pub async fn on_heartbeat(task: &mut Task, steps: &dyn StepFamily) -> Result<(), FlowError> {
    let family = steps.family();
    let plan = task.node.internal.plan.get_or_insert_with(|| Plan::new(family, None));
    if plan.steps.is_none() || plan.to_start || plan.in_doubt {
        task.step_to(Event::Resume)?;
        return start(task, steps).await;
    }
    let (index, rebooting) = (plan.index, plan.rebooting);
    let commands = match task.agent()?.commands().await {
        Ok(commands) => commands,
        // Just switched off and on at a step's wish: the old agent may still be dying.
        Err(AgentError::Connection { .. }) if rebooting => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let current = task.node.current_step(family);
    match verdict(family, current, &commands) {
        Verdict::Wait => Ok(()),
        Verdict::Next => {
            // The step that an agent was at when it was started anew is over; after a reboot that was wished for,
            // the next one is due already.
            let next = if current.is_some() { index + 1 } else { index };
            change(task, |plan| {
                plan.rebooting = false;
                plan.forget_agent();
            });
            task.step_to(Event::Resume)?;
            proceed(task, steps, next).await
        }
        Verdict::Finished(command) => finished(task, steps, command).await,
        Verdict::VersionMismatch => {
            task.step_to(Event::Resume)?;
            // Automated cleaning starts over; everything else goes on where it is.
            let asked = task.node.internal.plan.as_ref().is_some_and(|plan| plan.asked.is_some());
            let over = family == Family::Clean && !asked;
            refresh(task, steps).await?;
            proceed(task, steps, if over { 0 } else { index }).await
        }
        Verdict::Failed(text) => Err(FlowError::Refused(format!(
            "Agent returned error for {} step {} on node {}: {text}.",
            family.word(),
            current.map_or_else(String::new, |step| json!(step).to_string()),
            task.node.uuid
        ))),
    }
}

/// Goes on after the end of a conductor that was among the steps. An agent that cannot be reached just now is waited for.
///
/// # Errors
/// The reason why the operation has failed.
pub async fn go_on(task: &mut Task, steps: &dyn StepFamily) -> Result<(), FlowError> {
    let is_rebooting = change(task, |plan| {
        // Sent or not: it was written before it was done.
        plan.in_doubt = plan.is_sending;
        plan.to_start |= !plan.in_doubt && plan.current.is_some();
        plan.rebooting && plan.current.is_none()
    });
    if is_rebooting.unwrap_or_default() {
        power::boot_ramdisk(task, &power::api_parameters(&task.conductor)).await?;
        return task.step_to(Event::Wait);
    }
    match start(task, steps).await {
        Err(FlowError::Agent(AgentError::Connection { .. })) if task.node.internal.agent_url.is_some() => {
            change(task, |plan| plan.to_start = !plan.in_doubt);
            task.step_to(Event::Wait)
        }
        outcome => outcome,
    }
}

/// Makes the plan if there is none, and starts the current step if the agent has not got it.
async fn start(task: &mut Task, steps: &dyn StepFamily) -> Result<(), FlowError> {
    let family = steps.family();
    let plan = task.node.internal.plan.get_or_insert_with(|| Plan::new(family, None));
    let (is_planned, in_doubt, index, counted) = (plan.steps.is_some(), plan.in_doubt, plan.index, plan.sent);
    if !is_planned {
        refresh(task, steps).await?;
    } else if in_doubt {
        let has_it = sent(family, &task.agent()?.commands().await?) > counted;
        change(task, |plan| (plan.in_doubt, plan.is_sending) = (false, has_it));
        if has_it {
            // What has become of it shows at the next heartbeat.
            return task.step_to(Event::Wait);
        }
    }
    proceed(task, steps, index).await
}

/// How many steps of a family the agent was given.
fn sent(family: Family, commands: &[Command]) -> usize {
    let executing = format!("execute_{}_step", family.word());
    commands.iter().filter(|command| command.name == executing).count()
}

fn change<T>(task: &mut Task, change: impl FnOnce(&mut Plan) -> T) -> Option<T> {
    task.node.internal.plan.as_mut().map(change)
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
fn verdict<'a>(family: Family, current: Option<&Step>, commands: &'a [Command]) -> Verdict<'a> {
    let listing = format!("get_{}_steps", family.word());
    let executing = format!("execute_{}_step", family.word());
    let Some(last) = commands.last().filter(|_| commands.iter().any(|command| command.name != listing)) else {
        return Verdict::Next;
    };
    if last.name != executing {
        return Verdict::Wait;
    }
    match last.status.as_str() {
        "RUNNING" => Verdict::Wait,
        "SUCCEEDED" => {
            let echoed = last.result.get(format!("{}_step", family.word()));
            let is_echo = |step: &&Step| {
                echoed.is_some_and(|echo| echo["interface"] == step.interface && echo["step"] == step.step)
            };
            if current.as_ref().is_some_and(is_echo) { Verdict::Finished(last) } else { Verdict::Wait }
        }
        "CLEAN_VERSION_MISMATCH" | "VERSION_MISMATCH" => Verdict::VersionMismatch,
        "FAILED" => Verdict::Failed(last.error_text()),
        other => Verdict::Failed(format!("unknown command status {other}")),
    }
}

async fn finished(task: &mut Task, steps: &dyn StepFamily, command: &Command) -> Result<(), FlowError> {
    let family = steps.family();
    let Some(plan) = &mut task.node.internal.plan else { return Ok(()) };
    let Some(step) = plan.current.take() else { return Ok(()) };
    plan.index += 1;
    plan.rebooting = step.wants_reboot();
    plan.sent += usize::from(std::mem::take(&mut plan.is_sending));
    let (next, rebooting) = (plan.index, plan.rebooting);
    let seconds = plan.started.take().map(|at| clock::seconds() - at);
    let result = command.result.get(format!("{}_result", family.word()));
    let detail = json!({"seconds": seconds, "result": result, "progress": command.progress});
    task.note("step", &step.step, &detail);
    task.step_to(Event::Resume)?;
    if rebooting {
        power::boot_ramdisk(task, &power::api_parameters(&task.conductor)).await?;
        return task.step_to(Event::Wait);
    }
    proceed(task, steps, next).await
}

/// Asks the agent for its steps and makes the plan.
async fn refresh(task: &mut Task, steps: &dyn StepFamily) -> Result<(), FlowError> {
    let family = steps.family();
    let word = family.word();
    let params = json!({"node": task.node.agent_view(), "ports": ports(task)?});
    let command = format!("{word}.get_{word}_steps");
    let answer = task.agent()?.command(&command, params, true).await?.succeeded()?;
    let bad = |what: &str| {
        FlowError::Refused(format!("The agent's answer to {command} has no usable {what}: {}", answer.result))
    };
    let version = answer.result.get("hardware_manager_version").ok_or_else(|| bad("hardware_manager_version"))?;
    let list_key = format!("{word}_steps");
    let listed = answer.result.get(&list_key).and_then(Value::as_object).ok_or_else(|| bad(&list_key))?;
    let offered = plan::by_interface(listed).map_err(FlowError::Refused)?;
    let own = steps.own_steps(&task.node);
    let known: Vec<Step> = offered.values().flatten().cloned().collect();
    let (asked, sent) = change(task, |plan| (plan.asked.clone(), plan.sent)).unwrap_or_default();
    let chosen = asked.as_deref().map(|asked| plan::completed(asked, &known, &own)).transpose();
    let ordered = steps.order(chosen.map_err(FlowError::Refused)?, known, own, &task.conductor.config);
    task.node.internal.plan = Some(Plan {
        offered,
        refreshed: Some(clock::now()),
        hardware_manager_version: Some(version.clone()),
        steps: Some(ordered),
        sent,
        ..Plan::new(family, asked)
    });
    Ok(task.save()?)
}

/// Runs the plan from `index` until the agent is at work or the plan is done.
async fn proceed(task: &mut Task, steps: &dyn StepFamily, mut index: usize) -> Result<(), FlowError> {
    let family = steps.family();
    loop {
        let Some(plan) = &mut task.node.internal.plan else { return Ok(()) };
        let step = plan.steps.as_ref().and_then(|steps| steps.get(index)).cloned();
        plan.index = index;
        plan.current = step.clone();
        plan.to_start = false;
        let Some(step) = step else {
            task.save()?;
            return steps.finish(task).await;
        };
        plan.started = Some(clock::seconds());
        tracing::info!(node = %task.node.label(), "{} step {}", family.word(), step.step);
        let started = if step.conductor {
            task.save()?;
            steps.run_own(task, &step).await
        } else {
            execute(task, family, json!(step)).await
        };
        match started {
            Ok(Started::Done) => {
                change(task, |plan| plan.is_second_look = false);
                index += 1;
            }
            Ok(Started::NextBoot) => {
                change(task, |plan| {
                    plan.current = None;
                    (plan.rebooting, plan.is_second_look) = (true, true);
                });
                power::boot_ramdisk(task, &power::api_parameters(&task.conductor)).await?;
                return task.step_to(Event::Wait);
            }
            Ok(Started::Running) => return task.step_to(Event::Wait),
            Err(FlowError::Agent(AgentError::Busy { .. })) => {
                // Not a failure: the same step is tried again at the next heartbeat.
                change(task, |plan| (plan.to_start, plan.is_sending) = (true, false));
                return task.step_to(Event::Wait);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Tells the agent to run one step in the background. That it is told is written first.
///
/// # Errors
/// When the agent refuses.
pub async fn execute(task: &mut Task, family: Family, step: Value) -> Result<Started, FlowError> {
    change(task, |plan| plan.is_sending = true);
    task.save()?;
    let word = family.word();
    let plan = task.node.internal.plan.as_ref();
    let version = plan.and_then(|plan| plan.hardware_manager_version.clone());
    let mut params = Object::new();
    params.insert("step".into(), step);
    params.insert("node".into(), Value::Object(task.node.agent_view()));
    params.insert("ports".into(), ports(task)?);
    params.insert(format!("{word}_version"), version.unwrap_or_default());
    crash::point();
    task.agent()?.command(&format!("{word}.execute_{word}_step"), Value::Object(params), false).await?;
    crash::point();
    Ok(Started::Running)
}

fn ports(task: &Task) -> Result<Value, FlowError> {
    Ok(json!(task.conductor.store.ports_of(task.node.uuid)?))
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
        let current = Step { conductor: false, ..Step::of_conductor("erase_devices", 10) };
        let echo = json!({"clean_step": {"interface": "deploy", "step": "erase_devices", "priority": 1}});
        let other = json!({"clean_step": {"interface": "deploy", "step": "other"}});
        let listing = command("get_clean_steps", "SUCCEEDED", Value::Null);
        let run =
            |status: &str, result: &Value| vec![listing.clone(), command("execute_clean_step", status, result.clone())];
        fn judge<'a>(commands: &'a [Command], current: &Step) -> Verdict<'a> {
            verdict(Family::Clean, Some(current), commands)
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
