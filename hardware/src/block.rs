//! Block devices: what they are ([`device`]), which of them may be touched ([`listing`]), which fit
//! root device hints ([`hints`]), which one becomes the root device ([`root_device`]), what a former system left
//! active on them ([`leftover`], [`volumes_on`]), and what lies below an array ([`HeldDisk`]).

pub(crate) mod busy;
pub mod device;
mod eligible;
mod graph;
mod held;
pub mod hints;
mod identity;
mod kind;
pub mod leftover;
pub mod listing;
mod parallel;
mod reason;
pub mod root_device;
mod transport;
mod udev;
mod usage;
mod volumes;
mod vpd;

pub use device::BlockDevice;
pub use eligible::EligibleDevice;
pub use held::HeldDisk;
pub use listing::{DevicePolicy, Listing, NotEligible, list, list_beneath_leftovers};
pub use reason::{Reason, Rejection};
pub use volumes::volumes_on;
