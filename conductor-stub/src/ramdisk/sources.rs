//! Where ramdisks come from, and what is made of them once for all nodes: EFI programs and ISOs of kernels, ISOs with room for
//! kernel arguments, CoreOS' live system.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use ferric_ignition::iso9660::Extent;
use ferric_ignition::kernel_arguments::KernelArgument;
use ferric_ignition::live_iso::{LiveIso, LiveIsoError};
use serde_json::{Value, json};

use super::choice::{ByConfiguration, Choice, Named};
use super::error::RamdiskError;
use super::file::{Form, Live, Ramdisk, Room};
use super::live_program;
use crate::coreos::folder;
use crate::media::kernel_iso::{self, Parts};
use crate::media::source::Source;
use crate::media::{Making, Media, MediaError, Medium, Wanted, repack, uki};
use crate::node::Node;

/// What is written beside the parts of a ramdisk that is made here: boot loaders, tables, places for arguments.
const BESIDE_MIB: u64 = 32;
/// Room for kernel arguments in an EFI program.
const ROOM_BYTES: usize = 2048;

/// What nodes boot: what they name, else what the configuration names.
#[derive(Debug)]
pub struct Sources {
    /// What is booted where a node names nothing.
    pub named: ByConfiguration,
    /// Where CoreOS' live system is.
    pub coreos: Option<PathBuf>,
    /// How they come here.
    pub media: Arc<Media>,
}

/// What a node boots, before it is made the node's own.
#[derive(Debug, Clone)]
pub enum Base {
    /// One file, as firmware boots it.
    File(Ramdisk),
    /// A kernel and its initramfs, as only iPXE boots them.
    Kernel(Kernel),
}

/// A kernel, its initramfs and, of CoreOS, the root file system that it fetches.
#[derive(Debug, Clone)]
pub struct Kernel {
    pub(super) kernel: Medium,
    pub(super) initramfs: Medium,
    pub(super) rootfs: Option<PathBuf>,
}

/// A system that a node names to be booted as its instance.
#[derive(Debug, Clone)]
pub struct Linux {
    /// The kernel.
    pub kernel: Wanted,
    /// Its initramfs.
    pub initramfs: Wanted,
    /// Its command line.
    pub arguments: Vec<KernelArgument>,
}

impl Base {
    /// Why a machine cannot be told anything by it, if so.
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Self::File(ramdisk) => ramdisk.refusal(),
            Self::Kernel(_) => None,
        }
    }
}

impl Sources {
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

    /// What iPXE loads over HTTP: kernel and initramfs as they are, or one file that firmware boots. `bios` is said of machines
    /// that boot no EFI program.
    ///
    /// # Errors
    /// When there is none, or it is not to be had.
    pub async fn for_ipxe(&self, node: &Node, bios: bool) -> Result<Base, RamdiskError> {
        let keys: &[_] = if bios { &[] } else { &[("deploy_efi", Form::Efi), ("deploy_iso", Form::Iso)] };
        let choice = self.named.choose(node, keys)?;
        let kernel = match &choice {
            Choice::File(..) => None,
            Choice::Coreos(architecture) => self.live_kernel(architecture),
            Choice::Kernel(parts) => {
                let (kernel, initramfs) = (self.file(&parts.kernel).await?, self.file(&parts.initramfs).await?);
                Some(Kernel { kernel, initramfs, rootfs: None })
            }
        };
        match kernel {
            Some(kernel) => Ok(Base::Kernel(kernel)),
            None => Ok(Base::File(self.have(choice, Form::Efi).await?)),
        }
    }

    /// The kernel and initramfs of an instance: in this form, or as they are, for iPXE.
    ///
    /// # Errors
    /// When they are not to be had, or nothing can be made of them.
    pub async fn of_instance(&self, linux: &Linux, form: Option<Form>) -> Result<Base, RamdiskError> {
        let (kernel, initramfs) = (self.media.get(&linux.kernel).await?, self.media.get(&linux.initramfs).await?);
        Ok(match form {
            None => Base::Kernel(Kernel { kernel, initramfs, rootfs: None }),
            Some(Form::Efi) => Base::File(self.program_of(kernel, initramfs).await?),
            Some(Form::Iso) => Base::File(self.iso_of(kernel, initramfs, None).await?),
        })
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
        if form == Form::Efi
            && let Some(Kernel { kernel, initramfs, rootfs }) = self.live_kernel(architecture)
        {
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
            let live = Some(Live { archive, rootfs });
            return Ok(Ramdisk { live, ..Ramdisk::new(made, Form::Efi) });
        }
        let images = self.coreos.as_ref().ok_or(RamdiskError::Unknown("coreos_ipa"))?;
        let iso = folder::current(images, architecture, "iso")
            .ok_or_else(|| RamdiskError::NoCoreos { folder: images.clone(), architecture: architecture.to_owned() })?;
        Ok(Ramdisk::live_iso(Medium::of_host(iso)))
    }

    /// The parts of CoreOS' live system, where they are all there.
    fn live_kernel(&self, architecture: &str) -> Option<Kernel> {
        let file = |kind| folder::current(self.coreos.as_ref()?, architecture, kind);
        let (kernel, initramfs) = (Medium::of_host(file("kernel")?), Medium::of_host(file("initramfs")?));
        Some(Kernel { kernel, initramfs, rootfs: Some(file("rootfs")?) })
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
