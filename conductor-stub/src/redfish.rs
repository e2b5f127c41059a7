//! The Redfish client: power, boot override and virtual media of one machine.
//!
//! - [`settings`]: where the BMC is and how to log in, from a node's `driver_info`
//! - [`client`]: requests with sessions, ETags and retries
//! - [`system`]: power and boot override
//! - [`virtual_media`]: inserting and ejecting, on every kind of BMC
//! - [`quirks`]: what single vendors need
//! - [`error`]: what a BMC says when it refuses

pub mod client;
pub mod error;
pub mod quirks;
pub mod settings;
pub mod system;
pub mod virtual_media;

pub use client::Client;
pub use error::RedfishError;
pub use settings::Settings;
pub use system::{Boot, Enabled, System};
