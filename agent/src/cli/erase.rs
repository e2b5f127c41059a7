//! `ferric-agent erase`.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Args;
use clap::error::ErrorKind;
use ferric_hardware::block::{self, EligibleDevice};
use ferric_hardware::machine::Machine;
use ferric_steps::clean::record::{Outcome, Record};
use ferric_steps::clean::{erase, guard, metadata};
use ferric_steps::options::{Erase, Options};
use ferric_steps::site::Site;
use ferric_steps::step::Step;

use super::confirmation::Confirmation;
use super::display::{self, Style};
use super::print;

/// Arguments of `erase`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Make this the only block device that exists (repeatable); admits loop devices
    #[arg(long, value_name = "DEV")]
    pub allow_device: Vec<PathBuf>,
    /// The block device to erase (repeatable: all at the same time)
    #[arg(long, value_name = "DEV", required = true)]
    pub device: Vec<PathBuf>,
    /// Erase partition tables and signatures only
    #[arg(long, required_unless_present = "full", conflicts_with = "full")]
    pub metadata: bool,
    /// Erase the whole device, by its own secure erase where it has one, else by overwriting
    #[arg(long)]
    pub full: bool,
    /// Number of passes of random data before the last one of zeros, where the device has no erase of its own
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub passes: u64,
    /// How much of the device is read afterwards, in percent; 0: 64 samples
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub verify: u8,
    /// Print the record of the erase as JSON; a list of records when several devices are named
    #[arg(long)]
    pub json: bool,
    /// Keep the same, also of an erase that failed, in this file
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// How progress is shown on stderr; auto: bars on a terminal, elsewhere only what holds it up
    #[arg(long, value_name = "STYLE", default_value = "auto", value_parser = display::STYLES)]
    pub progress: String,
    /// Whether it may be done.
    #[command(flatten)]
    pub confirmation: Confirmation,
}

/// Erases the devices.
///
/// # Errors
/// The reason, for people: one line for each device that is not erased.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    if !arguments.confirmation.is_possible() {
        let text = "--yes-destroy-data is required where nobody can be asked";
        let command = Arguments::augment_args(clap::Command::new("ferric-agent erase"));
        command.bin_name("ferric-agent erase").error(ErrorKind::MissingRequiredArgument, text).exit();
    }
    let (as_json, report) = (arguments.json, arguments.report.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let records = runtime.block_on(erased(arguments))?;
    let json = match &records[..] {
        [record] => serde_json::to_string_pretty(record)?,
        records => serde_json::to_string_pretty(records)?,
    };
    if let Some(report) = report {
        std::fs::write(&report, format!("{json}\n")).with_context(|| format!("the report {}", report.display()))?;
    }
    let (done, failed): (Vec<_>, Vec<_>) =
        records.iter().partition(|record| matches!(record.outcome, Outcome::Erased | Outcome::Passed));
    if as_json {
        print::text(&json)?;
    } else if !done.is_empty() {
        print::text(&done.into_iter().map(said).collect::<Vec<_>>().join("\n"))?;
    }
    let failed: Vec<String> = failed.into_iter().map(not_erased).collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

async fn erased(arguments: Arguments) -> anyhow::Result<Vec<Record>> {
    let allowed_devices = (!arguments.allow_device.is_empty()).then_some(arguments.allow_device);
    let step = Step::new(Site::new(Machine::host(), Options { allowed_devices, ..Options::default() }));
    let listing = block::list(&step.site.machine, &step.device_policy());
    let mut disks: Vec<EligibleDevice> = Vec::new();
    for name in &arguments.device {
        let name = name.to_str().context("the device's name is not UTF-8")?;
        let disk = listing.find(&step.site.machine, name)?;
        if !disks.iter().any(|known| known.name == disk.name) {
            disks.push(disk.clone());
        }
    }
    let options = Erase {
        iterations: arguments.passes,
        verify_percent: arguments.verify,
        concurrency: disks.len(),
        ..Erase::default()
    };
    for disk in &disks {
        arguments.confirmation.ask(disk)?;
    }
    guard::check(&step.site.machine, &disks, &options)?;
    step.progress.activity(match &disks[..] {
        [disk] => format!("erasing {}", disk.name),
        disks => format!("erasing {} devices", disks.len()),
    });
    let cancel = step.cancel.clone();
    tokio::spawn(async move {
        // The work ends at its next safe point, and says what that means.
        if tokio::signal::ctrl_c().await.is_ok() {
            cancel.cancel();
        }
    });
    let shown = display::show(Style::parse(&arguments.progress), step.progress.clone());
    let records = tokio::task::spawn_blocking(move || match arguments.metadata {
        true => metadata::erase_named(&step, &disks, &options),
        false => erase::erase_named(&step, &disks, &options),
    })
    .await?;
    shown.end().await;
    Ok(records)
}

/// Why a device is not erased.
fn not_erased(record: &Record) -> String {
    let reason = record.reason.as_deref().unwrap_or("unknown");
    match record.outcome {
        Outcome::Left => format!("{}: left alone: {reason}", record.device),
        Outcome::Erased | Outcome::Passed | Outcome::Failed => format!("{}: {reason}", record.device),
        Outcome::Cancelled => format!(
            "{}: stopped on request. The device is half erased: what was not reached still holds its old content, and what \
             was on it cannot be used. Erase it again before it leaves your hands",
            record.device
        ),
    }
}

/// One line about what was done.
fn said(record: &Record) -> String {
    let method = record.method.map(|method| method.to_string()).unwrap_or_default();
    let what = if method == "metadata" { "metadata" } else { "content" };
    let samples = record.verified.map_or(0, |verified| verified.samples);
    format!("{}: {what} erased ({method}, {samples} samples verified, {:.1} s)", record.device, record.seconds)
}
