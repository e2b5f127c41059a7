//! End-to-end tests: one binary, one module per subject. They need root; packages are listed in `.ci/packages`.
#![expect(clippy::unwrap_used, reason = "a test that meets an error stops at it")]

mod boot;
mod conductor;
mod coreos;
mod disk;
mod image;
mod peers;
mod protocol;
