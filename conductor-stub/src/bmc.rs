//! The Redfish emulator: a BMC for QEMU machines with UEFI, and for plain local processes.
//!
//! - [`definition`]: what a machine is made of, as its file says
//! - [`machine`]: switching it on and off; `process` and `qemu` are the two kinds
//! - [`system`]: power, boot override and media of one machine, and how they act together
//! - [`redfish`]: the REST API (`documents` are its answers, `session` who may ask, `fault` what is to go wrong,
//!   `task` what takes longer than its request)
//! - [`server`]: all of it behind a socket
//! - [`firmware`]: the boot entry that a BMC leaves for the firmware, written into OVMF's variable store

pub mod definition;
mod documents;
pub mod fault;
pub mod firmware;
pub mod machine;
mod media;
mod process;
mod qemu;
mod qmp;
pub mod redfish;
pub mod server;
pub mod session;
pub mod system;
mod task;

pub use definition::Definition;
pub use redfish::{Bmc, router};
