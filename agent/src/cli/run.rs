//! `ferric-agent run`.

use anyhow::Context;
use ferric_hardware::machine::Machine;

use crate::agent::Agent;
use crate::config::flags::Flags;
use crate::config::{Config, kernel};
use crate::{logging, run, virtual_media};

/// Arguments of `run`: every option of the configuration.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    flags: Flags,
}

/// Threads that carry requests; steps have threads of their own.
const WORKERS: usize = 2;

/// Runs the agent.
///
/// # Errors
/// Bad configuration, or no node was found in time.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let machine = Machine::host();
    let mut kernel = kernel::parse(&machine.read("/proc/cmdline").unwrap_or_default());
    let media = virtual_media::apply(&machine, &mut kernel).context("configuring from virtual media")?;
    let config = Config::load(&arguments.flags.into_sources(kernel).with_directories(media))?;
    logging::init(&config.settings().log)?;
    let agent = Agent::new(machine, config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    let ended = runtime.block_on(run::run(agent));
    // Nothing that still blocks a thread (a name that is being resolved, a disk that is being read) holds up the end.
    runtime.shutdown_background();
    ended
}
