//! `ferric-agent erase`.

use std::io::{IsTerminal, Write, stderr};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context as _, bail};
use ferric_hardware::block;
use ferric_hardware::machine::Machine;
use ferric_hardware::units::Bytes;
use ferric_steps::clean::{Outcome, erase, guard, metadata};
use ferric_steps::options::{Erase, Options};
use ferric_steps::progress::Progress;
use ferric_steps::site::Site;
use ferric_steps::step::Step;

use super::print;

/// How often the line on the terminal changes.
const REFRESH: Duration = Duration::from_millis(250);

/// Arguments of `erase`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Make this the only block device that exists (repeatable); admits loop devices
    #[arg(long, value_name = "DEV")]
    pub allow_device: Vec<PathBuf>,
    /// The block device to erase
    #[arg(long, value_name = "DEV")]
    pub device: PathBuf,
    /// Erase partition tables and signatures only
    #[arg(long, required_unless_present = "full", conflicts_with = "full")]
    pub metadata: bool,
    /// Erase the whole device, by its own secure erase where it has one, else by overwriting
    #[arg(long)]
    pub full: bool,
    /// Number of passes of random data before the last one of zeros, where the device has no erase of its own
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub passes: u64,
    /// Really do it
    #[arg(long, required = true)]
    pub yes_destroy_data: bool,
}

/// Erases the device.
///
/// # Errors
/// The reason, for people.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let machine = Machine::host();
    let allowed_devices = (!arguments.allow_device.is_empty()).then_some(arguments.allow_device);
    let step = Step::new(Site::new(machine, Options { allowed_devices, ..Options::default() }));
    let name = arguments.device.to_str().context("the device's name is not UTF-8")?;
    let listing = block::list(&step.site.machine, &step.device_policy());
    let disk = listing.find(&step.site.machine, name)?;
    let erase_options = Erase { iterations: arguments.passes, ..Erase::default() };
    guard::check(&step.site.machine, std::slice::from_ref(disk), &erase_options)?;
    step.progress.activity(format!("erasing {}", disk.name));
    step.progress.total(disk.size_bytes);
    let outcome = shown(&step.progress, || match arguments.metadata {
        true => metadata::erase_disk(&step.site.machine, disk),
        // Only this device was asked for: no other namespace of its controller may go with it.
        false => erase::erase_disk(&step, disk, &erase_options, &|_| false),
    })?;
    if outcome == Outcome::RaidMember {
        bail!("{}: left alone, it belongs to a software RAID", disk.name);
    }
    let what = if arguments.metadata { "metadata" } else { "content" };
    Ok(print::text(&format!("{}: {what} erased", disk.name))?)
}

/// Runs `work` with its progress on the terminal, when standard error is one.
fn shown<T>(progress: &Progress, work: impl FnOnce() -> T) -> T {
    let (done, finished) = channel::<()>();
    std::thread::scope(|scope| {
        if stderr().is_terminal() {
            scope.spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = finished.recv_timeout(REFRESH) {
                    let Some(now) = progress.snapshot() else { continue };
                    let total = now.total_bytes.map_or(String::new(), |total| format!(" of {}", Bytes(total)));
                    eprint!("\r{}: {}{total}\x1b[K", now.activity, Bytes(now.done_bytes));
                    stderr().flush().ok();
                }
                eprint!("\r\x1b[K");
            });
        }
        let result = work();
        drop(done);
        result
    })
}
