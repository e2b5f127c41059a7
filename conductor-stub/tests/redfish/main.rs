//! The Redfish client against the Redfish emulator, and against replayed BMCs of several vendors, over real sockets.

#![expect(clippy::unwrap_used, reason = "a test that meets an error should stop at it")]

mod contents;
mod distrust;
mod emulator;
#[path = "../boot/eventually.rs"]
mod eventually;
mod power;
mod replay;
mod vendors;
