//! The agent's ramdisk as one file that firmware boots, and copies of it that carry one node's kernel arguments.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferric_ignition::kernel_arguments::{KernelArgument, KernelArgumentError};
use ferric_ignition::live_iso::{LiveIso, LiveIsoError};
use ferric_ignition::patch::{self, Patch};
use ferric_ignition::uki::{Uki, UkiError};
use serde_json::Value;
use uuid::Uuid;

use crate::artefacts::Artefacts;
use crate::files::{self, AllowedFolders, FileError};
use crate::node::{MacAddress, Node};
use crate::state_dir::private_folder;
use crate::store::StoreError;

/// Kernel parameters for the ramdisk (`ipa-api-url` and so on).
pub type Parameters = BTreeMap<String, String>;

/// Why a node cannot get a ramdisk.
#[derive(Debug, thiserror::Error)]
pub enum RamdiskError {
    /// Nobody said where it is.
    #[error("no ramdisk to boot: set {0}")]
    Unknown(&'static str),
    /// A node names something that is no file here.
    #[error("driver_info/{key} must be the path of a file")]
    NotLocal {
        /// The key.
        key: &'static str,
    },
    /// A node names a file that it may not.
    #[error("driver_info/{key}: {cause}")]
    Named {
        /// The key.
        key: &'static str,
        /// Why not.
        cause: FileError,
    },
    /// A parameter that is no kernel argument.
    #[error(transparent)]
    Argument(#[from] KernelArgumentError),
    /// The file cannot be read or its copy not written.
    #[error("ramdisk {}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// Not an EFI program with a command line, or too small a one.
    #[error("ramdisk {}: {cause}", path.display())]
    Efi {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: UkiError,
    },
    /// The work was cut off.
    #[error("writing the ramdisk: {0}")]
    Aborted(#[from] tokio::task::JoinError),
    /// It cannot be published.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Not an ISO with areas for kernel arguments, or too small ones.
    #[error("ramdisk {}: {cause}", path.display())]
    Iso {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: LiveIsoError,
    },
}

/// A ramdisk that many nodes share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ramdisk {
    /// Kernel, initramfs and command line in one EFI program (a UKI).
    Efi(PathBuf),
    /// An ISO with areas for kernel arguments.
    Iso(PathBuf),
}

impl Ramdisk {
    /// Every [`Ramdisk::name`].
    pub const NAMES: [&str; 2] = ["agent.efi", "agent.iso"];

    /// The name under which firmware sees it; firmware goes by the suffix.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Efi(_) => Self::NAMES[0],
            Self::Iso(_) => Self::NAMES[1],
        }
    }

    /// Writes a copy to `target` that boots with further `arguments`.
    ///
    /// # Errors
    /// When there is no room for the arguments, or a file fails.
    pub fn copy_with(&self, arguments: &[KernelArgument], target: &Path) -> Result<(), RamdiskError> {
        let (Self::Efi(path) | Self::Iso(path)) = self;
        let file = |path: &Path| {
            let path = path.to_owned();
            move |cause| RamdiskError::File { path, cause }
        };
        let mut base = File::open(path).map_err(file(path))?;
        let patches = self.patches(&base, arguments)?;
        // The arguments may hold a token: nobody else reads the copy.
        let copy = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(target);
        let mut copy = copy.map_err(file(target))?;
        patch::copy(&mut base, &mut copy, &patches).map_err(file(target))
    }

    fn patches(&self, base: &File, arguments: &[KernelArgument]) -> Result<Vec<Patch>, RamdiskError> {
        match self {
            Self::Efi(path) => Uki::read(base)
                .and_then(|uki| uki.append_kernel_arguments(arguments))
                .map(|patch| vec![patch])
                .map_err(|cause| RamdiskError::Efi { path: path.clone(), cause }),
            Self::Iso(path) => LiveIso::read(base)
                .and_then(|mut iso| {
                    iso.append_kernel_arguments(arguments)?;
                    iso.patches()
                })
                .map_err(|cause| RamdiskError::Iso { path: path.clone(), cause }),
        }
    }
}

/// The ramdisks of all nodes: what they boot that name none of their own, and the copies that each of them boots.
#[derive(Debug)]
pub struct Ramdisks {
    /// An EFI program.
    pub efi: Option<PathBuf>,
    /// An ISO.
    pub iso: Option<PathBuf>,
    /// Where the nodes' copies are.
    pub folder: PathBuf,
    /// How they are published.
    pub artefacts: Arc<Artefacts>,
    /// Where those may be that nodes name.
    pub allowed: AllowedFolders,
}

impl Ramdisks {
    /// What firmware loads over HTTP: what the node names, else what the configuration names; the smaller EFI program
    /// before the ISO.
    ///
    /// # Errors
    /// [`RamdiskError::Unknown`].
    pub fn for_http(&self, node: &Node) -> Result<Ramdisk, RamdiskError> {
        let efi = |path| Some(Ramdisk::Efi(path));
        let iso = |path| Some(Ramdisk::Iso(path));
        (self.named(node, "deploy_efi")?.and_then(efi))
            .or(self.named(node, "deploy_iso")?.and_then(iso))
            .or_else(|| self.efi.clone().and_then(efi))
            .or_else(|| self.iso.clone().and_then(iso))
            .ok_or(RamdiskError::Unknown("driver_info/deploy_efi or driver_info/deploy_iso"))
    }

    /// What is inserted as virtual media.
    ///
    /// # Errors
    /// [`RamdiskError::Unknown`].
    pub fn for_media(&self, node: &Node) -> Result<Ramdisk, RamdiskError> {
        let path = self.named(node, "deploy_iso")?.or_else(|| self.iso.clone());
        path.map(Ramdisk::Iso).ok_or(RamdiskError::Unknown("driver_info/deploy_iso"))
    }

    /// A file that the node names, as a path or a `file://` URL.
    fn named(&self, node: &Node, key: &'static str) -> Result<Option<PathBuf>, RamdiskError> {
        let text = node.spec.driver_info.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let Some(text) = text else { return Ok(None) };
        let path = files::local(text).ok_or(RamdiskError::NotLocal { key })?;
        Ok(Some(self.allowed.file(&path).map_err(|cause| RamdiskError::Named { key, cause })?))
    }

    /// Publishes a copy of `base` for one node that boots with further `arguments`, and returns its URL.
    ///
    /// # Errors
    /// When the copy cannot be written or published.
    pub async fn issue(
        &self,
        node: Uuid,
        base: Ramdisk,
        arguments: Vec<KernelArgument>,
    ) -> Result<String, RamdiskError> {
        let folder = self.folder.join(node.to_string());
        let (name, copy) = (base.name(), folder.join(base.name()));
        let target = copy.clone();
        let written = tokio::task::spawn_blocking(move || {
            private_folder(&folder).map_err(|cause| RamdiskError::File { path: folder, cause })?;
            base.copy_with(&arguments, &target)
        });
        written.await??;
        Ok(self.artefacts.publish(node, name, &copy)?)
    }

    /// Takes back what [`Ramdisks::issue`] published.
    ///
    /// # Errors
    /// When the database or the file system fails.
    pub fn withdraw(&self, node: Uuid) -> Result<(), RamdiskError> {
        for name in Ramdisk::NAMES {
            self.artefacts.withdraw(node, name)?;
        }
        // Also what was written and not published, or withdrawn and not removed.
        let folder = self.folder.join(node.to_string());
        match std::fs::remove_dir_all(&folder) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(RamdiskError::File { path: folder, cause }),
            _ => Ok(()),
        }
    }
}

/// The kernel arguments of one node: the conductor's parameters, the network card it boots from, and what
/// `driver_info/kernel_append_params` adds.
///
/// # Errors
/// [`RamdiskError::Argument`].
pub fn arguments(
    node: &Node,
    parameters: &Parameters,
    boot_mac: Option<&MacAddress>,
) -> Result<Vec<KernelArgument>, RamdiskError> {
    let mut arguments = Vec::new();
    for (name, value) in parameters {
        arguments.push(KernelArgument::with_value(name, value)?);
    }
    if let Some(mac) = boot_mac {
        arguments.push(KernelArgument::with_value("BOOTIF", &mac.bootif())?);
    }
    let more = node.spec.driver_info.get("kernel_append_params").and_then(Value::as_str).unwrap_or_default();
    for word in more.split_whitespace() {
        arguments.push(word.parse()?);
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Spec;
    use crate::store::Store;
    use crate::urls::Urls;

    fn node(info: Value) -> Node {
        let spec = Spec { driver_info: info.as_object().unwrap().clone(), ..Spec::default() };
        Node::new(Uuid::new_v4(), spec)
    }

    #[test]
    fn a_node_names_its_ramdisk_or_gets_the_configured_one() {
        let folder = tempfile::tempdir().unwrap();
        let named = folder.path().join("own.iso");
        std::fs::write(&named, "x").unwrap();
        let ramdisks = |file: Option<&str>| {
            let store = Arc::new(Store::in_memory().unwrap());
            let path = |suffix: &str| file.map(|file| format!("{file}{suffix}").into());
            let allowed = AllowedFolders::new(&[folder.path().to_owned()], Path::new("/none"));
            let artefacts = Arc::new(Artefacts::new(store, Urls::new("http://192.0.2.1", None, None)));
            Ramdisks { efi: path(".efi"), iso: path(".iso"), folder: "/none".into(), artefacts, allowed }
        };
        let configured = ramdisks(Some("/r"));
        let plain = node(serde_json::json!({}));
        assert_eq!(configured.for_http(&plain).unwrap(), Ramdisk::Efi("/r.efi".into()));
        assert_eq!(configured.for_media(&plain).unwrap(), Ramdisk::Iso("/r.iso".into()));
        let own = node(serde_json::json!({"deploy_iso": format!("file://{}", named.display())}));
        assert_eq!(configured.for_http(&own).unwrap(), Ramdisk::Iso(named.canonicalize().unwrap()));
        let foreign = node(serde_json::json!({"deploy_iso": "/etc/shadow"}));
        let error = configured.for_http(&foreign).unwrap_err().to_string();
        assert!(error.starts_with("driver_info/deploy_iso: /etc/shadow is not below"), "{error}");
        let error = ramdisks(None).for_media(&plain).unwrap_err().to_string();
        assert_eq!(error, "no ramdisk to boot: set driver_info/deploy_iso");
    }

    #[test]
    fn arguments_say_who_calls_and_from_where() {
        let parameters = Parameters::from([("ipa-api-url".to_owned(), "http://192.0.2.1:6385".to_owned())]);
        let node = node(serde_json::json!({"kernel_append_params": "nofb  ipa-debug=1"}));
        let words = arguments(&node, &parameters, Some(&"52:54:00:aa:bb:01".parse().unwrap())).unwrap();
        let words: Vec<&str> = words.iter().map(KernelArgument::as_str).collect();
        assert_eq!(words, ["ipa-api-url=http://192.0.2.1:6385", "BOOTIF=01-52-54-00-aa-bb-01", "nofb", "ipa-debug=1"]);
    }
}
