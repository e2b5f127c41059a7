//! `conductor-stub get`.

use anyhow::{Result, bail};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::host::ironic::{Endpoint, Ironic};
use crate::host::status::{Host, table};
use crate::log::printable;

/// Shows machines as BareMetalHosts, as `kubectl get` does.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What to show
    #[arg(value_enum)]
    kind: Kind,
    /// Only these machines
    names: Vec<String>,
    #[command(flatten)]
    endpoint: Endpoint,
    /// Namespace of the machines
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
    /// Machines of every namespace
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// How
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// BareMetalHosts
    #[value(aliases = ["host", "bmh", "baremetalhost", "baremetalhosts"])]
    Hosts,
}

#[derive(Debug, Clone, Copy, PartialEq, clap::ValueEnum)]
enum Output {
    /// A line for each
    Table,
    /// The same with status and BMC
    Wide,
    /// Whole documents, with what inspection found
    Json,
    /// The same
    Yaml,
    /// Names alone
    Name,
}

/// Prints the machines.
///
/// # Errors
/// When the conductor does not answer, or there is no machine of a given name.
pub async fn run(arguments: Arguments) -> Result<()> {
    let Kind::Hosts = arguments.kind;
    let ironic = Ironic::new(&arguments.endpoint)?;
    let mut hosts: Vec<Host> = ironic.nodes().await?.into_iter().filter_map(Host::new).collect();
    hosts.retain(|host| arguments.all_namespaces || host.name.namespace == arguments.namespace);
    for name in &arguments.names {
        if !hosts.iter().any(|host| host.name.name == *name) {
            bail!("baremetalhosts.metal3.io {name:?} not found");
        }
    }
    if !arguments.names.is_empty() {
        hosts.retain(|host| arguments.names.contains(&host.name.name));
    }
    hosts.sort_by(|a, b| a.name.cmp(&b.name));
    match arguments.output {
        Output::Name => {
            for host in &hosts {
                println!("baremetalhost.metal3.io/{}", printable(&host.name.name));
            }
        }
        Output::Json => println!("{:#}", documents(&ironic, &hosts).await?),
        Output::Yaml => print!("{}", serde_saphyr::to_string(&documents(&ironic, &hosts).await?)?),
        Output::Table | Output::Wide if hosts.is_empty() => eprintln!("No resources found"),
        Output::Table | Output::Wide => {
            let is_wide = arguments.output == Output::Wide;
            let lines = table(&hosts, is_wide, arguments.all_namespaces, OffsetDateTime::now_utc());
            for line in lines.lines() {
                println!("{}", printable(line));
            }
        }
    }
    Ok(())
}

async fn documents(ironic: &Ironic, hosts: &[Host]) -> Result<Value> {
    let mut items = Vec::new();
    for host in hosts {
        let inventory = ironic.inventory(host.uuid()).await?;
        items.push(host.document(inventory.as_ref()));
    }
    Ok(json!({"apiVersion": "v1", "kind": "List", "items": items}))
}
