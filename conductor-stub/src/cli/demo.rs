//! `conductor-stub demo`.

use std::path::PathBuf;

use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};

use crate::demo::{self, Demo};

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Directory where the bootable image is kept between runs [default: ~/.cache/ferric]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// The agent program [default: ferric-agent beside this program]
    #[arg(long, value_name = "FILE")]
    pub agent: Option<PathBuf>,
}

/// Runs the demonstration; SIGINT and SIGTERM end it and leave nothing behind.
///
/// # Errors
/// What went wrong.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let conductor = std::env::current_exe().context("finding this program")?;
    let demo = Demo {
        cache: arguments.cache.unwrap_or_else(demo::default_cache),
        agent: arguments.agent.unwrap_or_else(|| conductor.with_file_name("ferric-agent")),
        conductor,
    };
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    tokio::select! {
        result = demo.run() => result,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}
