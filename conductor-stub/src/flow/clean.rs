//! → cleaning → clean wait → available (automated) or manageable (manual).

use futures_util::future::BoxFuture;

use crate::config::Config;
use crate::flow::error::FlowError;
use crate::flow::steps::plan::by_priority;
use crate::flow::steps::{Started, StepFamily};
use crate::flow::task::Task;
use crate::flow::{fast_track, firmware, power};
use crate::node::{Family, Node, Step};
use crate::state::{Event, ProvisionState};

/// Boots the agent; its first heartbeat starts the steps.
///
/// # Errors
/// When the machine cannot be booted.
pub async fn begin(task: &mut Task) -> Result<(), FlowError> {
    if !is_manual(&task.node) && !task.node.spec.automated_clean.unwrap_or(task.conductor.config.automated_clean) {
        return task.step_to(Event::Done);
    }
    if fast_track::join(task, &Cleaning).await? {
        return Ok(());
    }
    power::boot_ramdisk(task, &power::api_parameters(&task.conductor)).await?;
    task.step_to(Event::Wait)
}

fn is_manual(node: &Node) -> bool {
    node.target_provision_state == Some(ProvisionState::Manageable)
}

/// The steps of cleaning.
#[derive(Debug)]
pub struct Cleaning;

impl StepFamily for Cleaning {
    fn family(&self) -> Family {
        Family::Clean
    }

    /// The user's steps in their order, or all that the agent offers by priority.
    fn order(&self, asked: Option<Vec<Step>>, offered: Vec<Step>, _own: Vec<Step>, config: &Config) -> Vec<Step> {
        let mut steps = asked.unwrap_or_else(|| {
            let priority = |step: &Step| match step.step.as_str() {
                "erase_devices" => config.erase_devices_priority,
                "erase_devices_metadata" => config.erase_devices_metadata_priority,
                _ => None,
            };
            let overridden = |step: Step| Step { priority: priority(&step).unwrap_or(step.priority), ..step };
            by_priority(offered.into_iter().map(overridden).collect())
        });
        for step in &mut steps {
            step.more.insert("requires_ramdisk".into(), true.into());
        }
        steps
    }

    fn own_steps(&self, node: &Node) -> Vec<Step> {
        firmware::steps(node)
    }

    fn run_own<'a>(&'a self, task: &'a mut Task, step: &'a Step) -> BoxFuture<'a, Result<Started, FlowError>> {
        Box::pin(firmware::run(task, step))
    }

    /// All steps are done: switches off, unless the ramdisk may stay.
    fn finish<'a>(&'a self, task: &'a mut Task) -> BoxFuture<'a, Result<(), FlowError>> {
        Box::pin(async {
            fast_track::rest(task).await?;
            task.node.internal.plan = None;
            // Who retires a machine does not want it handed out again.
            let stays = is_manual(&task.node) || task.node.spec.retired;
            task.step_to(if stays { Event::Manage } else { Event::Done })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(step: &str, priority: i64) -> Step {
        Step { conductor: false, ..Step::of_conductor(step, priority) }
    }

    #[test]
    fn automated_cleaning_runs_by_priority_and_leaves_out_zero() {
        let offered = [offered("erase_devices", 10), offered("erase_devices_metadata", 99), offered("burnin_cpu", 0)];
        let plan = |config: &Config| Cleaning.order(None, offered.to_vec(), Vec::new(), config);
        let names = |steps: &[Step]| steps.iter().map(|step| step.step.clone()).collect::<Vec<_>>();
        assert_eq!(names(&plan(&Config::default())), ["erase_devices_metadata", "erase_devices"]);
        let steps = plan(&Config { erase_devices_priority: Some(0), ..Config::default() });
        assert_eq!(names(&steps), ["erase_devices_metadata"]);
        assert_eq!(steps[0].more["requires_ramdisk"], true);
    }
}
