//! What a node boots: what it names, else what the configuration names.

use serde_json::Value;

use super::error::RamdiskError;
use super::file::Form;
use crate::media::Wanted;
use crate::node::Node;

/// A file that is named, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// Which.
    pub(super) wanted: Wanted,
    /// By the configuration, which may name any file of this host.
    pub(super) configured: bool,
}

/// A kernel and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    /// The kernel.
    pub(super) kernel: Named,
    /// Its initramfs.
    pub(super) initramfs: Named,
    /// The boot loader of an ISO of both.
    pub(super) boot_loader: Option<Named>,
}

/// What a node boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// One file.
    File(Named, Form),
    /// What is to be made of a kernel and an initramfs.
    Kernel(Box<Parts>),
    /// CoreOS' live system for machines of this architecture.
    Coreos(String),
}

/// What the configuration names for nodes that name nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ByConfiguration {
    /// An EFI program.
    pub efi: Option<Wanted>,
    /// An ISO.
    pub iso: Option<Wanted>,
    /// A kernel.
    pub kernel: Option<Wanted>,
    /// Its initramfs.
    pub initramfs: Option<Wanted>,
    /// The boot loader of ISOs of those two.
    pub boot_loader: Option<Wanted>,
    /// CoreOS' live system, before all of these.
    pub coreos: bool,
}

impl ByConfiguration {
    /// The first of `keys` that the node names, a kernel and an initramfs that it names, then the same of ours.
    ///
    /// # Errors
    /// When there is none, or it is named wrongly.
    pub(super) fn choose(&self, node: &Node, keys: &[(&'static str, Form)]) -> Result<Choice, RamdiskError> {
        let by_node = |key| {
            let named = |wanted| Named { wanted, configured: false };
            named_by(node, key).map(|wanted: Option<Wanted>| wanted.map(named))
        };
        let by_us = |wanted: &Option<Wanted>| wanted.clone().map(|wanted| Named { wanted, configured: true });
        for (key, form) in keys {
            if let Some(named) = by_node(key)? {
                return Ok(Choice::File(named, *form));
            }
        }
        let boot_loader = by_node("bootloader")?.or_else(|| by_us(&self.boot_loader));
        match (by_node("deploy_kernel")?, by_node("deploy_ramdisk")?) {
            (Some(kernel), Some(initramfs)) => {
                return Ok(Choice::Kernel(Box::new(Parts { kernel, initramfs, boot_loader })));
            }
            (Some(_), None) => return Err(RamdiskError::Unknown("driver_info/deploy_ramdisk, too")),
            (None, Some(_)) => return Err(RamdiskError::Unknown("driver_info/deploy_kernel, too")),
            (None, None) => {}
        }
        if self.coreos {
            let architecture = node.spec.properties.get("cpu_arch").and_then(Value::as_str).unwrap_or("x86_64");
            return Ok(Choice::Coreos(architecture.to_owned()));
        }
        for (_, form) in keys {
            let ours = if *form == Form::Efi { &self.efi } else { &self.iso };
            if let Some(named) = by_us(ours) {
                return Ok(Choice::File(named, *form));
            }
        }
        match (by_us(&self.kernel), by_us(&self.initramfs)) {
            (Some(kernel), Some(initramfs)) => Ok(Choice::Kernel(Box::new(Parts { kernel, initramfs, boot_loader }))),
            _ => Err(RamdiskError::Unknown(match keys {
                [] => "driver_info/deploy_kernel and deploy_ramdisk",
                [_] => "driver_info/deploy_iso, or deploy_kernel and deploy_ramdisk",
                _ => "driver_info/deploy_efi or deploy_iso, or deploy_kernel and deploy_ramdisk",
            })),
        }
    }
}

/// A file that the node names, by path or URL, and what it must be (`…_checksum`).
fn named_by(node: &Node, key: &'static str) -> Result<Option<Wanted>, RamdiskError> {
    let text = |key: &str| node.spec.driver_info.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let wanted = text(key).map(|source| Wanted::new(source, text(&format!("{key}_checksum"))));
    wanted.transpose().map_err(|cause| RamdiskError::Named { key, cause })
}
