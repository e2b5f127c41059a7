//! Block devices: what they are ([`device`]), which of them may be touched ([`listing`]), which one becomes the root
//! device ([`hints`]), and what a former system left active on them ([`leftover`]).

pub(crate) mod busy;
pub mod device;
mod graph;
pub mod hints;
mod identity;
pub mod leftover;
pub mod listing;
mod usage;

pub use device::BlockDevice;
pub use listing::{DevicePolicy, EligibleDevice, Listing, NotEligible, Reason, Rejection, list};
