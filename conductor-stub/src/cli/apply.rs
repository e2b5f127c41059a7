//! `conductor-stub apply`.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::host::apply::{self, ApplyError};
use crate::host::document::Documents;
use crate::host::ironic::{Endpoint, Ironic};
use crate::host::wanted::Wanted;
use crate::log::printable;

/// Machines that are worked on at the same time.
const TOGETHER: usize = 32;
/// The longest file.
const LIMIT_BYTES: u64 = 16 << 20;

/// Takes BareMetalHosts where they are to be: registers, inspects, prepares, deploys, switches. Metal3's documents, with the
/// Secrets that they name; docs/hosts.md says which fields are honoured. Whatever is refused is refused before anything
/// is done. It may be interrupted and run again at any time; a second run changes nothing.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// YAML or JSON, one or many documents; - is standard input; may be given several times
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    endpoint: Endpoint,
    /// Seconds that one machine may take
    #[arg(long, value_name = "SECONDS", default_value_t = 7200)]
    timeout: u64,
    /// Only register the machines, and go
    #[arg(long)]
    no_wait: bool,
    /// Only say what would be refused or ignored; nothing is asked of the conductor but its drivers
    #[arg(long)]
    dry_run: bool,
}

/// Applies the files and prints what becomes of each machine.
///
/// # Errors
/// When a file is wrong, or a machine does not get where it is to be.
pub async fn run(arguments: Arguments) -> Result<()> {
    let mut documents = Documents::default();
    for file in &arguments.files {
        documents.read(&file.display().to_string(), &read(file)?)?;
    }
    if documents.hosts.is_empty() {
        bail!("there is no BareMetalHost in what was given");
    }
    let ironic = Ironic::new(&arguments.endpoint)?;
    let drivers = ironic.drivers().await?;
    let mut warnings = std::mem::take(&mut documents.warnings);
    let wanted: Result<Vec<Wanted>, _> =
        documents.hosts.iter().map(|host| Wanted::new(host, &documents, &drivers, &mut warnings)).collect();
    for warning in warnings {
        eprintln!("warning: {}", printable(&warning));
    }
    let wanted = wanted?;
    if arguments.dry_run {
        return Ok(());
    }
    let limit = Duration::from_secs(arguments.timeout);
    let slots = Arc::new(Semaphore::new(TOGETHER));
    let mut machines = JoinSet::new();
    for wanted in wanted {
        let (ironic, slots, wait) = (ironic.clone(), Arc::clone(&slots), !arguments.no_wait);
        machines.spawn(async move {
            let _slot = slots.acquire().await;
            let result = one(&ironic, &wanted, limit, wait).await;
            (wanted.name, result)
        });
    }
    let mut failed = 0;
    while let Some(machine) = machines.join_next().await {
        let (name, result) = machine.context("a machine was left alone")?;
        if let Err(error) = result {
            eprintln!("{name}: {}", printable(&error.to_string()));
            failed += 1;
        }
    }
    match failed {
        0 => Ok(()),
        1 => bail!("one machine is not where it is to be"),
        more => bail!("{more} machines are not where they are to be"),
    }
}

async fn one(ironic: &Ironic, wanted: &Wanted, limit: Duration, wait: bool) -> Result<(), ApplyError> {
    if wanted.paused {
        println!("baremetalhost.metal3.io/{} paused", wanted.name.name);
        return Ok(());
    }
    let change = apply::register(ironic, wanted, limit).await?;
    println!("baremetalhost.metal3.io/{} {}", wanted.name.name, change.word());
    if wait {
        apply::take_there(ironic, wanted, limit, |name, state| println!("{name}: {}", printable(state))).await?;
    }
    Ok(())
}

fn read(file: &std::path::Path) -> Result<String> {
    let shown = file.display();
    let mut text = String::new();
    let reader: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(std::fs::File::open(file).with_context(|| format!("opening {shown}"))?),
    };
    reader.take(LIMIT_BYTES + 1).read_to_string(&mut text).with_context(|| format!("reading {shown}"))?;
    if text.len() as u64 > LIMIT_BYTES {
        bail!("{shown} is larger than {} MiB", LIMIT_BYTES >> 20);
    }
    Ok(text)
}
