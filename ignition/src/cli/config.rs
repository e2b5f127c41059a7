//! `ferric-ignition config`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use ferric_ignition::agent_conf::AgentOption;
use ferric_ignition::config::{Agent, Keyfile, Setup};
use ferric_ignition::document::Proxy;

use super::print;

/// Arguments of `config`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Base URL of the Ironic API, without /v1; repeat or separate by commas for further ones, tried in order
    #[arg(long, value_name = "URL", required = true, value_delimiter = ',')]
    api_url: Vec<String>,
    /// Container image to pull and run
    #[arg(long, value_name = "REF", required_unless_present = "binary_url")]
    image: Option<String>,
    /// Run the static binary from this URL instead of a container: no registry needed
    #[arg(long, value_name = "URL", conflicts_with = "image", requires = "binary_sha512")]
    binary_url: Option<String>,
    /// SHA-512 of the binary, in hexadecimal
    #[arg(long, value_name = "HEX", requires = "binary_url")]
    binary_sha512: Option<String>,
    /// Send inspection data whenever the agent starts, not only when a kernel argument asks for it
    #[arg(long)]
    inspect: bool,
    /// Agent option for its configuration file, SECTION.NAME=VALUE outside of [DEFAULT]; repeatable
    #[arg(long, value_name = "NAME=VALUE")]
    option: Vec<AgentOption>,
    /// File with SSH public keys for the user core; repeatable
    #[arg(long, value_name = "FILE")]
    ssh_key: Vec<PathBuf>,
    /// Accept a registry without TLS or with an unknown certificate
    #[arg(long, conflicts_with = "binary_url")]
    insecure_registry: bool,
    /// File with the registry's credentials, as podman's auth.json
    #[arg(long, value_name = "FILE", conflicts_with = "binary_url")]
    pull_secret: Option<PathBuf>,
    /// Host name of the live system
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Directory of NetworkManager keyfiles (*.nmconnection) for the live system; install_coreos copies them on
    #[arg(long, value_name = "DIR")]
    network: Option<PathBuf>,
    /// File with certificate authorities (PEM) that Ignition and the agent trust in addition
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Proxy for http URLs: for Ignition, podman and the agent
    #[arg(long, value_name = "URL")]
    http_proxy: Option<String>,
    /// Proxy for https URLs
    #[arg(long, value_name = "URL")]
    https_proxy: Option<String>,
    /// Host or network to reach without proxy; repeat or separate by commas for more
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    no_proxy: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let document = setup(arguments)?.document()?;
    Ok(print::text(&serde_json::to_string_pretty(&document)?)?)
}

fn setup(arguments: &Arguments) -> anyhow::Result<Setup> {
    let mut ssh_keys = Vec::new();
    for path in &arguments.ssh_key {
        let text = text(path)?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        ssh_keys.extend(lines.map(str::to_owned));
    }
    Ok(Setup {
        api_urls: arguments.api_url.clone(),
        agent: agent(arguments)?,
        inspect: arguments.inspect,
        options: arguments.option.clone(),
        ssh_keys,
        hostname: arguments.hostname.clone(),
        network: arguments.network.as_deref().map(keyfiles).transpose()?.unwrap_or_default(),
        proxy: Proxy {
            http_proxy: arguments.http_proxy.clone(),
            https_proxy: arguments.https_proxy.clone(),
            no_proxy: arguments.no_proxy.clone(),
        },
        certificates: arguments.ca.as_deref().map(text).transpose()?,
    })
}

fn agent(arguments: &Arguments) -> anyhow::Result<Agent> {
    Ok(match (&arguments.binary_url, &arguments.binary_sha512, &arguments.image) {
        (Some(url), Some(sha512), _) => Agent::Binary { url: url.clone(), sha512: sha512.clone() },
        (_, _, Some(reference)) => Agent::Image {
            reference: reference.clone(),
            insecure_registry: arguments.insecure_registry,
            pull_secret: arguments.pull_secret.as_deref().map(text).transpose()?,
        },
        _ => anyhow::bail!("either --image or --binary-url with --binary-sha512 is needed"),
    })
}

fn keyfiles(directory: &Path) -> anyhow::Result<Vec<Keyfile>> {
    let reading = || format!("reading {}", directory.display());
    let mut keyfiles = Vec::new();
    for entry in fs::read_dir(directory).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        let contents = fs::read(entry.path()).with_context(|| format!("reading {}", entry.path().display()))?;
        keyfiles.push(Keyfile { name: entry.file_name().to_string_lossy().into_owned(), contents });
    }
    keyfiles.sort_by(|one, other| one.name.cmp(&other.name));
    anyhow::ensure!(!keyfiles.is_empty(), "{} has no network configuration in it", directory.display());
    Ok(keyfiles)
}

fn text(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}
