//! Where an operation goes on from what is written of it: right after it was asked for, and after the end of a conductor.

use std::time::Duration;

use crate::agent_client::AgentError;
use crate::crash;
use crate::driver::DriverError;
use crate::flow::clean::Cleaning;
use crate::flow::deploy::Deployment;
use crate::flow::error::FlowError;
use crate::flow::failure::{abort, fail};
use crate::flow::service::Servicing;
use crate::flow::steps;
use crate::flow::task::Task;
use crate::flow::{boot_iso, clean, deploy, firmware, inspect, management, power, rescue, service};
use crate::node::{Intent, Switching};
use crate::state::{Event, PowerState, ProvisionState as S};

/// Does what is next until the operation waits or is over; its failure is the node's.
pub async fn go_on(mut task: Task) {
    match task.node.internal.intent.clone() {
        Some(Intent::Fail(text)) => fail(&mut task, &text).await,
        Some(Intent::Abort(text)) => {
            let outcome = abort(&mut task, text).await;
            report(&task, outcome);
        }
        Some(Intent::BootMode(mode)) => {
            let outcome = management::set_boot_mode(&mut task, mode).await;
            settle(&mut task, outcome);
        }
        Some(Intent::SecureBoot(on)) => {
            let outcome = management::set_secure_boot(&mut task, on).await;
            settle(&mut task, outcome);
        }
        Some(Intent::Power(switching)) => {
            let outcome = switch(&mut task, switching).await;
            settle(&mut task, outcome);
        }
        Some(Intent::Media(url)) => {
            let outcome = exchange(&mut task, url.as_deref()).await.map_err(FlowError::from);
            settle(&mut task, outcome);
        }
        Some(Intent::Detach) => {
            let outcome = boot_iso::take_away(&mut task).await;
            settle(&mut task, outcome);
        }
        Some(Intent::Boot(_) | Intent::BootInstance(_)) | None => {
            if let Err(error) = flow(&mut task).await {
                fail(&mut task, &error.to_string()).await;
            }
        }
    }
    task.end().await;
}

/// The operation that the node's state stands for.
async fn flow(task: &mut Task) -> Result<(), FlowError> {
    match task.node.provision_state {
        S::Verifying | S::Adopting => {
            task.node.power_state = Some(power::state(task).await?);
            management::learn(task).await;
            firmware::learn_if_told(task).await;
            task.step_to(Event::Done)
        }
        S::Inspecting => inspect::go_on(task).await,
        S::Cleaning if is_among_steps(task) => steps::go_on(task, &Cleaning).await,
        S::Cleaning => clean::begin(task).await,
        S::Deploying if is_among_steps(task) => steps::go_on(task, &Deployment).await,
        S::Deploying => deploy::begin(task).await,
        S::Servicing if is_among_steps(task) => steps::go_on(task, &Servicing).await,
        S::Servicing => service::begin(task).await,
        S::Deleting => deploy::undo(task).await,
        S::Rescuing if !is_booting(task) && rescue::is_among_agents(&task.node) => match rescue::finalize(task).await {
            // It ends when it has its password.
            Err(FlowError::Agent(AgentError::Connection { refused: true, .. })) => rescue::finish(task).await,
            // It may be slow: a heartbeat tells, or its absence.
            Err(FlowError::Agent(AgentError::Connection { .. })) => task.step_to(Event::Wait),
            outcome => outcome,
        },
        S::Rescuing => rescue::begin(task).await,
        S::Unrescuing => rescue::undo(task).await,
        // Nothing but a change of state: `manage` from another stable state, `unhold`.
        _ => Ok(()),
    }
}

fn is_booting(task: &Task) -> bool {
    matches!(task.node.internal.intent, Some(Intent::Boot(_)))
}

/// Whether the agent was there already, and no boot is under way.
fn is_among_steps(task: &Task) -> bool {
    let internal = &task.node.internal;
    let is_planned = internal.plan.as_ref().is_some_and(|plan| plan.steps.is_some());
    !is_booting(task) && (is_planned || internal.agent_url.is_some())
}

async fn switch(task: &mut Task, Switching { left, soft }: Switching) -> Result<(), FlowError> {
    let mut left = left.into_iter();
    while let Some(to) = left.next() {
        match soft.filter(|_| to == PowerState::Off) {
            Some(seconds) => power::shut_down(task, Duration::from_secs(seconds)).await?,
            None => power::set(task, to).await?,
        }
        task.intend(Intent::Power(Switching { left: left.clone().collect(), soft }))?;
    }
    management::learn(task).await;
    Ok(())
}

async fn exchange(task: &mut Task, url: Option<&str>) -> Result<(), DriverError> {
    crash::point();
    let (machine, node) = task.machine()?;
    match url {
        Some(url) => machine.attach(node, url).await?,
        None => machine.detach(node).await?,
    }
    crash::point();
    Ok(())
}

/// What was asked for beside any flow is over, well or not.
fn settle(task: &mut Task, outcome: Result<(), FlowError>) {
    task.node.internal.intent = None;
    if let Err(error) = outcome {
        let text = task.node.without_secrets(&error.to_string());
        tracing::warn!(node = %task.node.label(), "{text}");
        task.node.last_error = Some(text);
        task.node.target_power_state = None;
    }
    let saved = task.save().map_err(FlowError::from);
    report(task, saved);
}

fn report(task: &Task, outcome: Result<(), FlowError>) {
    if let Err(error) = outcome {
        tracing::error!(node = %task.node.label(), "writing the end of an operation: {error}");
    }
}
