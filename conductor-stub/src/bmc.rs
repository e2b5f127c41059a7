//! The Redfish emulator: a BMC for QEMU machines, and for plain local processes.
//!
//! - [`definition`]: what a machine is made of, as its file says
//! - [`start`]: what it is started with; `process` and `qemu` are the two kinds, [`machine`] is either
//! - [`system`]: power, boot override, media and firmware of one machine, and how they act together ([`settings`] are the
//!   firmware's)
//! - [`firmware`]: the boot entry that a BMC leaves for the firmware, written into OVMF's variable store
//! - [`state`]: the BMC with its machines; [`account`] and `session` are who may ask, `task` what takes longer than its
//!   request, `event` who is told, [`fault`] what is to go wrong
//! - `documents`: what it answers
//! - [`api`]: the REST API
//! - [`server`]: all of it behind a socket, [`tls`] or not

pub mod account;
pub mod api;
pub mod definition;
mod documents;
mod event;
pub mod fault;
pub mod firmware;
pub mod machine;
mod media;
mod process;
mod qemu;
mod qmp;
pub mod server;
mod session;
pub mod settings;
pub mod start;
pub mod state;
pub mod system;
mod task;
pub mod tls;

pub use api::router;
pub use definition::Definition;
pub use state::Bmc;
