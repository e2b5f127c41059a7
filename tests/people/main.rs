//! What people meet first: the programs on a terminal, their installation, and what the documents say of them.
#![expect(clippy::unwrap_used, reason = "a test that meets an error stops at it")]

mod blocks;
mod commands;
mod fresh;
mod install;
mod proofs;
mod sources;
mod terminal;
mod troubleshooting;
mod version;
