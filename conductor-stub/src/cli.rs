//! The command line of `conductor-stub`. One file per subcommand: its arguments and what it does.

pub mod apply;
pub mod bmc;
pub mod demo;
pub mod download_coreos;
pub mod get;
pub mod lab;
pub mod serve;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

const EXAMPLES: &str = "\
Examples:
  The whole life of one machine on a loop device (root), and its page until Ctrl-C:
    conductor-stub demo --keep
  Three blank virtual machines, their BMCs and a conductor that knows them, until Ctrl-C:
    conductor-stub lab --machines 3
  A conductor for Ironic's own clients:
    conductor-stub serve --state-dir /tmp/conductor
    OS_AUTH_TYPE=none OS_ENDPOINT=http://127.0.0.1:6385 baremetal node list
  Metal3's documents:
    conductor-stub apply -f examples/hosts.yaml
    conductor-stub get hosts

Exit codes: 0 done, 1 the work failed, 2 wrong usage.";

/// A conductor that drives the Ironic agent end to end
#[derive(Debug, Parser)]
#[command(name = "conductor-stub", version = env!("FERRIC_VERSION"), max_term_width = 100, after_help = EXAMPLES)]
pub struct CommandLine {
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the whole life of one machine on a throw-away disk (root)
    Demo(demo::Arguments),
    /// Make blank virtual machines with BMCs, and a conductor that has them enrolled
    Lab(lab::Arguments),
    /// Serve the conductor: its API, artefacts and page
    Serve(serve::Arguments),
    /// Take BareMetalHosts (Metal3's documents) where they are to be
    Apply(apply::Arguments),
    /// Show machines as BareMetalHosts
    Get(get::Arguments),
    /// Serve the Redfish emulator alone
    Bmc(bmc::Arguments),
    /// Download the artefacts of a CoreOS release
    DownloadCoreos(download_coreos::Arguments),
}

/// Waits for SIGINT or SIGTERM, from the call on.
fn stopped() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
