//! The Redfish client: power, boot override and virtual media of one machine.
//!
//! - [`settings`]: where the BMC is and how to log in, from a node's `driver_info`
//! - [`client`]: requests that survive busy firmware, expired sessions, tasks and pages (`transport` is one exchange with
//!   the BMC, `certificate` whom it trusts, `session` who we are, `task` what the BMC finishes later)
//! - [`system`]: which system is meant, and its power
//! - [`boot`]: what it boots next, and in which mode; [`boot_request`]: how that is asked of which BMC
//! - [`secure_boot`]: whether with Secure Boot; [`bios`]: the settings of its firmware, [`firmware`]: its versions and updates
//! - [`inventory`]: what it is made of
//! - [`virtual_media`]: inserting and ejecting, on every kind of BMC
//! - [`quirks`]: what single vendors need
//! - [`error`]: what a BMC says when it refuses

pub mod bios;
pub mod boot;
pub mod boot_request;
mod certificate;
pub mod client;
pub mod error;
pub mod firmware;
pub mod inventory;
pub mod quirks;
pub mod secure_boot;
mod session;
pub mod settings;
pub mod system;
mod task;
mod transport;
pub mod virtual_media;

pub use boot_request::{Boot, Enabled, Mode};
pub use client::Client;
pub use error::RedfishError;
pub use settings::Settings;
pub use system::{Reset, System};
pub use task::{Progress, Task};
