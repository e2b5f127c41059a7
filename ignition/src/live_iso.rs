//! An unmodified CoreOS live ISO, and our ramdisk's, as things to configure: an area for an Ignition config and areas
//! for kernel arguments were left in it when it was made. The layout is that of coreos-installer (`src/live/embed.rs`
//! there), which reads what is written here and the other way round.
//!
//! All changes come out as [`Patch`]es of fixed length; the image itself is never laid out anew.

use std::io::{Read, Seek};

use thiserror::Error;

use crate::archive::{Archive, ArchiveError};
use crate::iso9660::{Iso9660, IsoError};
use crate::kernel_arguments::KernelArgument;
use crate::patch::Patch;

mod ignition_area;
mod kernel_argument_area;

use ignition_area::IgnitionArea;
use kernel_argument_area::KernelArgumentAreas;

const IGNITION_MEMBER: &str = "config.ign";

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
}

impl LiveIso {
    /// Finds the areas.
    ///
    /// # Errors
    /// When the image is no live ISO, or a damaged one.
    pub fn read(image: impl Read + Seek) -> Result<Self, LiveIsoError> {
        let mut iso = Iso9660::open(image)?;
        Ok(Self { ignition: IgnitionArea::read(&mut iso)?, kernel_arguments: KernelArgumentAreas::read(&mut iso)? })
    }

    /// The embedded Ignition config, if there is one.
    #[must_use]
    pub fn ignition(&self) -> Option<&[u8]> {
        self.ignition.archive().get(IGNITION_MEMBER)
    }

    /// Embeds an Ignition config in place of any earlier one; other embedded files stay.
    pub fn set_ignition(&mut self, config: &[u8]) {
        self.ignition.change().insert(IGNITION_MEMBER, config);
    }

    /// Takes the Ignition config out; other embedded files stay.
    pub fn remove_ignition(&mut self) {
        self.ignition.change().remove(IGNITION_MEMBER);
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
        patches.extend(self.kernel_arguments.iter().flat_map(KernelArgumentAreas::patches));
        Ok(patches)
    }

    fn areas(&self) -> Result<&KernelArgumentAreas, LiveIsoError> {
        self.kernel_arguments.as_ref().ok_or(LiveIsoError::NoKernelArgumentAreas)
    }

    fn areas_mut(&mut self) -> Result<&mut KernelArgumentAreas, LiveIsoError> {
        self.kernel_arguments.as_mut().ok_or(LiveIsoError::NoKernelArgumentAreas)
    }
}
