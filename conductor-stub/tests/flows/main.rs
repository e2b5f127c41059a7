//! The conductor's flows over real HTTP, with an agent that is a few lines of test.
#![expect(clippy::unwrap_used, reason = "a test that meets an error stops at it")]

mod agent;
mod api;
mod attacks;
mod bench;
mod crash;
#[path = "../boot/efi.rs"]
mod efi;
mod events;
#[path = "../boot/eventually.rs"]
mod eventually;
mod life;
mod trouble;
