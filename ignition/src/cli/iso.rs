//! `ferric-ignition iso`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::kernel_arguments::{Edit, KernelArgument, Replacement};
use crate::live_iso::LiveIso;
use crate::patch;
use anyhow::{Context, ensure};

use super::{customize, input, output};

mod extract;
mod kargs;
mod network;

pub(super) use network::extract as extract_keyfiles;

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
    /// Give it Ignition configs, network configuration and kernel arguments, in the place of all it was given before
    Customize {
        /// The live ISO; changed in place unless -o is given
        iso: PathBuf,
        #[command(flatten)]
        customization: customize::Arguments,
        /// Kernel argument to add; repeatable
        #[arg(long, value_name = "ARGUMENT")]
        live_karg_append: Vec<KernelArgument>,
        /// Kernel argument to take out; repeatable
        #[arg(long, value_name = "ARGUMENT")]
        live_karg_delete: Vec<KernelArgument>,
        /// Kernel argument to change; repeatable
        #[arg(long, value_name = "NAME=OLD=NEW")]
        live_karg_replace: Vec<Replacement>,
        /// Replace what it was given before
        #[arg(short, long)]
        force: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Take out all that it was given
    Reset {
        /// The live ISO; changed in place unless -o is given
        iso: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// The kernel arguments that the ISO boots with
    #[command(subcommand)]
    Kargs(kargs::Command),
    /// Network configuration that is in force before Ignition runs
    #[command(subcommand)]
    Network(network::Command),
    /// Parts of the ISO
    #[command(subcommand)]
    Extract(extract::Command),
}

/// Where the changed ISO goes.
#[derive(Debug, clap::Args)]
pub(crate) struct Output {
    /// Write a changed copy (a new file, mode 0600) and leave the ISO alone; - is standard output
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
}

pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Embed { iso, ignition, force, output } => {
            let (text, config) = input::ignition_config(ignition)?;
            change(iso, output, |live| {
                ensure!(*force || live.ignition().is_none(), "an Ignition config is embedded already: -f replaces it");
                live.set_ignition(text.as_bytes());
                Ok(())
            })?;
            input::warn_about(ignition, &config);
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
        Command::Customize {
            iso,
            customization,
            live_karg_append,
            live_karg_delete,
            live_karg_replace,
            force,
            output,
        } => {
            let given = customization.customization()?;
            let edit = Edit {
                delete: live_karg_delete.clone(),
                append: live_karg_append.clone(),
                replace: live_karg_replace.clone(),
            };
            change(iso, output, |live| Ok(live.customize(&given, &edit, *force)?))?;
            customization.warn(&given);
            Ok(())
        }
        Command::Reset { iso, output } => change(iso, output, |live| {
            live.reset();
            Ok(())
        }),
        Command::Kargs(command) => kargs::run(command),
        Command::Network(command) => network::run(command),
        Command::Extract(command) => extract::run(command),
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
        Some(copy) => output::to(copy, |mut out| {
            patch::copy(&mut image, &mut out, &patches).with_context(|| format!("copying {}", path.display()))
        }),
    }
}

fn open(path: &Path) -> anyhow::Result<(File, LiveIso)> {
    let image = open_image(path)?;
    let live = LiveIso::read(&image).with_context(|| path.display().to_string())?;
    Ok((image, live))
}

fn open_image(path: &Path) -> anyhow::Result<File> {
    let opening = || format!("opening {}", path.display());
    let image = File::open(path).with_context(opening)?;
    // A disk that happens to carry a live system is not to be written to.
    ensure!(image.metadata().with_context(opening)?.is_file(), "{} is not a regular file", path.display());
    Ok(image)
}
