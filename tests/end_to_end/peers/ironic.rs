//! The real Ironic, unmodified and driven by its own client, with the real agent on a loop device.
//!
//! The machine is switched by Redfish: its BMC starts the agent when it is to boot a ramdisk.

mod containers;
mod failures;
mod hosts;
mod lab;
mod life;
