//! Deploy interface `ramdisk`: the instance is a user's ISO, which the machine boots at every start; no agent, no disk.

use crate::crash;
use crate::files::AllowedFolders;
use crate::flow::error::FlowError;
use crate::flow::image;
use crate::flow::task::Task;
use crate::media::source::Source;
use crate::media::{Wanted, iso};
use crate::node::{Node, flag};

/// The deploy interface's name.
pub const INTERFACE: &str = "ramdisk";
/// What firmware sees of a published ISO; it goes by the suffix.
const NAME: &str = "instance.iso";
/// Whether the ISO is had here, or its URL handed on to the BMC or the firmware (Ironic's key).
const DOWNLOAD_SOURCE: &str = "ramdisk_image_download_source";
/// Whether the ISO goes from here as soon as no machine boots it.
const ONE_SHOT: &str = "boot_iso_one_shot";

/// Whether the instance of this node is an ISO.
pub fn is_instance(node: &Node) -> bool {
    node.spec.deploy_interface.as_deref() == Some(INTERFACE)
}

fn source(node: &Node) -> Option<&str> {
    image::text(&node.spec.instance_info, "boot_iso")
}

/// Where the ISO comes from, and whether the conductor hands its URL on.
fn wanted(node: &Node) -> Result<Option<(Wanted, bool)>, FlowError> {
    let Some(source) = source(node) else { return Ok(None) };
    let info = &node.spec.instance_info;
    let refused = |key: &str, problem: String| FlowError::Refused(format!("instance_info/{key}: {problem}"));
    let mut wanted = Wanted::new(source, image::text(info, "boot_iso_checksum"))
        .map_err(|error| refused("boot_iso", error.to_string()))?;
    if let Some(value) = info.get(ONE_SHOT).filter(|value| !value.is_null()) {
        wanted.one_shot = flag::read(value).map_err(|error| refused(ONE_SHOT, error.to_string()))?;
    }
    let is_handed_on = match image::text(info, DOWNLOAD_SOURCE).unwrap_or("local") {
        "local" => false,
        "http" => matches!(wanted.source, Source::Url(_)),
        other => return Err(refused(DOWNLOAD_SOURCE, format!("{other}: must be local or http"))),
    };
    Ok(Some((wanted, is_handed_on)))
}

/// Whether `instance_info` names an ISO, and only that.
///
/// # Errors
/// What is missing or too much.
pub fn validate(node: &Node, allowed: &AllowedFolders) -> Result<(), FlowError> {
    let (wanted, _) = wanted(node)?
        .ok_or_else(|| FlowError::Refused("deploy interface ramdisk needs instance_info/boot_iso".into()))?;
    if let Source::File(file) = &wanted.source {
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
/// When the ISO is not there or the machine refuses.
pub async fn prepare(task: &mut Task) -> Result<(), FlowError> {
    let (wanted, is_handed_on) =
        wanted(&task.node)?.ok_or_else(|| FlowError::Refused("instance_info has no boot_iso".into()))?;
    let url = match &wanted.source {
        Source::Url(url) if is_handed_on => {
            image::check_url(url.as_str()).await?;
            url.to_string()
        }
        _ => {
            let medium = task.conductor.media.get(&wanted).await?;
            iso::check(&medium.path).map_err(|error| FlowError::Refused(error.to_string()))?;
            task.conductor.artefacts.publish(task.node.uuid, NAME, &medium.path)?
        }
    };
    crash::point();
    let (machine, node) = task.machine()?;
    machine.prepare_iso(node, &url).await?;
    crash::point();
    Ok(())
}
