//! Deploy interface `ramdisk`: the instance is a user's ISO, or kernel and initramfs, which the machine boots at every start; no
//! agent, no disk.

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
use crate::media::iso::{self, Content, NotBootable};
use crate::media::source::Source;
use crate::media::{Making, Medium, Wanted};
use crate::node::{Node, flag};
use crate::ramdisk::RamdiskError;
use crate::ramdisk::sources::Linux;
use crate::state::PowerState;

/// The deploy interface's name.
pub const INTERFACE: &str = "ramdisk";
/// What firmware sees of a published ISO; it goes by the suffix.
const NAME: &str = "instance.iso";
/// Whether the ISO is had here, or its URL handed on to the BMC or the firmware (Ironic's key).
const DOWNLOAD_SOURCE: &str = "ramdisk_image_download_source";
/// Kernel arguments, by the proposals' key and by Ironic's.
const ARGUMENTS: [&str; 2] = ["kernel_append_params", "ramdisk_kernel_arguments"];
/// When the media are taken away: after so many seconds, or [`POWER_OFF`].
const DETACH_AFTER: &str = "boot_iso_detach_after";
/// As soon as the machine is off for the first time.
const POWER_OFF: &str = "power off";
/// What a BMC sees of a config drive.
const DRIVE: &str = "configdrive.img";
/// Whether the ISO goes from here as soon as no machine boots it.
const ONE_SHOT: &str = "boot_iso_one_shot";

/// Whether the instance of this node is an ISO.
pub fn is_instance(node: &Node) -> bool {
    node.spec.deploy_interface.as_deref() == Some(INTERFACE)
}

/// What the instance is to be.
#[derive(Debug)]
struct Instance {
    system: System,
    /// Kernel arguments.
    arguments: Vec<KernelArgument>,
    /// When the media go.
    detach: Option<Detach>,
}

/// What boots.
#[derive(Debug)]
enum System {
    Iso {
        iso: Wanted,
        /// Whether the conductor hands its URL on.
        is_handed_on: bool,
    },
    Kernel {
        kernel: Wanted,
        initramfs: Wanted,
    },
}

impl System {
    fn files(&self) -> Vec<&Wanted> {
        match self {
            Self::Iso { iso, .. } => vec![iso],
            Self::Kernel { kernel, initramfs } => vec![kernel, initramfs],
        }
    }
}

/// When the media of an instance go.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Detach {
    /// So many seconds after the start.
    After(f64),
    /// When the machine is off.
    PowerOff,
}

fn refused(key: &str, problem: &dyn std::fmt::Display) -> FlowError {
    FlowError::Refused(format!("instance_info/{key}: {problem}"))
}

/// A file that `instance_info` names, and what it must be.
fn named(node: &Node, key: &str) -> Result<Option<Wanted>, FlowError> {
    let info = &node.spec.instance_info;
    let Some(source) = image::text(info, key) else { return Ok(None) };
    let wanted = Wanted::new(source, image::text(info, &format!("{key}_checksum")));
    wanted.map(Some).map_err(|error| refused(key, &error))
}

fn system(node: &Node) -> Result<System, FlowError> {
    let info = &node.spec.instance_info;
    match (named(node, "boot_iso")?, named(node, "kernel")?, named(node, "ramdisk")?) {
        (Some(mut iso), None, None) => {
            if let Some(value) = info.get(ONE_SHOT).filter(|value| !value.is_null()) {
                iso.one_shot = flag::read(value).map_err(|error| refused(ONE_SHOT, &error))?;
            }
            let is_handed_on = match image::text(info, DOWNLOAD_SOURCE).unwrap_or("local") {
                "local" => false,
                "http" => matches!(iso.source, Source::Url(_)),
                other => return Err(refused(DOWNLOAD_SOURCE, &format_args!("{other}: must be local or http"))),
            };
            Ok(System::Iso { iso, is_handed_on })
        }
        (None, Some(kernel), Some(initramfs)) => Ok(System::Kernel { kernel, initramfs }),
        (None, None, None) => Err(FlowError::Refused(
            "deploy interface ramdisk needs instance_info/boot_iso, or instance_info/kernel and ramdisk".into(),
        )),
        (Some(_), _, _) => Err(refused("boot_iso", &"kernel and ramdisk are another system")),
        (None, _, _) => Err(refused("kernel", &"kernel and ramdisk are needed together")),
    }
}

fn instance(node: &Node) -> Result<Instance, FlowError> {
    let (info, system) = (&node.spec.instance_info, system(node)?);
    let mut arguments = Vec::new();
    for key in ARGUMENTS {
        for word in
            image::text(info, key).unwrap_or_default().split(' ').filter(|word| !["", "%default%"].contains(word))
        {
            let argument = word.parse::<KernelArgument>().map_err(|error| refused(key, &error))?;
            arguments.push(argument);
        }
    }
    let is_handed_on = matches!(system, System::Iso { is_handed_on: true, .. });
    if is_handed_on && (!arguments.is_empty() || drive(node).is_some()) {
        return Err(refused(DOWNLOAD_SOURCE, &"kernel arguments and a config drive need local"));
    }
    let detach = match info.get(DETACH_AFTER).filter(|value| !value.is_null()) {
        None => None,
        Some(value) if *value == POWER_OFF => Some(Detach::PowerOff),
        Some(value) => {
            let seconds = value.as_f64().or_else(|| value.as_str()?.parse().ok()).filter(|seconds| *seconds >= 0.0);
            let wrong = || refused(DETACH_AFTER, &format_args!("{value}: must be seconds, or \"{POWER_OFF}\""));
            Some(Detach::After(seconds.ok_or_else(wrong)?))
        }
    };
    Ok(Instance { system, arguments, detach })
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

/// Whether `instance_info` names a system to boot, and only that.
///
/// # Errors
/// What is missing or too much.
pub fn validate(node: &Node, allowed: &AllowedFolders) -> Result<(), FlowError> {
    for wanted in instance(node)?.system.files() {
        if let Source::File(file) = &wanted.source {
            allowed.file(file)?;
        }
    }
    if image::text(&node.spec.instance_info, "image_source").is_some() {
        return Err(FlowError::Refused(
            "instance_info has both boot_iso and image_source: the ramdisk deploy interface writes no image".into(),
        ));
    }
    Ok(())
}

/// Has the machine boot its system from now on. It is had here and published, unless the URL of an ISO is to be handed on.
///
/// # Errors
/// When the system is not there, cannot be told what it is to be told, or the machine refuses.
pub async fn prepare(task: &mut Task) -> Result<(), FlowError> {
    let Instance { system, arguments, detach } = instance(&task.node)?;
    let hints = [&task.node.spec.instance_info, &task.node.spec.properties];
    if hints.iter().any(|object| object.get("root_device").is_some_and(|hints| !hints.is_null())) {
        task.note("boot", "root device hints are ignored: no disk is written", &Value::Null);
    }
    match system {
        System::Iso { iso, is_handed_on } => {
            let url = match &iso.source {
                Source::Url(url) if is_handed_on => {
                    image::check_url(url.as_str()).await?;
                    url.to_string()
                }
                _ => publish(task, &iso, arguments).await?,
            };
            crash::point();
            let (machine, node) = task.machine()?;
            machine.prepare_iso(node, &url).await?;
        }
        System::Kernel { kernel, initramfs } => {
            if let Some(drive) = drive(&task.node).cloned()
                && insert(task, &drive).await?.is_some()
            {
                return Err(FlowError::Refused("the machine has no virtual USB stick for the config drive".into()));
            }
            crash::point();
            let (machine, node) = task.machine()?;
            machine.prepare_kernel(node, &Linux { kernel, initramfs, arguments }).await?;
        }
    }
    crash::point();
    let internal = &mut task.node.internal;
    internal.detach_when_off = detach == Some(Detach::PowerOff);
    internal.detach_at = detach.map(|detach| match detach {
        Detach::After(seconds) => clock::seconds() + seconds,
        // It is looked every time that waiting nodes are looked after.
        Detach::PowerOff => clock::seconds(),
    });
    Ok(())
}

/// Publishes the ISO with what this machine is told by it: kernel arguments, and the config drive, in the Ignition area, in a
/// second medium, or in a partition.
async fn publish(task: &mut Task, iso: &Wanted, arguments: Vec<KernelArgument>) -> Result<String, FlowError> {
    let medium = task.conductor.media.get(iso).await?;
    let no_iso = |error: NotBootable| FlowError::Refused(error.to_string());
    let content = iso::check(&medium.path).map_err(no_iso)?;
    match &iso.source {
        // Of a download, zeroes are what did not come.
        Source::Url(_) => content.written(&medium.path).map_err(no_iso)?,
        Source::File(_) if content == Content::Blank => {
            task.note("boot", "boot_iso is blank: it is inserted as it is, and nothing starts from it", &Value::Null);
        }
        Source::File(_) => {}
    }
    let ramdisks = Arc::clone(&task.conductor.ramdisks);
    let refused = |error: RamdiskError| FlowError::Refused(error.to_string());
    let has_areas = ramdisks.sources.has_areas(&medium).await.map_err(refused)?;
    let mut files = Archive::default();
    let mut left = drive(&task.node).cloned();
    if has_areas && let Some(config) = ignition(&task.node)? {
        files.insert(Customization::CONFIG, config);
        left = None;
    }
    let partition = match left {
        Some(drive) => insert(task, &drive).await?,
        None => None,
    };
    if arguments.is_empty() && files.is_empty() && partition.is_none() {
        return Ok(task.conductor.artefacts.publish(task.node.uuid, NAME, &medium.path)?);
    }
    let base = match partition {
        Some(_) if has_areas => {
            return Err(FlowError::Refused(
                "the machine has no virtual USB stick for the config drive, and this ISO takes only an Ignition config as user data".into(),
            ));
        }
        Some(drive) => ramdisks.sources.repacked(&medium, Some(&drive)).await.map_err(refused)?,
        None => ramdisks.sources.with_room(medium).await.map_err(refused)?,
    };
    if let Some(reason) = base.refusal().filter(|_| !arguments.is_empty()) {
        return Err(FlowError::Refused(format!("kernel_append_params: {reason}")));
    }
    let published = ramdisks.publish(task.node.uuid, NAME, base, arguments, files);
    published.await.map_err(refused)
}

/// Has the config drive in a virtual USB stick; it is returned where the machine has none.
async fn insert(task: &mut Task, drive: &Value) -> Result<Option<Medium>, FlowError> {
    let stick = config_drive(task, drive).await?;
    let url = task.conductor.artefacts.publish(task.node.uuid, DRIVE, &stick.path)?;
    let (machine, node) = task.machine()?;
    if machine.insert_stick(node, &url).await? {
        return Ok(None);
    }
    task.conductor.artefacts.withdraw(task.node.uuid, DRIVE)?;
    Ok(Some(stick))
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

/// Takes the media of the running instance away; what the machine starts next is its disk. Where they are to go when the machine
/// is off, one that is on is looked at again later.
///
/// # Errors
/// When the machine refuses.
pub async fn take_away(task: &mut Task) -> Result<(), FlowError> {
    if task.node.internal.detach_when_off {
        // A BMC that does not answer now may do so the next time.
        let is_off = power::state(task).await.is_ok_and(|state| state == PowerState::Off);
        if !is_off {
            return Ok(());
        }
        task.node.internal.detach_when_off = false;
    }
    // Once, whatever comes of it: the reason is in `last_error`.
    task.node.internal.detach_at = None;
    task.save()?;
    power::boot_disk(task).await?;
    power::withdraw(task)
}
