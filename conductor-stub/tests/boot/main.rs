//! Hardware type `redfish` in front of the Redfish emulator: what a machine is given to boot, and what is left of that
//! when something goes wrong.
#![expect(clippy::unwrap_used, reason = "a test that meets an error should stop at it")]

mod bench;
mod efi;
mod eventually;
mod hosts;
mod instance_iso;
#[path = "../../load/live_iso.rs"]
mod live_iso;
mod management;
mod ramdisk;
mod stock;
mod trouble;
mod variants;
