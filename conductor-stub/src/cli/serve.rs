//! `conductor-stub serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::task::JoinSet;

use super::stopped;
use crate::bmc::server::BmcServer;
use crate::config::Config;
use crate::flow::journey;
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
    /// Options, as one JSON object (require_tls, heartbeat_timeout_seconds, nodes, bmc…; see docs/boot.md). Nodes named
    /// there are enrolled and taken to `active`
    #[arg(long, value_name = "F")]
    pub config: Option<PathBuf>,
}

/// Serves until SIGINT or SIGTERM; prints the URL when it is ready, and a line for each node of the configuration that
/// got where it belongs, or did not.
///
/// # Errors
/// When the configuration is wrong or the address is taken.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = match &arguments.config {
        Some(file) => Config::read(file)?,
        None => Config::default(),
    };
    let nodes = config.nodes.clone();
    let stopped = stopped()?;
    let bmc = match config.bmc.clone() {
        Some(setup) => Some(BmcServer::start(setup).await?),
        None => None,
    };
    let server = Server::start(config, &arguments.state_dir, arguments.listen).await?;
    println!("http://{}", server.address);
    let mut journeys = JoinSet::new();
    for node in nodes {
        journeys.spawn(journey::take_there(server.conductor.clone(), node));
    }
    tokio::select! {
        () = report(&mut journeys) => {}
        () = stopped => {}
    }
    journeys.shutdown().await;
    server.stop().await;
    if let Some(bmc) = bmc {
        bmc.stop().await;
    }
    Ok(())
}

/// Prints how each node fared, then waits for ever.
async fn report(journeys: &mut JoinSet<(String, Result<&'static str, String>)>) {
    while let Some(journey) = journeys.join_next().await {
        match journey {
            Ok((node, Ok(state))) => println!("{node} is {state}"),
            Ok((node, Err(reason))) => eprintln!("{node}: {reason}"),
            Err(error) => tracing::error!("a node was left alone: {error}"),
        }
    }
    std::future::pending().await
}
