//! The agent's ramdisk for every node: where it comes from, what is made of it, and what of it is different for one node.
//!
//! - [`sources`]: ramdisks that all nodes share; `choice`: what a node boots; [`file`]: one file that firmware boots;
//!   [`error`]: why there is none

mod choice;
pub mod error;
mod file;
mod live_program;
pub mod sources;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ferric_ignition::archive::Archive;
use ferric_ignition::customization::Customization;
use ferric_ignition::kernel_arguments::KernelArgument;
use ferric_ignition::keyfile;
use ferric_ignition::network_data::NetworkDataError;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::artefacts::Artefacts;
use crate::coreos::agent::{CoreosIpaError, Site};
use crate::ipxe::{Boot, Initrd};
use crate::media::{Making, Medium};
use crate::node::{MacAddress, Node};
use sources::{Base, Kernel, Sources};

pub use choice::ByConfiguration;
pub use error::RamdiskError;
pub use file::{Form, Ramdisk};

/// The name of the root file system of CoreOS' live system.
const ROOTFS: &str = "rootfs.img";
/// The names of what iPXE loads, and of the script that says so.
const KERNEL: &str = "agent.kernel";
const INITRAMFS: &str = "agent.initramfs";
const CONFIG: &str = "config.img";
const SCRIPT: &str = "boot.ipxe";
/// An initramfs of several parts has them at such places.
const ALIGNMENT: usize = 512;

/// Kernel parameters for the ramdisk (`ipa-api-url` and so on).
pub type Parameters = BTreeMap<String, String>;

/// The ramdisks of all nodes, and how each of them gets its own.
#[derive(Debug)]
pub struct Ramdisks {
    /// What all nodes share.
    pub sources: Sources,
    /// Kernel arguments where a node has none of its own.
    pub arguments: String,
    /// What machines with CoreOS' live system are told.
    pub coreos: Option<Site>,
    /// How they are published.
    pub artefacts: Arc<Artefacts>,
}

impl Ramdisks {
    /// What a node's live system is told beside the arguments of every ramdisk: kernel arguments, and files of its initramfs.
    fn live_contents(
        &self,
        node: &Node,
        rootfs: Option<&Path>,
        arguments: &mut Vec<KernelArgument>,
    ) -> Result<Archive, RamdiskError> {
        let mut files = Archive::default();
        let Some(site) = &self.coreos else { return Ok(files) };
        files.insert(Customization::CONFIG, site.ignition(node)?);
        arguments.extend(site.arguments().iter().cloned());
        if let Some(rootfs) = rootfs {
            let url = self.artefacts.publish(node.uuid, ROOTFS, rootfs)?;
            arguments.push(KernelArgument::with_value("coreos.live.rootfs_url", &url)?);
            arguments.push("rd.neednet=1".parse()?);
            // It is needed before Ignition could configure it.
            let keyfiles = site.network(node)?;
            if keyfiles.is_empty() {
                arguments.push("ip=dhcp".parse()?);
            }
            keyfile::embed(&keyfiles, &mut files).map_err(NetworkDataError::from).map_err(CoreosIpaError::from)?;
        }
        Ok(files)
    }

    /// Publishes `base` for one node so that it boots with further `arguments`, and returns its URL.
    ///
    /// # Errors
    /// When there is no room for them, or it cannot be published.
    pub async fn issue(
        &self,
        node: &Node,
        base: Ramdisk,
        mut arguments: Vec<KernelArgument>,
    ) -> Result<String, RamdiskError> {
        let files = match &base.live {
            Some(live) => self.live_contents(node, live.rootfs.as_deref(), &mut arguments)?,
            None => Archive::default(),
        };
        let name = base.name();
        self.publish(node.uuid, name, base, arguments, files).await
    }

    /// Publishes a file for one node so that it boots with further `arguments` and these `files` in its initramfs.
    ///
    /// # Errors
    /// When there is no room for them, or it cannot be published.
    pub async fn publish(
        &self,
        node: Uuid,
        name: &str,
        base: Ramdisk,
        arguments: Vec<KernelArgument>,
        files: Archive,
    ) -> Result<String, RamdiskError> {
        let read = tokio::task::spawn_blocking(move || base.with(&arguments, &files).map(|overlay| (base, overlay)));
        let (base, overlay) = read.await??;
        Ok(self.artefacts.publish_variant(node, name, base.path(), &overlay)?)
    }

    /// Publishes what iPXE boots for one node, so that it boots with further `arguments`, and returns the URL of the script.
    ///
    /// # Errors
    /// As [`Ramdisks::issue`].
    pub async fn issue_script(
        &self,
        node: &Node,
        base: Base,
        mut arguments: Vec<KernelArgument>,
    ) -> Result<String, RamdiskError> {
        let boot = match base {
            Base::File(ramdisk) => {
                let form = ramdisk.form;
                let url = self.issue(node, ramdisk, arguments).await?.parse()?;
                if form == Form::Efi { Boot::Program(url) } else { Boot::Disk(url) }
            }
            Base::Kernel(Kernel { kernel, initramfs, rootfs }) => {
                let mut initrds = Vec::new();
                if rootfs.is_some() {
                    let live: Result<Vec<_>, _> = live_program::ARGUMENTS.split(' ').map(str::parse).collect();
                    arguments.splice(..0, live?);
                    // Before the other, whose length nobody can change: each begins where the kernel looks for one.
                    let mut archive = self.live_contents(node, rootfs.as_deref(), &mut arguments)?.encode();
                    archive.resize(archive.len().next_multiple_of(ALIGNMENT), 0);
                    let config = self.keep(node.uuid, CONFIG, archive).await?;
                    let url = self.artefacts.publish(node.uuid, CONFIG, &config.path)?.parse()?;
                    initrds.push(Initrd { name: "config", url });
                }
                let url = self.artefacts.publish(node.uuid, INITRAMFS, &initramfs.path)?.parse()?;
                initrds.push(Initrd { name: "main", url });
                let kernel = self.artefacts.publish(node.uuid, KERNEL, &kernel.path)?.parse()?;
                Boot::Kernel { kernel, initrds, arguments }
            }
        };
        self.script(node.uuid, &boot).await
    }

    /// Publishes a script for one node, and returns its URL.
    ///
    /// # Errors
    /// When it cannot be written or published.
    pub async fn script(&self, node: Uuid, boot: &Boot) -> Result<String, RamdiskError> {
        let script = self.keep(node, SCRIPT, boot.script().into_bytes()).await?;
        Ok(self.artefacts.publish(node, SCRIPT, &script.path)?)
    }

    /// A small file for one node, which goes when it is not published any more.
    async fn keep(&self, node: Uuid, name: &str, content: Vec<u8>) -> Result<Medium, RamdiskError> {
        let origin = format!("{name} of {node} ({})", hex::encode(&Sha256::digest(&content)[..8]));
        let making = Making { origin, bytes: content.len() as u64, one_shot: true };
        let made = self.sources.media.make(making, move |part| {
            std::fs::write(part, content).map_err(|error| format!("{}: {error}", part.display()))?;
            Ok(Value::Null)
        });
        Ok(made.await?)
    }

    /// Takes back what [`Ramdisks::issue`] and [`Ramdisks::issue_script`] published.
    ///
    /// # Errors
    /// When the database fails.
    pub fn withdraw(&self, node: Uuid) -> Result<(), RamdiskError> {
        for name in Ramdisk::NAMES.into_iter().chain([ROOTFS, KERNEL, INITRAMFS, CONFIG, SCRIPT]) {
            self.artefacts.withdraw(node, name)?;
        }
        Ok(())
    }
}

/// The kernel arguments of one node: the conductor's parameters, the network card it boots from, and what
/// `driver_info/kernel_append_params` or else the configuration adds.
///
/// # Errors
/// [`RamdiskError::Argument`].
pub fn arguments(
    node: &Node,
    parameters: &Parameters,
    boot_mac: Option<&MacAddress>,
    default: &str,
) -> Result<Vec<KernelArgument>, RamdiskError> {
    let mut arguments = Vec::new();
    for (name, value) in parameters {
        arguments.push(KernelArgument::with_value(name, value)?);
    }
    if let Some(mac) = boot_mac {
        arguments.push(KernelArgument::with_value("BOOTIF", &mac.bootif())?);
    }
    let more = node.spec.driver_info.get("kernel_append_params").and_then(Value::as_str).unwrap_or("%default%");
    let more = more.replace("%default%", default);
    for word in more.split_whitespace() {
        arguments.push(word.parse()?);
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::AllowedFolders;
    use crate::media::shelf::Shelf;
    use crate::media::{self, Media, Wanted};
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
        let named = ByConfiguration { efi: wanted(".efi"), iso: wanted(".iso"), ..ByConfiguration::default() };
        let sources = Sources { named, coreos: None, media };
        Ramdisks { sources, arguments: String::new(), coreos: None, artefacts }
    }

    #[tokio::test]
    async fn a_node_names_its_ramdisk_or_gets_the_configured_one() {
        let folder = tempfile::tempdir().unwrap();
        let named = folder.path().join("own.iso");
        std::fs::write(&named, "x").unwrap();
        let ours = folder.path().join("r");
        for form in ["efi", "iso"] {
            std::fs::write(ours.with_extension(form), "x").unwrap();
        }
        let configured = ramdisks(folder.path(), Some(ours.to_str().unwrap()));
        let chosen = |ramdisk: Ramdisk| (ramdisk.medium.path, ramdisk.form);
        let plain = node(serde_json::json!({}));
        assert_eq!(chosen(configured.sources.for_http(&plain).await.unwrap()), (ours.with_extension("efi"), Form::Efi));
        assert_eq!(
            chosen(configured.sources.for_media(&plain).await.unwrap()),
            (ours.with_extension("iso"), Form::Iso)
        );
        let own = node(serde_json::json!({"deploy_iso": format!("file://{}", named.display())}));
        let expected = (named.canonicalize().unwrap(), Form::Iso);
        assert_eq!(chosen(configured.sources.for_http(&own).await.unwrap()), expected);
        for (source, refusal) in [
            ("/etc/shadow", "ramdisk /etc/shadow is not below"),
            (
                "oci://registry/ramdisk:1",
                "driver_info/deploy_iso: \"oci://registry/ramdisk:1\": files of registries (oci)",
            ),
            ("ramdisk.iso", "driver_info/deploy_iso: \"ramdisk.iso\" must be"),
        ] {
            let foreign = node(serde_json::json!({"deploy_iso": source}));
            let error = configured.sources.for_http(&foreign).await.unwrap_err().to_string();
            assert!(error.starts_with(refusal), "{error}");
        }
        let error = ramdisks(folder.path(), None).sources.for_media(&plain).await.unwrap_err().to_string();
        assert!(error.starts_with("no ramdisk to boot: set driver_info/deploy_iso"), "{error}");
    }

    #[test]
    fn arguments_say_who_calls_and_from_where() {
        let parameters = Parameters::from([("ipa-api-url".to_owned(), "http://192.0.2.1:6385".to_owned())]);
        let node = node(serde_json::json!({"kernel_append_params": "nofb  ipa-debug=1"}));
        let words = arguments(&node, &parameters, Some(&"52:54:00:aa:bb:01".parse().unwrap()), "quiet").unwrap();
        let words: Vec<&str> = words.iter().map(KernelArgument::as_str).collect();
        assert_eq!(words, ["ipa-api-url=http://192.0.2.1:6385", "BOOTIF=01-52-54-00-aa-bb-01", "nofb", "ipa-debug=1"]);
    }
}
