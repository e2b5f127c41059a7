//! available → deploying → wait call-back → active, and back by deleting → cleaning.

use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::config::Config;
use crate::files::AllowedFolders;
use crate::flow::error::FlowError;
use crate::flow::steps::plan::by_priority;
use crate::flow::steps::{self, Started, StepFamily};
use crate::flow::task::Task;
use crate::flow::{allocation, boot_iso, clean, fast_track, firmware, image, instance, power};
use crate::node::{Family, Node, Step};
use crate::state::{Event, PowerState};

/// Whether `instance_info` says what to deploy.
///
/// # Errors
/// Names what is missing.
pub fn validate(node: &Node, allowed: &AllowedFolders) -> Result<(), FlowError> {
    match interface(node) {
        "direct" => image::validate(node, allowed),
        "custom-agent" => Ok(()),
        boot_iso::INTERFACE => boot_iso::validate(node, allowed),
        other => {
            Err(FlowError::Refused(format!("deploy interface {other} is not supported by driver {}", node.spec.driver)))
        }
    }
}

fn interface(node: &Node) -> &str {
    node.spec.deploy_interface.as_deref().unwrap_or("direct")
}

/// Boots the agent, whose first heartbeat starts the steps, or at once what is to run.
///
/// # Errors
/// When the image is not there or the machine cannot be booted.
pub async fn begin(task: &mut Task) -> Result<(), FlowError> {
    if boot_iso::is_instance(&task.node) {
        instance::boot(task).await?;
        task.node.internal.plan = None;
        return task.step_to(Event::Done);
    }
    if interface(&task.node) == "direct" {
        image::prepare(task).await?;
    }
    if fast_track::join(task, &Deployment).await? {
        return Ok(());
    }
    power::boot_ramdisk(task, &power::api_parameters(&task.conductor)).await?;
    task.step_to(Event::Wait)
}

/// The steps of a deployment.
#[derive(Debug)]
pub struct Deployment;

impl StepFamily for Deployment {
    fn family(&self) -> Family {
        Family::Deploy
    }

    /// The user's, the conductor's and the agent's steps, by priority.
    fn order(&self, asked: Option<Vec<Step>>, offered: Vec<Step>, own: Vec<Step>, _config: &Config) -> Vec<Step> {
        let mut steps = asked.unwrap_or_default();
        for step in own.into_iter().chain(offered) {
            if !steps.iter().any(|chosen| chosen.is(&step)) {
                steps.push(step);
            }
        }
        by_priority(steps)
    }

    /// By the node's deploy interface.
    fn own_steps(&self, node: &Node) -> Vec<Step> {
        let mut steps = vec![
            Step::of_conductor("prepare_instance_boot", 60),
            Step::of_conductor("tear_down_agent", 40),
            Step::of_conductor("boot_instance", 20),
        ];
        if interface(node) == "direct" {
            steps.insert(0, Step::of_conductor("write_image", 80));
        }
        steps.extend(firmware::steps(node));
        steps
    }

    fn run_own<'a>(&'a self, task: &'a mut Task, step: &'a Step) -> BoxFuture<'a, Result<Started, FlowError>> {
        Box::pin(async {
            match step.step.as_str() {
                _ if step.interface != "deploy" => return firmware::run(task, step).await,
                "write_image" => return write_image(task).await,
                "prepare_instance_boot" => prepare_instance_boot(task).await?,
                "tear_down_agent" => tear_down_agent(task).await?,
                "boot_instance" => power::set(task, PowerState::On).await?,
                other => return Err(FlowError::Refused(format!("no such deploy step: {other}"))),
            }
            Ok(Started::Done)
        })
    }

    /// The instance runs.
    fn finish<'a>(&'a self, task: &'a mut Task) -> BoxFuture<'a, Result<(), FlowError>> {
        Box::pin(async {
            task.node.internal.plan = None;
            power::withdraw(task)?;
            task.step_to(Event::Done)
        })
    }
}

async fn write_image(task: &mut Task) -> Result<Started, FlowError> {
    let (image_info, configdrive) = image::info(&task.node)?;
    let mut args = json!({"image_info": image_info});
    if let Some(drive) = configdrive {
        args["image_info"]["configdrive"] = drive.clone();
        args["configdrive"] = drive;
    }
    let step = json!({"interface": "deploy", "step": "write_image", "args": args});
    steps::execute(task, Family::Deploy, step).await
}

/// The written disk is to boot: the agent makes its boot entry, the machine boots it next.
async fn prepare_instance_boot(task: &mut Task) -> Result<(), FlowError> {
    if interface(&task.node) == "direct" {
        let agent = task.agent()?;
        let uuids = agent.command("standby.get_partition_uuids", json!({}), true).await?.succeeded()?.result;
        let mode = task.node.capability("boot_mode").unwrap_or_else(|| "uefi".into());
        // A whole-disk image on a BIOS machine brings its own boot code; without firmware there is nobody to tell.
        if mode == "uefi" && task.driver()?.is_machine() {
            let params = json!({
                "root_uuid": uuids.get("root uuid"),
                "efi_system_part_uuid": uuids.get("efi system partition uuid"),
                "prep_boot_part_uuid": null,
                "target_boot_mode": mode,
            });
            let config = &task.conductor.config;
            let pause = Duration::from_secs_f64(config.command_wait_interval_seconds);
            agent.command_to_end("image.install_bootloader", params, pause, config.command_wait_attempts).await?;
        }
    }
    power::boot_disk(task).await?;
    Ok(task.save()?)
}

/// Has everything written out and the machine off: by the agent itself where there is a machine, else by force.
async fn tear_down_agent(task: &mut Task) -> Result<(), FlowError> {
    if task.node.internal.agent_url.is_none() {
        // It was switched off already, by a conductor that wrote no more than that.
        return power::set(task, PowerState::Off).await;
    }
    let info = &task.node.spec.driver_info;
    let forced = info.get("deploy_forces_oob_reboot").and_then(Value::as_bool).unwrap_or_default();
    let agent = task.agent()?;
    if forced || !task.driver()?.is_machine() {
        agent.command("standby.sync", json!({}), true).await?.succeeded()?;
    } else {
        if let Err(error) = agent.command("standby.power_off", json!({}), false).await {
            tracing::warn!(node = %task.node.label(), "{error}");
        }
        let pause = Duration::from_secs_f64(task.conductor.config.power_off_wait_seconds / 7.0);
        for _ in 0..7 {
            if power::state(task).await? == PowerState::Off {
                break;
            }
            tokio::time::sleep(pause).await;
        }
    }
    power::set(task, PowerState::Off).await
}

/// Takes the instance away and cleans.
///
/// # Errors
/// When the machine cannot be switched.
pub async fn undo(task: &mut Task) -> Result<(), FlowError> {
    power::tear_down(task).await?;
    allocation::end(task)?;
    task.node.spec.instance_info.clear();
    task.node.spec.instance_uuid = None;
    task.node.internal.plan = None;
    task.step_to(Event::Clean)?;
    clean::begin(task).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_mixes_its_own_steps_with_the_users() {
        let burnin = Step { conductor: false, ..Step::of_conductor("burnin_cpu", 0) };
        let asked = vec![Step { priority: 85, ..burnin.clone() }];
        let own = vec![Step::of_conductor("write_image", 80), Step::of_conductor("boot_instance", 20)];
        let steps = Deployment.order(Some(asked), vec![burnin], own, &Config::default());
        let names: Vec<&str> = steps.iter().map(|step| step.step.as_str()).collect();
        assert_eq!(names, ["burnin_cpu", "write_image", "boot_instance"]);
    }
}
