//! What the crate says of whole machines: captured ones (`fixtures/`), and made ones.
#![expect(clippy::unwrap_used, reason = "a test that meets an error stops at it")]

mod captured;
mod device_kinds;
mod device_names;
mod device_use;
mod interfaces;
mod recorded;
mod tree;
