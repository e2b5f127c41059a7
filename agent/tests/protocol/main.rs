//! The agent's protocol, seen from outside: the real program, a conductor that is only a script of answers, real HTTP.
//! No block device exists for these agents.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod api;
mod commands;
mod disks;
mod fixture;
mod heartbeat;
mod inspection;
mod lookup;
mod masking;
mod metrics;
mod restart;
mod tls;
