//! available → deploying → wait call-back → active, and back by deleting → cleaning.

use std::time::Duration;

use serde_json::{Value, json};

use super::steps::{self, Kind, Started, Step};
use crate::conductor::Conductor;
use crate::flow::{FlowError, boot_iso, clean, image, power};
use crate::node::Node;
use crate::state::{Event, PowerState};

/// Whether `instance_info` says what to deploy.
///
/// # Errors
/// Names what is missing.
pub fn validate(node: &Node) -> Result<(), FlowError> {
    match interface(node) {
        "direct" => image::validate(node),
        "custom-agent" => Ok(()),
        boot_iso::INTERFACE => boot_iso::validate(node),
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
pub async fn begin(conductor: &Conductor, node: &mut Node) -> Result<(), FlowError> {
    if boot_iso::is_instance(node) {
        return boot_iso::begin(conductor, node).await;
    }
    if interface(node) == "direct" {
        image::prepare(conductor, node).await?;
    }
    power::boot_ramdisk(conductor, node, &power::api_parameters(conductor)).await?;
    Ok(conductor.step_to(node, Event::Wait)?)
}

/// The conductor's own part of the plan, by the node's deploy interface.
pub fn own_steps(node: &Node) -> Vec<Step> {
    let mut steps =
        vec![Step::own("prepare_instance_boot", 60), Step::own("tear_down_agent", 40), Step::own("boot_instance", 20)];
    if interface(node) == "direct" {
        steps.insert(0, Step::own("write_image", 80));
    }
    steps
}

/// Does one of [`own_steps`].
///
/// # Errors
/// When the agent or the machine refuses.
pub async fn run_own(conductor: &Conductor, node: &mut Node, step: &Value) -> Result<Started, FlowError> {
    match step.get("step").and_then(Value::as_str).unwrap_or_default() {
        "write_image" => {
            let (image_info, configdrive) = image::info(node)?;
            let mut args = json!({"image_info": image_info});
            if let Some(drive) = configdrive {
                args["image_info"]["configdrive"] = drive.clone();
                args["configdrive"] = drive;
            }
            let step = json!({"interface": "deploy", "step": "write_image", "args": args});
            steps::execute(conductor, node, Kind::Deploy, step).await
        }
        "prepare_instance_boot" => {
            prepare_instance_boot(conductor, node).await?;
            Ok(Started::Done)
        }
        "tear_down_agent" => {
            tear_down_agent(conductor, node).await?;
            Ok(Started::Done)
        }
        "boot_instance" => {
            power::set(conductor, node, PowerState::On).await?;
            Ok(Started::Done)
        }
        other => Err(FlowError::Refused(format!("no such deploy step: {other}"))),
    }
}

/// The written disk is to boot: the agent makes its boot entry, the machine boots it next.
async fn prepare_instance_boot(conductor: &Conductor, node: &mut Node) -> Result<(), FlowError> {
    let driver = conductor.driver(node)?;
    if interface(node) == "direct" {
        let agent = conductor.agent(node)?;
        let uuids = agent.command("standby.get_partition_uuids", json!({}), true).await?.succeeded()?.result;
        let mode = node.capability("boot_mode").unwrap_or_else(|| "uefi".into());
        // A whole-disk image on a BIOS machine brings its own boot code; without firmware there is nobody to tell.
        if mode == "uefi" && driver.is_machine() {
            let params = json!({
                "root_uuid": uuids.get("root uuid"),
                "efi_system_part_uuid": uuids.get("efi system partition uuid"),
                "prep_boot_part_uuid": null,
                "target_boot_mode": mode,
            });
            let pause = Duration::from_secs_f64(conductor.config.command_wait_interval_seconds);
            agent
                .command_to_end("image.install_bootloader", params, pause, conductor.config.command_wait_attempts)
                .await?;
        }
    }
    driver.prepare_instance(conductor, node).await?;
    Ok(conductor.save(node)?)
}

/// Has everything written out and the machine off: by the agent itself where there is a machine, else by force.
async fn tear_down_agent(conductor: &Conductor, node: &mut Node) -> Result<(), FlowError> {
    let driver = conductor.driver(node)?;
    let forced = node.spec.driver_info.get("deploy_forces_oob_reboot").and_then(Value::as_bool).unwrap_or_default();
    let agent = conductor.agent(node)?;
    if forced || !driver.is_machine() {
        agent.command("standby.sync", json!({}), true).await?.succeeded()?;
    } else {
        if let Err(error) = agent.command("standby.power_off", json!({}), false).await {
            tracing::warn!(node = %node.label(), "{error}");
        }
        let pause = Duration::from_secs_f64(conductor.config.power_off_wait_seconds / 7.0);
        for _ in 0..7 {
            if driver.power_state(node).await? == PowerState::Off {
                break;
            }
            tokio::time::sleep(pause).await;
        }
    }
    power::set(conductor, node, PowerState::Off).await
}

/// The instance runs.
///
/// # Errors
/// When the database refuses.
pub fn finish(conductor: &Conductor, node: &mut Node) -> Result<(), FlowError> {
    steps::forget(node);
    conductor.store.delete_artefacts(node.uuid)?;
    Ok(conductor.step_to(node, Event::Done)?)
}

/// Switches the machine off and on again with its instance: after the agent was there.
///
/// # Errors
/// When the machine cannot be switched.
pub async fn boot_instance(conductor: &Conductor, node: &mut Node) -> Result<(), FlowError> {
    power::tear_down(conductor, node).await?;
    if boot_iso::is_instance(node) {
        boot_iso::prepare(conductor, node).await?;
    }
    power::set(conductor, node, PowerState::On).await
}

/// Takes the instance away and cleans.
///
/// # Errors
/// When the machine cannot be switched.
pub async fn undo(conductor: &Conductor, node: &mut Node) -> Result<(), FlowError> {
    power::tear_down(conductor, node).await?;
    conductor.store.delete_artefacts(node.uuid)?;
    node.spec.instance_info.clear();
    node.spec.instance_uuid = None;
    steps::forget(node);
    conductor.step_to(node, Event::Clean)?;
    clean::begin(conductor, node).await
}
