//! Block devices: what they are ([`device`]), which of them may be touched ([`listing`]), which one becomes the root
//! device ([`hints`]).

pub mod device;
mod graph;
pub mod hints;
mod identity;
pub mod listing;
mod usage;

pub use device::BlockDevice;
pub use listing::{DevicePolicy, EligibleDevice, Listing, NotEligible, Reason, Rejection, list};
