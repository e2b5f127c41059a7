//! The agent's ramdisk as one file that firmware boots, and what of it carries one node's kernel arguments.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferric_ignition::kernel_arguments::{KernelArgument, KernelArgumentError};
use ferric_ignition::live_iso::{LiveIso, LiveIsoError};
use ferric_ignition::patch::Patch;
use ferric_ignition::uki::{Uki, UkiError};
use serde_json::Value;
use uuid::Uuid;

use crate::artefacts::Artefacts;
use crate::media::overlay::Overlay;
use crate::media::source::{Source, SourceError};
use crate::media::{Media, MediaError, Medium, Wanted};
use crate::node::{MacAddress, Node};
use crate::store::StoreError;

/// Kernel parameters for the ramdisk (`ipa-api-url` and so on).
pub type Parameters = BTreeMap<String, String>;

/// Why a node cannot get a ramdisk.
#[derive(Debug, thiserror::Error)]
pub enum RamdiskError {
    /// Nobody said where it is.
    #[error("no ramdisk to boot: set {0}")]
    Unknown(&'static str),
    /// A node names no file.
    #[error("driver_info/{key}: {cause}")]
    Named {
        /// The key.
        key: &'static str,
        /// Why not.
        cause: SourceError,
    },
    /// It is not to be had.
    #[error("ramdisk {0}")]
    Media(#[from] Arc<MediaError>),
    /// A parameter that is no kernel argument.
    #[error(transparent)]
    Argument(#[from] KernelArgumentError),
    /// The file cannot be read.
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
    #[error("reading the ramdisk: {0}")]
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

/// How firmware takes a ramdisk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Kernel, initramfs and command line in one EFI program (a UKI).
    Efi,
    /// An ISO with areas for kernel arguments.
    Iso,
}

/// A ramdisk that many nodes share.
#[derive(Debug, Clone)]
pub struct Ramdisk {
    /// The file.
    pub medium: Medium,
    /// What it is.
    pub form: Form,
}

impl Ramdisk {
    /// Every [`Ramdisk::name`].
    pub const NAMES: [&str; 2] = ["agent.efi", "agent.iso"];

    /// The name under which firmware sees it; firmware goes by the suffix.
    pub fn name(&self) -> &'static str {
        match self.form {
            Form::Efi => Self::NAMES[0],
            Form::Iso => Self::NAMES[1],
        }
    }

    /// Where it is.
    fn path(&self) -> &Path {
        &self.medium.path
    }

    /// What is different in it when it boots with further `arguments`.
    ///
    /// # Errors
    /// When there is no room for the arguments, or the file cannot be read.
    pub fn with(&self, arguments: &[KernelArgument]) -> Result<Overlay, RamdiskError> {
        let failed = |cause| RamdiskError::File { path: self.path().to_owned(), cause };
        let base = File::open(self.path()).map_err(failed)?;
        let patches = self.patches(&base, arguments)?;
        Overlay::new(&base, patches).map_err(failed)
    }

    fn patches(&self, base: &File, arguments: &[KernelArgument]) -> Result<Vec<Patch>, RamdiskError> {
        let path = || self.path().to_owned();
        match self.form {
            Form::Efi => Uki::read(base)
                .and_then(|uki| uki.append_kernel_arguments(arguments))
                .map(|patch| vec![patch])
                .map_err(|cause| RamdiskError::Efi { path: path(), cause }),
            Form::Iso => LiveIso::read(base)
                .and_then(|mut iso| {
                    iso.append_kernel_arguments(arguments)?;
                    iso.patches()
                })
                .map_err(|cause| RamdiskError::Iso { path: path(), cause }),
        }
    }
}

/// The ramdisks of all nodes: what they boot that name none of their own, and how each of them gets its own.
#[derive(Debug)]
pub struct Ramdisks {
    /// An EFI program.
    pub efi: Option<Wanted>,
    /// An ISO.
    pub iso: Option<Wanted>,
    /// How they are published.
    pub artefacts: Arc<Artefacts>,
    /// How they come here.
    pub media: Arc<Media>,
}

/// What a node boots, by where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    /// What the node names.
    Named(Wanted, Form),
    /// What the configuration names, which may be any file of this host.
    Configured(Wanted, Form),
}

impl Ramdisks {
    /// What firmware loads over HTTP: what the node names, else what the configuration names; the smaller EFI program
    /// before the ISO.
    ///
    /// # Errors
    /// When there is none, or it is not to be had.
    pub async fn for_http(&self, node: &Node) -> Result<Ramdisk, RamdiskError> {
        self.have(self.choose_for_http(node)?).await
    }

    /// What is inserted as virtual media.
    ///
    /// # Errors
    /// When there is none, or it is not to be had.
    pub async fn for_media(&self, node: &Node) -> Result<Ramdisk, RamdiskError> {
        self.have(self.choose_for_media(node)?).await
    }

    fn choose_for_http(&self, node: &Node) -> Result<Choice, RamdiskError> {
        let named = |form| move |wanted| Choice::Named(wanted, form);
        let configured = |form| move |wanted| Choice::Configured(wanted, form);
        (named_by(node, "deploy_efi")?.map(named(Form::Efi)))
            .or(named_by(node, "deploy_iso")?.map(named(Form::Iso)))
            .or_else(|| self.efi.clone().map(configured(Form::Efi)))
            .or_else(|| self.iso.clone().map(configured(Form::Iso)))
            .ok_or(RamdiskError::Unknown("driver_info/deploy_efi or driver_info/deploy_iso"))
    }

    fn choose_for_media(&self, node: &Node) -> Result<Choice, RamdiskError> {
        let named = named_by(node, "deploy_iso")?.map(|wanted| Choice::Named(wanted, Form::Iso));
        named
            .or_else(|| self.iso.clone().map(|wanted| Choice::Configured(wanted, Form::Iso)))
            .ok_or(RamdiskError::Unknown("driver_info/deploy_iso"))
    }

    async fn have(&self, choice: Choice) -> Result<Ramdisk, RamdiskError> {
        match choice {
            Choice::Configured(Wanted { source: Source::File(path), .. }, form) => {
                Ok(Ramdisk { medium: Medium::of_host(path), form })
            }
            Choice::Named(wanted, form) | Choice::Configured(wanted, form) => {
                Ok(Ramdisk { medium: self.media.get(&wanted).await?, form })
            }
        }
    }

    /// Publishes `base` for one node so that it boots with further `arguments`, and returns its URL.
    ///
    /// # Errors
    /// When there is no room for them, or it cannot be published.
    pub async fn issue(
        &self,
        node: Uuid,
        base: Ramdisk,
        arguments: Vec<KernelArgument>,
    ) -> Result<String, RamdiskError> {
        let read = tokio::task::spawn_blocking(move || base.with(&arguments).map(|overlay| (base, overlay)));
        let (base, overlay) = read.await??;
        Ok(self.artefacts.publish_variant(node, base.name(), base.path(), &overlay)?)
    }

    /// Takes back what [`Ramdisks::issue`] published.
    ///
    /// # Errors
    /// When the database fails.
    pub fn withdraw(&self, node: Uuid) -> Result<(), RamdiskError> {
        for name in Ramdisk::NAMES {
            self.artefacts.withdraw(node, name)?;
        }
        Ok(())
    }
}

/// A file that the node names, by path or URL, and what it must be (`…_checksum`).
fn named_by(node: &Node, key: &'static str) -> Result<Option<Wanted>, RamdiskError> {
    let text = |key: &str| node.spec.driver_info.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let wanted = text(key).map(|source| Wanted::new(source, text(&format!("{key}_checksum"))));
    wanted.transpose().map_err(|cause| RamdiskError::Named { key, cause })
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
    use crate::files::AllowedFolders;
    use crate::media;
    use crate::media::shelf::Shelf;
    use crate::node::Spec;
    use crate::store::Store;
    use crate::urls::Urls;

    fn node(info: Value) -> Node {
        let spec = Spec { driver_info: info.as_object().unwrap().clone(), ..Spec::default() };
        Node::new(Uuid::new_v4(), spec)
    }

    fn ramdisks(folder: &Path, file: Option<&str>) -> Ramdisks {
        let store = Arc::new(Store::in_memory().unwrap());
        let wanted = |suffix: &str| file.map(|file| Wanted::new(&format!("{file}{suffix}"), None).unwrap());
        let shelf = Shelf::open(&folder.join("media"), 1 << 20, Arc::clone(&store)).unwrap();
        let allowed = AllowedFolders::new(&[folder.to_owned()], Path::new("/none"));
        let media = Arc::new(Media::new(shelf, media::client(None).unwrap(), allowed));
        let artefacts = Arc::new(Artefacts::new(store, Urls::new("http://192.0.2.1", None, None)));
        Ramdisks { efi: wanted(".efi"), iso: wanted(".iso"), artefacts, media }
    }

    #[tokio::test]
    async fn a_node_names_its_ramdisk_or_gets_the_configured_one() {
        let folder = tempfile::tempdir().unwrap();
        let named = folder.path().join("own.iso");
        std::fs::write(&named, "x").unwrap();
        let configured = ramdisks(folder.path(), Some("/r"));
        let chosen = |ramdisk: Ramdisk| (ramdisk.medium.path, ramdisk.form);
        let plain = node(serde_json::json!({}));
        assert_eq!(chosen(configured.for_http(&plain).await.unwrap()), ("/r.efi".into(), Form::Efi));
        assert_eq!(chosen(configured.for_media(&plain).await.unwrap()), ("/r.iso".into(), Form::Iso));
        let own = node(serde_json::json!({"deploy_iso": format!("file://{}", named.display())}));
        let expected = (named.canonicalize().unwrap(), Form::Iso);
        assert_eq!(chosen(configured.for_http(&own).await.unwrap()), expected);
        for (source, refusal) in [
            ("/etc/shadow", "ramdisk /etc/shadow is not below"),
            (
                "oci://registry/ramdisk:1",
                "driver_info/deploy_iso: \"oci://registry/ramdisk:1\": files of registries (oci)",
            ),
            ("ramdisk.iso", "driver_info/deploy_iso: \"ramdisk.iso\" must be"),
        ] {
            let foreign = node(serde_json::json!({"deploy_iso": source}));
            let error = configured.for_http(&foreign).await.unwrap_err().to_string();
            assert!(error.starts_with(refusal), "{error}");
        }
        let error = ramdisks(folder.path(), None).for_media(&plain).await.unwrap_err().to_string();
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
