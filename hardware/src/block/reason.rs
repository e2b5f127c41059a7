//! Why a block device must not be touched.

use std::fmt;

use super::device::BlockDevice;
use super::hints::HintError;

/// A device that must not be touched, and why.
#[derive(Debug, Clone)]
pub struct Rejection {
    /// The device.
    pub device: BlockDevice,
    /// Why it must not be touched.
    pub reason: Reason,
}

/// Why a device must not be touched. `Display` is for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The policy names the devices that exist, and this is none of them.
    NotAllowed,
    /// A floppy drive.
    Floppy,
    /// Memory that forgets: a RAM disk, compressed swap, an image that the firmware left in RAM.
    Ram,
    /// A place where firmware lives (eMMC boot areas, flash chips); which one.
    Firmware(String),
    /// A loop device that the policy does not name.
    Loop,
    /// No disk: `rom`, `tape`…
    NotADisk(String),
    /// A partition of the device named.
    Partition(String),
    /// A device mapper target of the type named (`lvm`, `crypt`, `dm`).
    Mapped(String),
    /// What the driver named makes of other devices (`bcache`, `drbd`).
    Stacked(String),
    /// An md device that is no assembled array.
    NotAnArray,
    /// One path of the multipath map named.
    MultipathPath(String),
    /// Size 0: no medium, or not set up.
    Empty,
    /// Media of the BMC.
    VirtualMedia,
    /// Write-protected.
    ReadOnly,
    /// It, or something on it, is mounted at the place named.
    Mounted {
        /// The device that is mounted.
        device: String,
        /// Where.
        at: String,
    },
    /// It, or something on it, is one of the devices of a file system that is in use somewhere.
    Member {
        /// The device that belongs to it.
        device: String,
        /// Kind and identifier of the file system.
        file_system: String,
    },
    /// It, or something on it, is swap space in use.
    Swap(String),
    /// The devices named are built on it (md, device mapper, bcache, loop devices).
    Held(Vec<String>),
    /// It, or a partition of it, is registered with bcache.
    Bcache(String),
    /// Something that leaves no other trace has it open for itself alone.
    OpenExclusively,
    /// It, or what it is built on, is named by `skip_block_devices`; the entry.
    Skipped(String),
    /// It belongs to an array that `skip_block_devices` names by its volume, and that nobody assembled.
    ProtectedMember,
    /// It shares disks with an array that `skip_block_devices` names by its volume.
    SharesDisks,
    /// `skip_block_devices` cannot be understood, so nothing is safe.
    BadSkipList(HintError),
    /// No mount table could be read, so nothing is known to be unused.
    UsageUnknown,
}

impl Reason {
    /// Whether the inventory shows such a device all the same, as IPA does.
    pub fn is_listed(&self) -> bool {
        matches!(
            self,
            Self::VirtualMedia
                | Self::ReadOnly
                | Self::Mounted { .. }
                | Self::Member { .. }
                | Self::Swap(_)
                | Self::Held(_)
                | Self::Bcache(_)
                | Self::OpenExclusively
                | Self::Skipped(_)
                | Self::ProtectedMember
                | Self::SharesDisks
                | Self::BadSkipList(_)
                | Self::UsageUnknown
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed => write!(f, "not among the allowed devices"),
            Self::Floppy => write!(f, "a floppy drive"),
            Self::Ram => write!(f, "a RAM disk"),
            Self::Firmware(area) => write!(f, "{area}: firmware lives there"),
            Self::Loop => write!(f, "a loop device that is not among the allowed devices"),
            Self::NotADisk(kind) => write!(f, "not a disk: {kind}"),
            Self::Partition(of) => write!(f, "a partition of {of}"),
            Self::Mapped(kind) => write!(f, "a device mapper target ({kind})"),
            Self::Stacked(driver) => write!(f, "a device that {driver} makes of others"),
            Self::NotAnArray => write!(f, "an md device that is not an assembled array"),
            Self::MultipathPath(map) => write!(f, "a path of the multipath device {map}"),
            Self::Empty => write!(f, "its size is 0"),
            Self::VirtualMedia => write!(f, "virtual media of the BMC"),
            Self::ReadOnly => write!(f, "read-only"),
            Self::Mounted { device, at } => write!(f, "{device} is mounted at {at}"),
            Self::Member { device, file_system } => {
                write!(f, "{device} belongs to a file system in use, {file_system}")
            }
            Self::Swap(device) => write!(f, "{device} is swap space in use"),
            Self::Held(by) => write!(f, "in use by {}", by.join(", ")),
            Self::Bcache(device) => write!(f, "{device} is registered with bcache"),
            Self::OpenExclusively => write!(f, "another program, or the kernel, has it open exclusively"),
            Self::Skipped(entry) => write!(f, "skip_block_devices names it: {entry}"),
            Self::ProtectedMember => {
                write!(
                    f,
                    "it belongs to an array that skip_block_devices names by its volume, or that has no known name"
                )
            }
            Self::SharesDisks => write!(f, "it shares disks with an array that skip_block_devices names by its volume"),
            Self::BadSkipList(error) => write!(f, "skip_block_devices cannot be understood: {error}"),
            Self::UsageUnknown => write!(f, "no mount table can be read, so it may be in use"),
        }
    }
}
