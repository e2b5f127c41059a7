//! `ferric-ignition config`.

use std::path::{Path, PathBuf};

use crate::agent_conf::AgentOption;
use crate::config::{Agent, Further, Setup};
use crate::directory;
use crate::document::Proxy;
use crate::kernel_arguments::KernelArgument;

use super::{input, output, print};

/// Arguments of `config`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Base URL of the Ironic API, without /v1; repeat or separate by commas for further ones, tried in order
    #[arg(long, value_name = "URL", required = true, value_delimiter = ',', help_heading = "Agent")]
    api_url: Vec<String>,
    /// Container image to pull and run
    #[arg(long, value_name = "REF", required_unless_present = "binary_url", help_heading = "Agent")]
    image: Option<String>,
    /// Run the static binary from this URL instead of a container: no registry needed
    #[arg(long, value_name = "URL", conflicts_with = "image", requires = "binary_sha512", help_heading = "Agent")]
    binary_url: Option<String>,
    /// SHA-512 of the binary, in hexadecimal
    #[arg(long, value_name = "HEX", requires = "binary_url", help_heading = "Agent")]
    binary_sha512: Option<String>,
    /// Send inspection data whenever the agent starts, not only when a kernel argument asks for it
    #[arg(long, help_heading = "Agent")]
    inspect: bool,
    /// Agent option for its configuration file, SECTION.NAME=VALUE outside of [DEFAULT]; repeatable
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Agent")]
    option: Vec<AgentOption>,
    /// File with SSH public keys for the user core; repeatable
    #[arg(long, value_name = "FILE", help_heading = "Live system")]
    ssh_key: Vec<PathBuf>,
    /// Accept a registry without TLS or with an unknown certificate
    #[arg(long, conflicts_with = "binary_url", help_heading = "Registry")]
    insecure_registry: bool,
    /// File with the registry's credentials, as podman's auth.json
    #[arg(long, value_name = "FILE", conflicts_with = "binary_url", help_heading = "Registry")]
    pull_secret: Option<PathBuf>,
    /// Where the image may be, too: HOST[:PORT][/PATH] in the place of its registry, tried first; repeatable
    #[arg(long, value_name = "PLACE", requires = "image", help_heading = "Registry")]
    registry_mirror: Vec<String>,
    /// Host name of the live system
    #[arg(long, value_name = "NAME", help_heading = "Live system")]
    hostname: Option<String>,
    /// Directory of NetworkManager keyfiles (*.nmconnection) for the live system; install_coreos copies them on
    #[arg(long, value_name = "DIR", help_heading = "Live system")]
    network: Option<PathBuf>,
    /// Kernel argument ip=… of what install_coreos installs
    #[arg(long, value_name = "ARGUMENT", help_heading = "Live system")]
    ip_options: Option<KernelArgument>,
    /// Directory laid out like the root of the live system: its files and symbolic links are added
    #[arg(long, value_name = "DIR", help_heading = "Live system")]
    files: Option<PathBuf>,
    /// Directory of systemd units, and of drop-ins in NAME.d: those with a section [Install] are enabled
    #[arg(long, value_name = "DIR", help_heading = "Live system")]
    units: Option<PathBuf>,
    /// File with certificate authorities (PEM) that Ignition, podman, the agent and the host trust in addition
    #[arg(long, value_name = "FILE", help_heading = "Trust and proxies")]
    ca: Option<PathBuf>,
    /// Proxy for http URLs: for Ignition, podman and the agent
    #[arg(long, value_name = "URL", help_heading = "Trust and proxies")]
    http_proxy: Option<String>,
    /// Proxy for https URLs
    #[arg(long, value_name = "URL", help_heading = "Trust and proxies")]
    https_proxy: Option<String>,
    /// Host or network to reach without proxy; repeat or separate by commas for more
    #[arg(long, value_name = "HOST", value_delimiter = ',', help_heading = "Trust and proxies")]
    no_proxy: Vec<String>,
    /// Write the config to this new file (mode 0600); - is standard output
    #[arg(short, long, value_name = "OUT", default_value = "-")]
    output: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let setup = setup(arguments)?;
    let text = serde_json::to_string_pretty(&setup.document()?)? + "\n";
    if arguments.output == Path::new("-") {
        print::text(&text)?;
    } else {
        output::to(&arguments.output, |out| Ok(out.write_all(text.as_bytes())?))?;
    }
    if !setup.network.is_empty() && setup.is_downloaded() {
        eprintln!(
            "ferric-ignition: Ignition downloads the agent before it writes the network configuration: without DHCP, give \
             the keyfiles to the initramfs as well (iso network embed, pxe network wrap)"
        );
    }
    Ok(())
}

fn setup(arguments: &Arguments) -> anyhow::Result<Setup> {
    let mut ssh_keys = Vec::new();
    for path in &arguments.ssh_key {
        let text = input::text(path)?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        ssh_keys.extend(lines.map(str::to_owned));
    }
    let mut further = Further::default();
    if let Some(directory) = &arguments.files {
        directory::add_files(directory, &mut further)?;
    }
    if let Some(directory) = &arguments.units {
        directory::add_units(directory, &mut further)?;
    }
    Ok(Setup {
        api_urls: arguments.api_url.clone(),
        agent: agent(arguments)?,
        inspect: arguments.inspect,
        options: arguments.option.clone(),
        ssh_keys,
        hostname: arguments.hostname.clone(),
        network: arguments.network.as_deref().map(input::keyfiles).transpose()?.unwrap_or_default(),
        ip_options: arguments.ip_options.clone(),
        proxy: Proxy {
            http_proxy: arguments.http_proxy.clone(),
            https_proxy: arguments.https_proxy.clone(),
            no_proxy: arguments.no_proxy.clone(),
        },
        further,
        certificates: arguments.ca.as_deref().map(input::text).transpose()?,
    })
}

fn agent(arguments: &Arguments) -> anyhow::Result<Agent> {
    Ok(match (&arguments.binary_url, &arguments.binary_sha512, &arguments.image) {
        (Some(url), Some(sha512), _) => Agent::Binary { url: url.clone(), sha512: sha512.clone() },
        (_, _, Some(reference)) => Agent::Image {
            reference: reference.clone(),
            insecure_registry: arguments.insecure_registry,
            mirrors: arguments.registry_mirror.clone(),
            pull_secret: arguments.pull_secret.as_deref().map(input::text).transpose()?,
        },
        _ => anyhow::bail!("either --image or --binary-url with --binary-sha512 is needed"),
    })
}
