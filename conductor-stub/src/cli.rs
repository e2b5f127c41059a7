//! One file per subcommand.

pub mod apply;
pub mod bmc;
pub mod demo;
pub mod download_coreos;
pub mod get;
pub mod serve;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

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
