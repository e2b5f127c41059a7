//! Why a node cannot get a ramdisk.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use ferric_ignition::kernel_arguments::KernelArgumentError;
use ferric_ignition::live_iso::LiveIsoError;
use ferric_ignition::uki::UkiError;

use crate::boot_url::BootUrlError;
use crate::coreos::agent::CoreosIpaError;
use crate::media::MediaError;
use crate::media::areas::PlaceError;
use crate::media::source::SourceError;
use crate::store::StoreError;

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
    /// The URL under which it is published cannot stand in a script.
    #[error(transparent)]
    Url(#[from] BootUrlError),
    /// It cannot be published.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The arguments do not fit.
    #[error("ramdisk {}: {cause}", path.display())]
    Place {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: PlaceError,
    },
    /// The Ignition config does not fit.
    #[error("ramdisk {}: the Ignition config has {needed} bytes compressed, and there is room for {available}", path.display())]
    Ignition {
        /// The file.
        path: PathBuf,
        /// Bytes after compression.
        needed: usize,
        /// Bytes that there are.
        available: u64,
    },
    /// What every node's Ignition config says, or this node's network.
    #[error(transparent)]
    Coreos(#[from] CoreosIpaError),
    /// CoreOS' live system is to boot and is not there.
    #[error("{} has no ironic-python-agent.iso for {architecture}: conductor-stub download-coreos brings it", folder.display())]
    NoCoreos {
        /// Where it should be.
        folder: PathBuf,
        /// For these machines.
        architecture: String,
    },
    /// Not an ISO with areas for kernel arguments, or too small ones.
    #[error("ramdisk {}: {cause}", path.display())]
    Iso {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: LiveIsoError,
    },
}
