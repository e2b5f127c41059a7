//! The conductor's page, in a real browser (packages `chromium` and `chromium-driver`).
//!
//! - [`browser`]: Chromium; [`fleet`]: a conductor with many machines to look at
#![expect(clippy::unwrap_used, reason = "a test that meets an error stops at it")]

mod browser;
mod connection;
mod fleet;
mod list;
mod looks;
mod machine;
