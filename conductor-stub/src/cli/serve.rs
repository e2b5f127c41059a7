//! `conductor-stub serve`.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::Context;
use tokio::task::JoinSet;

use super::{download_coreos, stopped};
use crate::bmc::server::BmcServer;
use crate::config::Config;
use crate::flow::journey;
use crate::log::printable;
use crate::server::Server;

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Address and port to listen on. Beyond loopback the configuration has to say who may come in: auth_strategy
    /// http_basic, or allow_unauthenticated_access_from_the_network
    #[arg(long, value_name = "A:P", default_value = "127.0.0.1:6385")]
    pub listen: SocketAddr,
    /// Listen on the socket that is standard input: who starts this program holds it already, and nobody else can take it
    #[arg(long, hide = true, conflicts_with = "listen")]
    pub listen_on_stdin: bool,
    /// Directory of the database and everything else that is kept; made if it is not there, closed to others (0700), and
    /// used by one conductor at a time
    #[arg(long, value_name = "DIR", default_value = "/var/lib/conductor-stub")]
    pub state_dir: PathBuf,
    /// Options, YAML or JSON (auth_strategy, file_url_allowed_paths, nodes, bmc…; docs/conductor.md has every key with
    /// its unit and default). Nodes named there are enrolled and taken to `active`
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub config: Option<PathBuf>,
}

/// Serves until SIGINT or SIGTERM; prints the URL when it is ready, and a line for each node of the configuration that
/// got where it belongs, or did not.
///
/// # Errors
/// When the configuration is wrong or the address is taken.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut config = match &arguments.config {
        Some(file) => Config::read(file)?,
        None => Config::default(),
    };
    config.coreos_ipa = config.coreos_ipa.with_environment()?;
    download_coreos::at_start(&config.coreos_ipa).await;
    let nodes = config.nodes.clone();
    let stopped = stopped()?;
    let bmc = match config.bmc.clone() {
        Some(setup) => Some(BmcServer::start(setup).await?),
        None => None,
    };
    let server = match arguments.listen_on_stdin {
        true => {
            let socket = std::io::stdin().as_fd().try_clone_to_owned().context("taking the socket")?;
            Server::start_on(config, &arguments.state_dir, socket.into()).await?
        }
        false => Server::start(config, &arguments.state_dir, arguments.listen).await?,
    };
    println!("{}", server.url);
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
            Ok((node, Err(reason))) => eprintln!("{node}: {}", printable(&reason)),
            Err(error) => tracing::error!("a node was left alone: {error}"),
        }
    }
    std::future::pending().await
}
