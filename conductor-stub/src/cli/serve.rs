//! `conductor-stub serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::server::Server;

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Address and port to listen on
    #[arg(long, value_name = "A:P", default_value = "127.0.0.1:6385")]
    pub listen: SocketAddr,
    /// Directory of the database; made if it is not there
    #[arg(long, value_name = "DIR", default_value = "/var/lib/conductor-stub")]
    pub state_dir: PathBuf,
    /// Options, as one JSON object (require_tls, heartbeat_timeout_seconds, callback_timeout_seconds…)
    #[arg(long, value_name = "F")]
    pub config: Option<PathBuf>,
}

/// Serves until SIGINT or SIGTERM; prints the URL when it is ready.
///
/// # Errors
/// When the configuration is wrong or the address is taken.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = match &arguments.config {
        Some(file) => Config::read(file)?,
        None => Config::default(),
    };
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let server = Server::start(config, &arguments.state_dir, arguments.listen).await?;
    println!("http://{}", server.address);
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    server.stop().await;
    Ok(())
}
