//! `conductor-stub bmc`: the Redfish emulator alone.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;

use super::stopped;
use crate::bmc::Definition;
use crate::bmc::server::{BmcServer, Setup, default_listen};
use crate::bmc::session::Account;

/// Serves Redfish for machines until it is stopped (Ctrl-C or SIGTERM); then the machines are switched off.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Address and port to listen on.
    #[arg(long, default_value_t = default_listen())]
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
    let account = arguments.user.zip(arguments.password).map(|(user, password)| Account { user, password });
    let stopped = stopped()?;
    let count = machines.len();
    let server = BmcServer::start(Setup { listen: arguments.listen, account, machines }).await?;
    println!("Redfish at http://{}/redfish/v1/ for {count} machine(s)", server.address);
    stopped.await;
    server.stop().await;
    Ok(())
}
