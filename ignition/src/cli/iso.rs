//! `ferric-ignition iso`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use ferric_ignition::kernel_arguments::KernelArgument;
use ferric_ignition::live_iso::LiveIso;
use ferric_ignition::patch::{self, Patch};
use ferric_ignition::user_config::UserConfig;
use serde_json::Value;

use super::print;

/// Subcommands of `iso`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Embed an Ignition config
    Embed {
        /// The live ISO; changed in place unless -o is given
        iso: PathBuf,
        /// The Ignition config; - is standard input
        #[arg(short = 'i', long, value_name = "CONFIG")]
        ignition: PathBuf,
        /// Replace a config that is embedded already
        #[arg(short, long)]
        force: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Write the embedded Ignition config to standard output
    Show {
        /// The live ISO
        iso: PathBuf,
    },
    /// Take the embedded Ignition config out
    Remove {
        /// The live ISO; changed in place unless -o is given
        iso: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// The kernel arguments that the ISO boots with
    #[command(subcommand)]
    Kargs(Kargs),
}

/// Subcommands of `iso kargs`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Kargs {
    /// Write the kernel arguments to standard output
    Show {
        /// The live ISO
        iso: PathBuf,
    },
    /// Add kernel arguments behind the present ones
    Append {
        /// The live ISO; changed in place unless -o is given
        iso: PathBuf,
        /// Arguments, each one word
        #[arg(required = true, value_name = "ARGUMENT")]
        arguments: Vec<KernelArgument>,
        #[command(flatten)]
        output: Output,
    },
    /// Go back to the kernel arguments that the ISO was made with
    Reset {
        /// The live ISO; changed in place unless -o is given
        iso: PathBuf,
        #[command(flatten)]
        output: Output,
    },
}

/// Where the changed ISO goes.
#[derive(Debug, clap::Args)]
pub(crate) struct Output {
    /// Write a changed copy and leave the ISO alone; - is standard output
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
}

pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Embed { iso, ignition, force, output } => {
            let (text, config) = ignition_config(ignition)?;
            change(iso, output, |live| {
                ensure!(*force || live.ignition().is_none(), "an Ignition config is embedded already: -f replaces it");
                live.set_ignition(&text);
                Ok(())
            })?;
            for warning in config.warnings() {
                eprintln!("ferric-ignition: {}: {warning}", ignition.display());
            }
            Ok(())
        }
        Command::Show { iso } => {
            let live = open(iso)?.1;
            let config = live.ignition().with_context(|| format!("{} has no Ignition config in it", iso.display()))?;
            Ok(io::stdout().write_all(config)?)
        }
        Command::Remove { iso, output } => change(iso, output, |live| {
            live.remove_ignition();
            Ok(())
        }),
        Command::Kargs(Kargs::Show { iso }) => {
            Ok(print::text(open(iso)?.1.kernel_arguments().with_context(|| iso.display().to_string())?)?)
        }
        Command::Kargs(Kargs::Append { iso, arguments, output }) => {
            change(iso, output, |live| Ok(live.append_kernel_arguments(arguments)?))
        }
        Command::Kargs(Kargs::Reset { iso, output }) => change(iso, output, |live| Ok(live.reset_kernel_arguments()?)),
    }
}

fn change(path: &Path, output: &Output, modify: impl FnOnce(&mut LiveIso) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let (mut image, mut live) = open(path)?;
    modify(&mut live).with_context(|| path.display().to_string())?;
    let patches = live.patches().with_context(|| path.display().to_string())?;
    match &output.output {
        None => {
            let file = OpenOptions::new().write(true).open(path);
            let file = file.with_context(|| format!("opening {} for writing", path.display()))?;
            patch::apply(&file, &patches).with_context(|| format!("writing {}", path.display()))
        }
        Some(copy) if copy == Path::new("-") => Ok(patch::copy(&mut image, &mut io::stdout().lock(), &patches)?),
        Some(copy) => write_copy(&mut image, copy, &patches).with_context(|| format!("writing {}", copy.display())),
    }
}

/// A copy that could not be finished is removed.
fn write_copy(image: &mut File, copy: &Path, patches: &[Patch]) -> anyhow::Result<()> {
    let mut file = File::create_new(copy)?;
    let written = patch::copy(image, &mut file, patches).and_then(|()| file.sync_all());
    if let Err(error) = written {
        let _ = fs::remove_file(copy);
        bail!(error);
    }
    Ok(())
}

fn open(path: &Path) -> anyhow::Result<(File, LiveIso)> {
    let opening = || format!("opening {}", path.display());
    let image = File::open(path).with_context(opening)?;
    // A disk that happens to carry a live system is not to be written to.
    ensure!(image.metadata().with_context(opening)?.is_file(), "{} is not a regular file", path.display());
    let live = LiveIso::read(&image).with_context(|| path.display().to_string())?;
    Ok((image, live))
}

/// Reads a config and makes sure that Ignition would take it.
fn ignition_config(path: &Path) -> anyhow::Result<(Vec<u8>, UserConfig)> {
    let read = if path == Path::new("-") { io::read_to_string(io::stdin()) } else { fs::read_to_string(path) };
    let text = read.with_context(|| format!("reading {}", path.display()))?;
    let config = UserConfig::read(&Value::from(text.as_str()), None);
    Ok((text.into_bytes(), config.map_err(|error| anyhow!("{} {error}", path.display()))?))
}
