//! active → servicing → service wait → active.

use futures_util::future::BoxFuture;

use crate::config::Config;
use crate::flow::error::FlowError;
use crate::flow::steps::{Started, StepFamily};
use crate::flow::task::Task;
use crate::flow::{firmware, instance, power};
use crate::node::{Family, Node, Step};
use crate::state::Event;

/// Boots the agent; its first heartbeat starts the steps.
///
/// # Errors
/// When the machine cannot be booted.
pub async fn begin(task: &mut Task) -> Result<(), FlowError> {
    power::boot_ramdisk(task, &power::api_parameters(&task.conductor)).await?;
    task.step_to(Event::Wait)
}

/// The steps of servicing.
#[derive(Debug)]
pub struct Servicing;

impl StepFamily for Servicing {
    fn family(&self) -> Family {
        Family::Service
    }

    /// The user's steps in their order.
    fn order(&self, asked: Option<Vec<Step>>, _offered: Vec<Step>, _own: Vec<Step>, _config: &Config) -> Vec<Step> {
        asked.unwrap_or_default()
    }

    fn own_steps(&self, node: &Node) -> Vec<Step> {
        firmware::steps(node)
    }

    fn run_own<'a>(&'a self, task: &'a mut Task, step: &'a Step) -> BoxFuture<'a, Result<Started, FlowError>> {
        Box::pin(firmware::run(task, step))
    }

    /// All steps are done: back to the instance.
    fn finish<'a>(&'a self, task: &'a mut Task) -> BoxFuture<'a, Result<(), FlowError>> {
        Box::pin(async {
            instance::boot(task).await?;
            task.node.internal.plan = None;
            task.step_to(Event::Done)
        })
    }
}
