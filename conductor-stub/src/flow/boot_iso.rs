//! Deploy interface `ramdisk`: the instance is a user's ISO, which the machine boots at every start; no agent, no disk.

use crate::crash;
use crate::files::{self, AllowedFolders};
use crate::flow::error::FlowError;
use crate::flow::image;
use crate::flow::task::Task;
use crate::node::Node;

/// The deploy interface's name.
pub const INTERFACE: &str = "ramdisk";
/// What firmware sees of a published ISO; it goes by the suffix.
const NAME: &str = "instance.iso";

/// Whether the instance of this node is an ISO.
pub fn is_instance(node: &Node) -> bool {
    node.spec.deploy_interface.as_deref() == Some(INTERFACE)
}

fn source(node: &Node) -> Option<&str> {
    image::text(&node.spec.instance_info, "boot_iso")
}

/// Whether `instance_info` names an ISO, and only that.
///
/// # Errors
/// What is missing or too much.
pub fn validate(node: &Node, allowed: &AllowedFolders) -> Result<(), FlowError> {
    let source = source(node)
        .ok_or_else(|| FlowError::Refused("deploy interface ramdisk needs instance_info/boot_iso".into()))?;
    if let Some(file) = files::local(source) {
        allowed.file(&file)?;
    }
    if image::text(&node.spec.instance_info, "image_source").is_some() {
        return Err(FlowError::Refused(
            "instance_info has both boot_iso and image_source: the ramdisk deploy interface writes no image".into(),
        ));
    }
    Ok(())
}

/// Has the machine boot the ISO from now on. A file here is published, a URL is handed on.
///
/// # Errors
/// When the ISO is not there or the machine refuses.
pub async fn prepare(task: &mut Task) -> Result<(), FlowError> {
    let source = source(&task.node).unwrap_or_default();
    let url = match files::local(source) {
        None => {
            image::check_url(source).await?;
            source.to_owned()
        }
        Some(file) => task.conductor.artefacts.publish(task.node.uuid, NAME, &task.conductor.allowed.file(&file)?)?,
    };
    crash::point();
    let (machine, node) = task.machine()?;
    machine.prepare_iso(node, &url).await?;
    crash::point();
    Ok(())
}
