//! The agent's ramdisk for every node: where it comes from, what is made of it, and what of it is different for one node.
//!
//! - `choice`: what a node boots; [`file`]: one file that firmware boots; [`error`]: why there is none

mod choice;
pub mod error;
mod file;
mod live_program;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use ferric_ignition::archive::Archive;
use ferric_ignition::customization::Customization;
use ferric_ignition::iso9660::Extent;
use ferric_ignition::kernel_arguments::KernelArgument;
use ferric_ignition::keyfile;
use ferric_ignition::live_iso::{LiveIso, LiveIsoError};
use ferric_ignition::network_data::NetworkDataError;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::artefacts::Artefacts;
use crate::coreos::agent::{CoreosIpaError, Site};
use crate::coreos::folder;
use crate::media::kernel_iso::{self, Parts};
use crate::media::source::Source;
use crate::media::{Making, Media, MediaError, Medium, repack, uki};
use crate::node::{MacAddress, Node};
use choice::{Choice, Named};
use file::{Live, Room};

pub use choice::ByConfiguration;
pub use error::RamdiskError;
pub use file::{Form, Ramdisk};

/// What is written beside the parts of a ramdisk that is made here: boot loaders, tables, places for arguments.
const BESIDE_MIB: u64 = 32;
/// The name of the root file system of CoreOS' live system.
const ROOTFS: &str = "rootfs.img";
/// Room for kernel arguments in an EFI program.
const ROOM_BYTES: usize = 2048;

/// Kernel parameters for the ramdisk (`ipa-api-url` and so on).
pub type Parameters = BTreeMap<String, String>;

/// The ramdisks of all nodes: what they boot that name none of their own, and how each of them gets its own.
#[derive(Debug)]
pub struct Ramdisks {
    /// What is booted where a node names nothing.
    pub named: ByConfiguration,
    /// Kernel arguments where a node has none of its own.
    pub arguments: String,
    /// CoreOS' live system with the agent in a container, before all of these.
    pub coreos: Option<Coreos>,
    /// How they are published.
    pub artefacts: Arc<Artefacts>,
    /// How they come here.
    pub media: Arc<Media>,
}

/// CoreOS' live system and what its machines are told.
#[derive(Debug)]
pub struct Coreos {
    /// Where its files are.
    pub images: PathBuf,
    /// What Ignition does.
    pub site: Site,
}

impl Ramdisks {
    /// What firmware loads over HTTP: what the node names, else what the configuration names; the smaller EFI program
    /// before the ISO, except where Secure Boot would refuse one that was made here.
    ///
    /// # Errors
    /// When there is none, or it is not to be had.
    pub async fn for_http(&self, node: &Node) -> Result<Ramdisk, RamdiskError> {
        let secure = node.capability("secure_boot").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let form = if secure { Form::Iso } else { Form::Efi };
        self.have(self.named.choose(node, &[("deploy_efi", Form::Efi), ("deploy_iso", Form::Iso)])?, form).await
    }

    /// What is inserted as virtual media.
    ///
    /// # Errors
    /// When there is none, or it is not to be had.
    pub async fn for_media(&self, node: &Node) -> Result<Ramdisk, RamdiskError> {
        self.have(self.named.choose(node, &[("deploy_iso", Form::Iso)])?, Form::Iso).await
    }

    /// `form` is what is made of a kernel.
    async fn have(&self, choice: Choice, form: Form) -> Result<Ramdisk, RamdiskError> {
        match choice {
            Choice::Coreos(architecture) => self.live(&architecture, form).await,
            Choice::File(named, Form::Efi) => Ok(Ramdisk::new(self.file(&named).await?, Form::Efi)),
            Choice::File(named, Form::Iso) => self.with_room(self.file(&named).await?).await,
            Choice::Kernel(parts) => {
                let (kernel, initramfs) = (self.file(&parts.kernel).await?, self.file(&parts.initramfs).await?);
                match form {
                    Form::Efi => self.program_of(kernel, initramfs).await,
                    Form::Iso => {
                        let boot_loader = match &parts.boot_loader {
                            Some(named) => Some(self.file(named).await?),
                            None => None,
                        };
                        self.iso_of(kernel, initramfs, boot_loader).await
                    }
                }
            }
        }
    }

    async fn file(&self, named: &Named) -> Result<Medium, RamdiskError> {
        match &named.wanted.source {
            Source::File(path) if named.configured => Ok(Medium::of_host(path.clone())),
            _ => Ok(self.media.get(&named.wanted).await?),
        }
    }

    /// An ISO that can be given arguments: as it is, when it has areas for them, else repacked once for all machines. One in
    /// which no boot loader is known stays as it is, and cannot.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn with_room(&self, medium: Medium) -> Result<Ramdisk, RamdiskError> {
        if self.has_areas(&medium).await? {
            return Ok(Ramdisk::new(medium, Form::Iso));
        }
        match self.repacked(&medium, None).await {
            Ok(ramdisk) => Ok(ramdisk),
            Err(RamdiskError::Media(error)) if matches!(*error, MediaError::Made(_)) => {
                let iso = medium.path.display();
                tracing::warn!(%iso, %error, "the ISO boots as it is: machines cannot be told anything by it");
                Ok(Ramdisk { room: Room::None(error.to_string()), ..Ramdisk::new(medium, Form::Iso) })
            }
            Err(error) => Err(error),
        }
    }

    /// Whether an ISO has areas for kernel arguments, as CoreOS' and ours have.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn has_areas(&self, medium: &Medium) -> Result<bool, RamdiskError> {
        let file = File::open(&medium.path).map_err(|cause| RamdiskError::File { path: medium.path.clone(), cause })?;
        let read = move || LiveIso::read(file).and_then(|iso| iso.kernel_arguments().map(drop));
        Ok(match tokio::task::spawn_blocking(read).await? {
            Err(LiveIsoError::NoIgnitionArea(_) | LiveIsoError::NoKernelArgumentAreas) => false,
            // What else is wrong with it is said when it is used.
            _ => true,
        })
    }

    /// An ISO with room for arguments in the configuration of its boot loaders; with a config drive as a partition of its own,
    /// for one machine.
    ///
    /// # Errors
    /// When it cannot be repacked.
    pub async fn repacked(&self, medium: &Medium, drive: Option<&Medium>) -> Result<Ramdisk, RamdiskError> {
        let parts: Vec<&Medium> = [medium].into_iter().chain(drive).collect();
        let making = Making { one_shot: drive.is_some(), ..making("ISO with room for kernel arguments", &parts)? };
        let (base, drive) = (medium.clone(), drive.cloned());
        let made = self.media.make(making, move |part| {
            let drive = drive.as_ref().map(|drive| drive.path.as_path());
            let places = repack::repack(&base.path, part, drive).map_err(|error| error.to_string())?;
            serde_json::to_value(places).map_err(|error| error.to_string())
        });
        let made = made.await?;
        Ok(Ramdisk { room: places(&made), ..Ramdisk::new(made, Form::Iso) })
    }

    /// CoreOS' live system: the ISO, or for HTTP, where its parts are there, an EFI program that fetches its root file system.
    async fn live(&self, architecture: &str, form: Form) -> Result<Ramdisk, RamdiskError> {
        let Some(Coreos { images, .. }) = &self.coreos else { return Err(RamdiskError::Unknown("coreos_ipa")) };
        let file = |kind| folder::current(images, architecture, kind);
        if form == Form::Efi
            && let (Some(kernel), Some(initramfs), Some(rootfs)) = (file("kernel"), file("initramfs"), file("rootfs"))
        {
            let (kernel, initramfs) = (Medium::of_host(kernel), Medium::of_host(initramfs));
            let making = making("EFI program of CoreOS", &[&kernel, &initramfs])?;
            // Its initramfs is put together beside it.
            let making = Making { bytes: 2 * making.bytes, ..making };
            let made = self.media.make(making, move |part| {
                let extent = live_program::write(part, &kernel.path, &initramfs.path)?;
                Ok(json!([extent.offset, extent.length]))
            });
            let made = made.await?;
            let extent: Option<(u64, u64)> = serde_json::from_value(made.notes.clone()).ok();
            let archive = extent.map(|(offset, length)| Extent { offset, length });
            let live = Some(Live { archive, rootfs: Some(rootfs) });
            return Ok(Ramdisk { live, ..Ramdisk::new(made, Form::Efi) });
        }
        let iso = file("iso")
            .ok_or_else(|| RamdiskError::NoCoreos { folder: images.clone(), architecture: architecture.to_owned() })?;
        Ok(Ramdisk::live_iso(Medium::of_host(iso)))
    }

    /// What a node's live system is told beside the arguments of every ramdisk: kernel arguments, and files of its initramfs.
    fn live_contents(
        &self,
        node: &Node,
        base: &Ramdisk,
        arguments: &mut Vec<KernelArgument>,
    ) -> Result<Archive, RamdiskError> {
        let mut files = Archive::default();
        let (Some(live), Some(Coreos { site, .. })) = (&base.live, &self.coreos) else { return Ok(files) };
        files.insert(Customization::CONFIG, site.ignition(node)?);
        arguments.extend(site.arguments().iter().cloned());
        if let Some(rootfs) = &live.rootfs {
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

    /// An EFI program of a kernel and an initramfs, with room for arguments.
    async fn program_of(&self, kernel: Medium, initramfs: Medium) -> Result<Ramdisk, RamdiskError> {
        let making = making("EFI program", &[&kernel, &initramfs])?;
        let made = self.media.make(making, move |part| {
            let room = vec![b' '; ROOM_BYTES];
            uki::unify(part, &kernel.path, &initramfs.path, &room).map_err(|error| error.to_string())?;
            Ok(Value::Null)
        });
        Ok(Ramdisk::new(made.await?, Form::Efi))
    }

    /// An ISO of them.
    async fn iso_of(
        &self,
        kernel: Medium,
        initramfs: Medium,
        boot_loader: Option<Medium>,
    ) -> Result<Ramdisk, RamdiskError> {
        let parts: Vec<&Medium> = [&kernel, &initramfs].into_iter().chain(&boot_loader).collect();
        let making = making("ISO", &parts)?;
        let made = self.media.make(making, move |part| {
            let parts = Parts {
                kernel: kernel.path.clone(),
                initramfs: initramfs.path.clone(),
                boot_loader: boot_loader.as_ref().map(|medium| medium.path.clone()),
            };
            let places = kernel_iso::write(part, &parts).map_err(|error| error.to_string())?;
            serde_json::to_value(places).map_err(|error| error.to_string())
        });
        let made = made.await?;
        Ok(Ramdisk { room: places(&made), ..Ramdisk::new(made, Form::Iso) })
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
        let files = self.live_contents(node, &base, &mut arguments)?;
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

    /// Takes back what [`Ramdisks::issue`] published.
    ///
    /// # Errors
    /// When the database fails.
    pub fn withdraw(&self, node: Uuid) -> Result<(), RamdiskError> {
        for name in Ramdisk::NAMES.into_iter().chain([ROOTFS]) {
            self.artefacts.withdraw(node, name)?;
        }
        Ok(())
    }
}

/// What was noted of an ISO that was made here.
fn places(made: &Medium) -> Room {
    serde_json::from_value(made.notes.clone()).map_or_else(|error| Room::None(error.to_string()), Room::Places)
}

/// What is made of these parts, and how much room that takes.
fn making(what: &str, parts: &[&Medium]) -> Result<Making, RamdiskError> {
    let (mut names, mut bytes) = (Vec::new(), BESIDE_MIB << 20);
    for part in parts {
        let failed = |cause| RamdiskError::File { path: part.path.clone(), cause };
        names.push(part.identity().map_err(failed)?);
        bytes += part.path.metadata().map_err(failed)?.len();
    }
    Ok(Making { origin: format!("{what} of {}", names.join(" and ")), bytes, one_shot: false })
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
    use std::path::Path;

    use super::*;
    use crate::files::AllowedFolders;
    use crate::media::shelf::Shelf;
    use crate::media::{self, Wanted};
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
        Ramdisks { named, arguments: String::new(), coreos: None, artefacts, media }
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
        assert_eq!(chosen(configured.for_http(&plain).await.unwrap()), (ours.with_extension("efi"), Form::Efi));
        assert_eq!(chosen(configured.for_media(&plain).await.unwrap()), (ours.with_extension("iso"), Form::Iso));
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
