//! `conductor-stub bmc`: the Redfish emulator alone.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use tokio::signal::unix::{SignalKind, signal};

use crate::bmc::session::Account;
use crate::bmc::{Bmc, Definition, router};

/// Serves Redfish for machines until it is stopped (Ctrl-C or SIGTERM); then the machines are switched off.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Address and port to listen on.
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Machine file (JSON, see docs/bmc.md); may be given several times.
    #[arg(long = "machine", value_name = "FILE", required = true)]
    machines: Vec<PathBuf>,
    /// User name that clients have to give; without one everybody is admitted.
    #[arg(long, requires = "password")]
    user: Option<String>,
    /// Password of that user.
    #[arg(long, requires = "user", env = "BMC_PASSWORD", hide_env_values = true)]
    password: Option<String>,
}

/// Runs the subcommand.
///
/// # Errors
/// When a machine file is wrong or the address cannot be listened on.
pub async fn run(arguments: Arguments) -> Result<()> {
    let machines = arguments.machines.iter().map(|path| Definition::load(path)).collect::<Result<Vec<_>, _>>()?;
    let mut uuids: Vec<_> = machines.iter().map(|machine| machine.uuid).collect();
    uuids.sort();
    uuids.dedup();
    ensure!(uuids.len() == machines.len(), "two machine files have the same uuid");
    let account = arguments.user.zip(arguments.password).map(|(user, password)| Account { user, password });
    crate::tls::use_ring();
    let client = reqwest::Client::builder().build().context("preparing the HTTP client")?;
    let bmc = Bmc::new(machines, account, client);
    let listener = tokio::net::TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("listening on {}", arguments.listen))?;
    println!("Redfish at http://{}/redfish/v1/ for {} machine(s)", listener.local_addr()?, uuids.len());
    let mut terminate = signal(SignalKind::terminate())?;
    let stopped = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    };
    // Open keep-alive connections must not hold up the end, so there is no graceful shutdown of the server.
    tokio::select! {
        served = axum::serve(listener, router(bmc.clone())).into_future() => served?,
        () = stopped => {}
    }
    bmc.switch_off().await;
    Ok(())
}
