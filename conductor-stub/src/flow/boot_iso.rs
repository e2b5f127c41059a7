//! Deploy interface `ramdisk`: the instance is a user's ISO, which the machine boots at every start; no agent, no disk.

use std::path::Path;
use std::sync::Arc;

use ferric_ignition::archive::Archive;
use ferric_ignition::customization::Customization;
use ferric_ignition::kernel_arguments::KernelArgument;
use ferric_ignition::user_config::UserConfig;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::clock;
use crate::crash;
use crate::files::AllowedFolders;
use crate::flow::error::FlowError;
use crate::flow::task::Task;
use crate::flow::{configdrive, image, power};
use crate::media::source::Source;
use crate::media::{Making, Medium, Wanted, iso};
use crate::node::{Node, flag};
use crate::ramdisk::RamdiskError;

/// The deploy interface's name.
pub const INTERFACE: &str = "ramdisk";
/// What firmware sees of a published ISO; it goes by the suffix.
const NAME: &str = "instance.iso";
/// Whether the ISO is had here, or its URL handed on to the BMC or the firmware (Ironic's key).
const DOWNLOAD_SOURCE: &str = "ramdisk_image_download_source";
/// Kernel arguments, by the proposals' key and by Ironic's.
const ARGUMENTS: [&str; 2] = ["kernel_append_params", "ramdisk_kernel_arguments"];
/// After how many seconds the media are taken away.
const DETACH_AFTER: &str = "boot_iso_detach_after";
/// What a BMC sees of a config drive.
const DRIVE: &str = "configdrive.img";
/// Whether the ISO goes from here as soon as no machine boots it.
const ONE_SHOT: &str = "boot_iso_one_shot";

/// Whether the instance of this node is an ISO.
pub fn is_instance(node: &Node) -> bool {
    node.spec.deploy_interface.as_deref() == Some(INTERFACE)
}

fn source(node: &Node) -> Option<&str> {
    image::text(&node.spec.instance_info, "boot_iso")
}

/// What the instance is to be.
#[derive(Debug)]
struct Instance {
    iso: Wanted,
    /// Whether the conductor hands its URL on.
    is_handed_on: bool,
    /// Kernel arguments.
    arguments: Vec<KernelArgument>,
    /// After how long the media go.
    detach_after: Option<f64>,
}

/// What `instance_info` says of it; nothing without an ISO.
fn instance(node: &Node) -> Result<Option<Instance>, FlowError> {
    let Some(source) = source(node) else { return Ok(None) };
    let info = &node.spec.instance_info;
    let refused = |key: &str, problem: String| FlowError::Refused(format!("instance_info/{key}: {problem}"));
    let mut iso = Wanted::new(source, image::text(info, "boot_iso_checksum"))
        .map_err(|error| refused("boot_iso", error.to_string()))?;
    if let Some(value) = info.get(ONE_SHOT).filter(|value| !value.is_null()) {
        iso.one_shot = flag::read(value).map_err(|error| refused(ONE_SHOT, error.to_string()))?;
    }
    let is_handed_on = match image::text(info, DOWNLOAD_SOURCE).unwrap_or("local") {
        "local" => false,
        "http" => matches!(iso.source, Source::Url(_)),
        other => return Err(refused(DOWNLOAD_SOURCE, format!("{other}: must be local or http"))),
    };
    let mut arguments = Vec::new();
    for key in ARGUMENTS {
        for word in
            image::text(info, key).unwrap_or_default().split(' ').filter(|word| !["", "%default%"].contains(word))
        {
            let argument = word.parse::<KernelArgument>().map_err(|error| refused(key, error.to_string()))?;
            arguments.push(argument);
        }
    }
    if is_handed_on && (!arguments.is_empty() || drive(node).is_some()) {
        return Err(refused(DOWNLOAD_SOURCE, "kernel arguments and a config drive need local".into()));
    }
    let detach_after = match info.get(DETACH_AFTER).filter(|value| !value.is_null()) {
        None => None,
        Some(value) => {
            let seconds = value.as_f64().or_else(|| value.as_str()?.parse().ok()).filter(|seconds| *seconds >= 0.0);
            Some(seconds.ok_or_else(|| refused(DETACH_AFTER, format!("{value}: must be seconds")))?)
        }
    };
    Ok(Some(Instance { iso, is_handed_on, arguments, detach_after }))
}

fn drive(node: &Node) -> Option<&Value> {
    node.spec.instance_info.get("configdrive").filter(|drive| !drive.is_null() && **drive != "")
}

/// User data that are an Ignition config.
fn ignition(node: &Node) -> Result<Option<Vec<u8>>, FlowError> {
    let Some(data) = drive(node).and_then(|drive| drive.get("user_data")) else { return Ok(None) };
    let parsed = data.as_str().and_then(|text| serde_json::from_str(text).ok());
    if parsed.as_ref().unwrap_or(data).get("ignition").is_none() {
        return Ok(None);
    }
    let config = UserConfig::read(data, None)
        .map_err(|error| FlowError::Refused(format!("user_data of the config drive: {error}")))?;
    Ok(Some(config.document().to_string().into_bytes()))
}

/// Whether `instance_info` names an ISO, and only that.
///
/// # Errors
/// What is missing or too much.
pub fn validate(node: &Node, allowed: &AllowedFolders) -> Result<(), FlowError> {
    let instance = instance(node)?
        .ok_or_else(|| FlowError::Refused("deploy interface ramdisk needs instance_info/boot_iso".into()))?;
    if let Source::File(file) = &instance.iso.source {
        allowed.file(file)?;
    }
    if image::text(&node.spec.instance_info, "image_source").is_some() {
        return Err(FlowError::Refused(
            "instance_info has both boot_iso and image_source: the ramdisk deploy interface writes no image".into(),
        ));
    }
    Ok(())
}

/// Has the machine boot the ISO from now on. It is had here and published, unless its URL is to be handed on.
///
/// # Errors
/// When the ISO is not there, cannot be told what it is to be told, or the machine refuses.
pub async fn prepare(task: &mut Task) -> Result<(), FlowError> {
    let instance = instance(&task.node)?.ok_or_else(|| FlowError::Refused("instance_info has no boot_iso".into()))?;
    let hints = [&task.node.spec.instance_info, &task.node.spec.properties];
    if hints.iter().any(|object| object.get("root_device").is_some_and(|hints| !hints.is_null())) {
        task.note("boot", "root device hints are ignored: an ISO is booted, and no disk is written", &Value::Null);
    }
    let url = match &instance.iso.source {
        Source::Url(url) if instance.is_handed_on => {
            image::check_url(url.as_str()).await?;
            url.to_string()
        }
        _ => publish(task, &instance).await?,
    };
    crash::point();
    let (machine, node) = task.machine()?;
    machine.prepare_iso(node, &url).await?;
    crash::point();
    task.node.internal.detach_at = instance.detach_after.map(|seconds| clock::seconds() + seconds);
    Ok(())
}

/// Publishes the ISO with what this machine is told by it: kernel arguments, and the config drive, in the Ignition area, in a
/// second medium, or in a partition.
async fn publish(task: &mut Task, instance: &Instance) -> Result<String, FlowError> {
    let medium = task.conductor.media.get(&instance.iso).await?;
    iso::check(&medium.path).map_err(|error| FlowError::Refused(error.to_string()))?;
    let ramdisks = Arc::clone(&task.conductor.ramdisks);
    let refused = |error: RamdiskError| FlowError::Refused(error.to_string());
    let has_areas = ramdisks.has_areas(&medium).await.map_err(refused)?;
    let mut files = Archive::default();
    let mut left = drive(&task.node).cloned();
    if has_areas && let Some(config) = ignition(&task.node)? {
        files.insert(Customization::CONFIG, config);
        left = None;
    }
    let mut partition = None;
    if let Some(drive) = left {
        let stick = config_drive(task, &drive).await?;
        let url = task.conductor.artefacts.publish(task.node.uuid, DRIVE, &stick.path)?;
        let (machine, node) = task.machine()?;
        if !machine.insert_stick(node, &url).await? {
            task.conductor.artefacts.withdraw(task.node.uuid, DRIVE)?;
            partition = Some(stick);
        }
    }
    if instance.arguments.is_empty() && files.is_empty() && partition.is_none() {
        return Ok(task.conductor.artefacts.publish(task.node.uuid, NAME, &medium.path)?);
    }
    let base = match partition {
        Some(_) if has_areas => {
            return Err(FlowError::Refused(
                "the machine has no virtual USB stick for the config drive, and this ISO takes only an Ignition config as user data".into(),
            ));
        }
        Some(drive) => ramdisks.repacked(&medium, Some(&drive)).await.map_err(refused)?,
        None => ramdisks.with_room(medium).await.map_err(refused)?,
    };
    if let Some(reason) = base.refusal().filter(|_| !instance.arguments.is_empty()) {
        return Err(FlowError::Refused(format!("kernel_append_params: {reason}")));
    }
    let published = ramdisks.publish(task.node.uuid, NAME, base, instance.arguments.clone(), files);
    published.await.map_err(refused)
}

/// The config drive as a file, which goes with the instance.
async fn config_drive(task: &Task, drive: &Value) -> Result<Medium, FlowError> {
    let image = configdrive::image(drive, task.node.uuid).await?;
    let origin = format!("config drive of {} ({})", task.node.uuid, hex::encode(&Sha256::digest(&image)[..8]));
    let making = Making { origin, bytes: image.len() as u64, one_shot: true };
    let make = move |part: &Path| {
        std::fs::write(part, image).map_err(|error| format!("{}: {error}", part.display()))?;
        Ok(Value::Null)
    };
    Ok(task.conductor.media.make(making, make).await?)
}

/// Takes the media of the running instance away; what the machine starts next is its disk.
///
/// # Errors
/// When the machine refuses.
pub async fn take_away(task: &mut Task) -> Result<(), FlowError> {
    // Once, whatever comes of it: the reason is in `last_error`.
    task.node.internal.detach_at = None;
    task.save()?;
    power::boot_disk(task).await?;
    power::withdraw(task)
}
