//! `conductor-stub bmc`: the Redfish emulator alone.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::stopped;
use crate::bmc::Definition;
use crate::bmc::account::Account;
use crate::bmc::server::{BmcServer, Setup, default_listen};
use crate::bmc::tls::Tls;

/// Where the password is looked for when no file is named.
const PASSWORD: &str = "BMC_PASSWORD";

/// Serves Redfish for machines until it is stopped (Ctrl-C or SIGTERM); then the machines are switched off.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Address and port to listen on.
    #[arg(long, default_value_t = default_listen())]
    listen: SocketAddr,
    /// Machine file (YAML or JSON, see docs/bmc.md); may be given several times.
    #[arg(long = "machine", value_name = "FILE", required = true)]
    machines: Vec<PathBuf>,
    /// User name that clients have to give; without one everybody is admitted. The password comes from the environment,
    /// as BMC_PASSWORD, or from --password-file.
    #[arg(long)]
    user: Option<String>,
    /// File with that user's password (its first line).
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// Serve HTTPS with this certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The certificate's key (PEM). When neither file exists, both are made, self-signed.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
}

/// Runs the subcommand.
///
/// # Errors
/// When a machine file is wrong, there is a user without a password or the address cannot be listened on.
pub async fn run(arguments: Arguments) -> Result<()> {
    let machines = arguments.machines.iter().map(|path| Definition::load(path)).collect::<Result<Vec<_>, _>>()?;
    let account = match arguments.user {
        Some(user) => Some(Account { user, password: password(arguments.password_file)? }),
        None => None,
    };
    let tls = arguments.tls_certificate.zip(arguments.tls_key).map(|(certificate, key)| Tls { certificate, key });
    let stopped = stopped()?;
    let count = machines.len();
    let server = BmcServer::start(Setup { listen: arguments.listen, account, tls, machines }).await?;
    println!("Redfish at {}://{}/redfish/v1/ for {count} machine(s)", server.scheme, server.address);
    stopped.await;
    server.stop().await;
    Ok(())
}

fn password(file: Option<PathBuf>) -> Result<String> {
    let password = match file {
        Some(file) => std::fs::read_to_string(&file).with_context(|| format!("password file {}", file.display()))?,
        None => std::env::var(PASSWORD).with_context(|| format!("--user needs {PASSWORD} or --password-file"))?,
    };
    let password = password.lines().next().unwrap_or_default();
    ensure!(!password.is_empty(), "the password is empty");
    Ok(password.to_owned())
}
