//! `conductor-stub demo`.

use std::path::PathBuf;

use super::stopped;
use crate::demo::{self, Demo};
use anyhow::{Context, bail};

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Directory where the bootable image is kept between runs [default: ~/.cache/ferric]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// The agent program [default: ferric-agent beside this program]
    #[arg(long, value_name = "FILE")]
    pub agent: Option<PathBuf>,
    /// Leave the conductor with its page, the machine and its disk there afterwards, until Ctrl-C
    #[arg(long)]
    pub keep: bool,
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
    let stopped = stopped()?;
    tokio::pin!(stopped);
    let deployed = tokio::select! {
        result = demo.run() => result?,
        () = &mut stopped => bail!("interrupted"),
    };
    if arguments.keep {
        let url = deployed.url();
        println!("The page is at {url}/ until Ctrl-C. Ironic's client:");
        println!("    OS_AUTH_TYPE=none OS_ENDPOINT={url} baremetal node list");
        stopped.await;
    }
    deployed.stop().await;
    Ok(())
}
