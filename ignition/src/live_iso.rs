//! An unmodified CoreOS live ISO, and our ramdisk's, as things to configure: an area for an Ignition config and areas
//! for kernel arguments were left in it when it was made. The layout is that of coreos-installer (`src/live/embed.rs`
//! there), which reads what is written here and the other way round.
//!
//! All changes come out as [`Patch`]es of fixed length; the image itself is never laid out anew.

use std::io::{Read, Seek};

use thiserror::Error;

use crate::archive::{Archive, ArchiveError};
use crate::customization::{Customization, CustomizationError, Features};
use crate::iso9660::{Iso9660, IsoError};
use crate::kernel_arguments::{Edit, KernelArgument};
use crate::keyfile::{self, Keyfile};
use crate::patch::Patch;

mod ignition_area;
mod kernel_argument_area;

use ignition_area::IgnitionArea;
use kernel_argument_area::KernelArgumentAreas;

const FEATURES: &str = "coreos/features.json";
const MAX_FEATURES_BYTES: u64 = 64 << 10;
/// By this argument a live system finds its root file system on the medium.
const ON_MEDIUM: &str = "coreos.liveiso=";

/// What can go wrong between a live ISO and its configuration.
#[derive(Debug, Error)]
pub enum LiveIsoError {
    /// The image as such cannot be read.
    #[error(transparent)]
    Iso(#[from] IsoError),
    /// There is no area for an Ignition config.
    #[error("not a CoreOS live ISO: it has no area for an Ignition config ({0})")]
    NoIgnitionArea(IsoError),
    /// There are no areas for kernel arguments.
    #[error("this ISO has no areas for kernel arguments")]
    NoKernelArgumentAreas,
    /// One of the JSON files that describe the areas is not as it should be.
    #[error("{file} of the ISO: {cause}")]
    Description {
        /// Path in the image.
        file: &'static str,
        /// What the parser says.
        cause: serde_json::Error,
    },
    /// The areas contradict each other or their description.
    #[error("the ISO is damaged: {0}")]
    Damaged(&'static str),
    /// It has a config, network configuration or other kernel arguments already.
    #[error("this ISO is customized already: -f replaces what it was given")]
    Customized,
    /// The customization does not fit it.
    #[error(transparent)]
    Customization(#[from] CustomizationError),
    /// It is not what a minimal ISO is made of, or is one.
    #[error(
        "this ISO does not look for its root file system on the medium (no {ON_MEDIUM} among its kernel arguments)"
    )]
    NotOnMedium,
    /// What stands in the Ignition area cannot be read.
    #[error("the Ignition area of the ISO holds {0}")]
    Archive(#[from] ArchiveError),
    /// The config does not fit.
    #[error(
        "the Ignition config is too large: {needed_bytes} bytes compressed, the ISO has room for {available_bytes}"
    )]
    IgnitionTooLarge {
        /// Bytes after compression.
        needed_bytes: usize,
        /// Bytes of the area.
        available_bytes: usize,
    },
    /// The kernel arguments do not fit.
    #[error("the kernel arguments are too long: {needed_bytes} bytes, the ISO has room for {available_bytes}")]
    KernelArgumentsTooLong {
        /// Bytes with the line end.
        needed_bytes: usize,
        /// Bytes of an area.
        available_bytes: usize,
    },
}

/// A live ISO's areas, and what they will hold once [`LiveIso::patches`] are written.
#[derive(Debug)]
pub struct LiveIso {
    ignition: IgnitionArea,
    kernel_arguments: Option<KernelArgumentAreas>,
    features: Features,
}

impl LiveIso {
    /// Finds the areas.
    ///
    /// # Errors
    /// When the image is no live ISO, or a damaged one.
    pub fn read(image: impl Read + Seek) -> Result<Self, LiveIsoError> {
        let mut iso = Iso9660::open(image)?;
        let features = match iso.find(FEATURES) {
            Ok(extent) => serde_json::from_slice(&iso.read(extent, MAX_FEATURES_BYTES)?)
                .map_err(|cause| LiveIsoError::Description { file: FEATURES, cause })?,
            Err(IsoError::NotFound(_)) => Features::default(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            ignition: IgnitionArea::read(&mut iso)?,
            kernel_arguments: KernelArgumentAreas::read(&mut iso)?,
            features,
        })
    }

    /// Was anything embedded, or were kernel arguments changed, since it was made?
    #[must_use]
    pub fn is_customized(&self) -> bool {
        let other_arguments = |areas: &KernelArgumentAreas| areas.current() != areas.default_arguments();
        !self.embedded().is_empty() || self.kernel_arguments.as_ref().is_some_and(other_arguments)
    }

    /// Puts a customization in the place of everything that was embedded, and edits the kernel arguments that it was made
    /// with.
    ///
    /// # Errors
    /// [`LiveIsoError::Customized`] unless `force` is set; what of the customization cannot work.
    pub fn customize(&mut self, customization: &Customization, edit: &Edit, force: bool) -> Result<(), LiveIsoError> {
        if self.is_customized() && !force {
            return Err(LiveIsoError::Customized);
        }
        let archive = customization.archive(self.features)?;
        if !edit.is_empty() || self.kernel_arguments.is_some() {
            let areas = self.areas_mut()?;
            let line = edit.apply(areas.default_arguments());
            areas.set(&line)?;
        }
        *self.ignition.change() = archive;
        Ok(())
    }

    /// Goes back to the ISO as it was made.
    pub fn reset(&mut self) {
        *self.ignition.change() = Archive::default();
        if let Some(areas) = &mut self.kernel_arguments {
            let default = areas.default_arguments().to_owned();
            areas.set(&default).expect("they had room there when they were read");
        }
    }

    /// Keyfiles that are in force before Ignition runs: names and contents.
    pub fn network(&self) -> impl Iterator<Item = (&str, &[u8])> {
        keyfile::embedded(self.embedded())
    }

    /// Puts keyfiles in the place of those that are embedded.
    ///
    /// # Errors
    /// When the system does not read them there, or two have the same name.
    pub fn set_network(&mut self, keyfiles: &[Keyfile]) -> Result<(), LiveIsoError> {
        if !self.features.live_initrd_network {
            return Err(CustomizationError::NoNetwork.into());
        }
        keyfile::remove(self.ignition.change());
        Ok(keyfile::embed(keyfiles, self.ignition.change()).map_err(CustomizationError::from)?)
    }

    /// Takes all keyfiles out.
    pub fn remove_network(&mut self) {
        keyfile::remove(self.ignition.change());
    }

    /// Has it fetch its root file system, which is no longer on it, from a URL; without one, from where further kernel
    /// arguments say.
    ///
    /// # Errors
    /// [`LiveIsoError::NotOnMedium`]; when the arguments do not fit.
    pub fn fetch_rootfs(&mut self, url: Option<&KernelArgument>) -> Result<(), LiveIsoError> {
        let areas = self.areas_mut()?;
        let line = areas.current().to_owned();
        let Some(on_medium) = line.split_ascii_whitespace().find(|word| word.starts_with(ON_MEDIUM)) else {
            return Err(LiveIsoError::NotOnMedium);
        };
        let default: Vec<_> = line.split_ascii_whitespace().filter(|word| *word != on_medium).collect();
        let default = default.join(" ");
        let line = url.map_or_else(|| default.clone(), |url| format!("{default} {url}"));
        areas.set_default(&default)?;
        areas.set(&line)
    }

    /// The embedded Ignition config, if there is one.
    #[must_use]
    pub fn ignition(&self) -> Option<&[u8]> {
        self.ignition.archive().get(Customization::CONFIG)
    }

    /// Embeds an Ignition config in place of any earlier one; other embedded files stay.
    pub fn set_ignition(&mut self, config: &[u8]) {
        self.ignition.change().insert(Customization::CONFIG, config);
    }

    /// Takes the Ignition config out; other embedded files stay.
    pub fn remove_ignition(&mut self) {
        self.ignition.change().remove(Customization::CONFIG);
    }

    /// Everything that is embedded as files of the initramfs, the Ignition config among it.
    #[must_use]
    pub fn embedded(&self) -> &Archive {
        self.ignition.archive()
    }

    /// The same, to add or remove files.
    pub fn embedded_mut(&mut self) -> &mut Archive {
        self.ignition.change()
    }

    /// The kernel arguments that the ISO boots with.
    ///
    /// # Errors
    /// [`LiveIsoError::NoKernelArgumentAreas`].
    pub fn kernel_arguments(&self) -> Result<&str, LiveIsoError> {
        Ok(self.areas()?.current())
    }

    /// Adds arguments behind the present ones.
    ///
    /// # Errors
    /// When they do not fit, or there is no place for them at all.
    pub fn append_kernel_arguments(&mut self, arguments: &[KernelArgument]) -> Result<(), LiveIsoError> {
        let mut line = self.kernel_arguments()?.to_owned();
        for argument in arguments {
            line.push(' ');
            line.push_str(argument.as_str());
        }
        self.areas_mut()?.set(line.trim())
    }

    /// Changes the present arguments.
    ///
    /// # Errors
    /// When they do not fit, or there is no place for them at all.
    pub fn edit_kernel_arguments(&mut self, edit: &Edit) -> Result<(), LiveIsoError> {
        let areas = self.areas_mut()?;
        let line = edit.apply(areas.current());
        areas.set(&line)
    }

    /// Goes back to the arguments that the ISO was made with.
    ///
    /// # Errors
    /// [`LiveIsoError::NoKernelArgumentAreas`].
    pub fn reset_kernel_arguments(&mut self) -> Result<(), LiveIsoError> {
        let areas = self.areas_mut()?;
        let default = areas.default_arguments().to_owned();
        areas.set(&default)
    }

    /// What has to be written into the image.
    ///
    /// # Errors
    /// [`LiveIsoError::IgnitionTooLarge`].
    pub fn patches(&self) -> Result<Vec<Patch>, LiveIsoError> {
        let mut patches: Vec<Patch> = self.ignition.patch()?.into_iter().collect();
        if let Some(areas) = &self.kernel_arguments {
            patches.extend(areas.patches()?);
        }
        Ok(patches)
    }

    fn areas(&self) -> Result<&KernelArgumentAreas, LiveIsoError> {
        self.kernel_arguments.as_ref().ok_or(LiveIsoError::NoKernelArgumentAreas)
    }

    fn areas_mut(&mut self) -> Result<&mut KernelArgumentAreas, LiveIsoError> {
        self.kernel_arguments.as_mut().ok_or(LiveIsoError::NoKernelArgumentAreas)
    }
}
