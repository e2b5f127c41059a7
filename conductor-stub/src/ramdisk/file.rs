//! One file that firmware boots, and what of it is different for one node.

use std::fs::File;
use std::path::{Path, PathBuf};

use ferric_ignition::archive::Archive;
use ferric_ignition::iso9660::Extent;
use ferric_ignition::kernel_arguments::KernelArgument;
use ferric_ignition::live_iso::LiveIso;
use ferric_ignition::patch::Patch;
use ferric_ignition::uki::Uki;

use super::error::RamdiskError;
use crate::media::Medium;
use crate::media::areas::{self, Place};
use crate::media::overlay::Overlay;

/// How firmware takes a ramdisk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Kernel, initramfs and command line in one EFI program (a UKI).
    Efi,
    /// An ISO.
    Iso,
}

/// Where the arguments of one machine stand in a ramdisk.
#[derive(Debug, Clone)]
pub(super) enum Room {
    /// Where its own format says: the section of a UKI, the areas of a live ISO.
    Own,
    /// In the configuration of its boot loader.
    Places(Vec<Place>),
    /// Nowhere, for this reason: the ISO's agent knows its conductor by itself.
    None(String),
}

/// A ramdisk that many nodes share.
#[derive(Debug, Clone)]
pub struct Ramdisk {
    /// The file.
    pub(super) medium: Medium,
    pub(super) form: Form,
    pub(super) room: Room,
    pub(super) live: Option<Live>,
}

/// What makes a ramdisk CoreOS' live system, whose agent comes by Ignition.
#[derive(Debug, Clone, Default)]
pub(super) struct Live {
    /// Where files of the initramfs have room, when its own format does not say.
    pub(super) archive: Option<Extent>,
    /// What it fetches by network.
    pub(super) rootfs: Option<PathBuf>,
}

impl Ramdisk {
    /// Every [`Ramdisk::name`].
    pub const NAMES: [&str; 2] = ["agent.efi", "agent.iso"];

    /// A file that has room for arguments by its own format.
    pub fn new(medium: Medium, form: Form) -> Self {
        Self { medium, form, room: Room::Own, live: None }
    }

    /// CoreOS' live ISO.
    pub fn live_iso(medium: Medium) -> Self {
        Self { live: Some(Live::default()), ..Self::new(medium, Form::Iso) }
    }

    /// The name under which firmware sees it; firmware goes by the suffix.
    pub fn name(&self) -> &'static str {
        match self.form {
            Form::Efi => Self::NAMES[0],
            Form::Iso => Self::NAMES[1],
        }
    }

    /// Why a machine cannot be told anything by it, if so.
    pub fn refusal(&self) -> Option<&str> {
        match &self.room {
            Room::None(reason) => Some(reason),
            Room::Own | Room::Places(_) => None,
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.medium.path
    }

    /// What is different in it when it boots with further `arguments`, and these files in its initramfs.
    ///
    /// # Errors
    /// When there is no room for the arguments, or the file cannot be read.
    pub fn with(&self, arguments: &[KernelArgument], files: &Archive) -> Result<Overlay, RamdiskError> {
        let failed = |cause| RamdiskError::File { path: self.path().to_owned(), cause };
        let base = File::open(self.path()).map_err(failed)?;
        let patches = self.patches(&base, arguments, files)?;
        Overlay::new(&base, patches).map_err(failed)
    }

    fn patches(&self, base: &File, arguments: &[KernelArgument], files: &Archive) -> Result<Vec<Patch>, RamdiskError> {
        let path = || self.path().to_owned();
        match (&self.room, self.form) {
            (Room::None(_), _) => Ok(Vec::new()),
            (Room::Places(places), _) => {
                areas::patches(places, arguments).map_err(|cause| RamdiskError::Place { path: path(), cause })
            }
            (Room::Own, Form::Efi) => Uki::read(base)
                .and_then(|uki| uki.append_kernel_arguments(arguments))
                .map_err(|cause| RamdiskError::Efi { path: path(), cause })
                .and_then(|patch| Ok([patch].into_iter().chain(self.archived(files)?).collect())),
            (Room::Own, Form::Iso) => LiveIso::read(base)
                .and_then(|mut iso| {
                    iso.append_kernel_arguments(arguments)?;
                    for path in files.paths() {
                        iso.embedded_mut().insert(path, files.get(path).unwrap_or_default());
                    }
                    iso.patches()
                })
                .map_err(|cause| RamdiskError::Iso { path: path(), cause }),
        }
    }
}

impl Ramdisk {
    /// The files, where the initramfs has room for them.
    fn archived(&self, files: &Archive) -> Result<Option<Patch>, RamdiskError> {
        let Some(room) = self.live.as_ref().and_then(|live| live.archive).filter(|_| !files.is_empty()) else {
            return Ok(None);
        };
        let bytes = files.encode();
        if bytes.len() as u64 > room.length {
            let (needed, available) = (bytes.len(), room.length);
            return Err(RamdiskError::Ignition { path: self.path().to_owned(), needed, available });
        }
        Ok(Some(Patch { offset: room.offset, bytes }))
    }
}
