//! `ferric-ignition pxe`.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::archive::Archive;
use crate::customization::Customization;
use crate::kernel_arguments::KernelArgument;
use crate::keyfile;
use crate::live_initramfs;
use crate::pxe::LivePxe;
use anyhow::Context;

use super::iso::extract_keyfiles;
use super::{customize, input, output, print};

/// Arguments of `pxe`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    script: Option<Script>,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Arguments of `pxe` alone.
#[derive(Debug, clap::Args)]
struct Script {
    /// Kernel of the live system (http, https or tftp)
    #[arg(long, value_name = "URL", required = true)]
    kernel_url: String,
    /// Its initramfs, of the same build
    #[arg(long, value_name = "URL", required = true)]
    initramfs_url: String,
    /// Its root file system, of the same build
    #[arg(long, value_name = "URL", required = true)]
    rootfs_url: String,
    /// The Ignition config
    #[arg(long, value_name = "URL", required = true)]
    ignition_url: String,
    /// Further kernel argument, one word; repeatable
    #[arg(long, value_name = "ARGUMENT")]
    karg: Vec<KernelArgument>,
    /// Write only the kernel arguments, for other boot loaders
    #[arg(long)]
    kargs_only: bool,
}

/// Subcommands of `pxe`.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Give an initramfs Ignition configs and network configuration
    Customize {
        /// The initramfs of a live system
        initramfs: PathBuf,
        #[command(flatten)]
        customization: customize::Arguments,
        /// The customized one, a new file (mode 0600); - is standard output
        #[arg(short, long, value_name = "OUT")]
        output: PathBuf,
    },
    /// An Ignition config as an initramfs of its own, which boot loaders pass behind that of the live system
    #[command(subcommand)]
    Ignition(Ignition),
    /// Network configuration as an initramfs of its own
    #[command(subcommand)]
    Network(Network),
}

/// Subcommands of `pxe ignition`.
#[derive(Debug, clap::Subcommand)]
enum Ignition {
    /// Put a config into an initramfs
    Wrap {
        /// The Ignition config; - is standard input
        #[arg(short = 'i', long, value_name = "CONFIG", default_value = "-")]
        ignition: PathBuf,
        /// A new file (mode 0600); - is standard output
        #[arg(short, long, value_name = "OUT", default_value = "-")]
        output: PathBuf,
    },
    /// Write the config in an initramfs to standard output
    Unwrap {
        /// The initramfs; - is standard input
        #[arg(default_value = "-")]
        initramfs: PathBuf,
    },
}

/// Subcommands of `pxe network`.
#[derive(Debug, clap::Subcommand)]
enum Network {
    /// Put NetworkManager keyfiles into an initramfs
    Wrap {
        /// A keyfile (*.nmconnection); repeatable
        #[arg(short, long, required = true, value_name = "FILE")]
        keyfile: Vec<PathBuf>,
        /// A new file (mode 0600); - is standard output
        #[arg(short, long, value_name = "OUT", default_value = "-")]
        output: PathBuf,
    },
    /// Write the keyfiles in an initramfs to standard output, or to a directory
    Unwrap {
        /// The initramfs; - is standard input
        #[arg(default_value = "-")]
        initramfs: PathBuf,
        /// Directory for new files, one for each keyfile (mode 0600)
        #[arg(short = 'C', long, value_name = "DIR")]
        directory: Option<PathBuf>,
    },
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match (&arguments.command, &arguments.script) {
        (Some(command), _) => run_command(command),
        (None, Some(script)) => print_script(script),
        (None, None) => anyhow::bail!("either the URLs of a live system or a subcommand is needed"),
    }
}

fn print_script(script: &Script) -> anyhow::Result<()> {
    let Script { kernel_url, initramfs_url, rootfs_url, ignition_url, karg, kargs_only } = script;
    let live = LivePxe::new(kernel_url, initramfs_url, rootfs_url, ignition_url, karg.clone())?;
    Ok(print::text(&if *kargs_only { live.kernel_arguments().to_string() } else { live.ipxe_script() })?)
}

fn run_command(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Customize { initramfs, customization, output } => {
            let given = customization.customization()?;
            let base = open(initramfs)?;
            let customize = |mut out: &mut dyn io::Write| {
                live_initramfs::customize(base, &mut out, &given).with_context(|| initramfs.display().to_string())
            };
            output::to(output, customize)?;
            customization.warn(&given);
            Ok(())
        }
        Command::Ignition(Ignition::Wrap { ignition, output }) => {
            let (text, config) = input::ignition_config(ignition)?;
            let mut archive = Archive::default();
            archive.insert(Customization::CONFIG, text);
            output::to(output, |out| Ok(out.write_all(&archive.encode())?))?;
            input::warn_about(ignition, &config);
            Ok(())
        }
        Command::Ignition(Ignition::Unwrap { initramfs }) => {
            let archive = read(initramfs, |path| path == Customization::CONFIG)?;
            let config = archive.get(Customization::CONFIG);
            let config = config.with_context(|| format!("{} has no Ignition config in it", initramfs.display()))?;
            Ok(io::Write::write_all(&mut io::stdout(), config)?)
        }
        Command::Network(Network::Wrap { keyfile, output }) => {
            let keyfiles = keyfile.iter().map(|path| input::keyfile(path)).collect::<Result<Vec<_>, _>>()?;
            let mut archive = Archive::default();
            keyfile::embed(&keyfiles, &mut archive)?;
            output::to(output, |out| Ok(out.write_all(&archive.encode())?))
        }
        Command::Network(Network::Unwrap { initramfs, directory }) => {
            let archive = read(initramfs, keyfile::is_embedded)?;
            let nothing = || format!("{} has no network configuration in it", initramfs.display());
            extract_keyfiles(keyfile::embedded(&archive), directory.as_deref(), nothing)
        }
    }
}

fn read(path: &Path, wanted: impl Fn(&str) -> bool) -> anyhow::Result<Archive> {
    Archive::read(open(path)?, wanted).with_context(|| path.display().to_string())
}

fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    Ok(if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::with_capacity(
            1 << 20,
            File::open(path).with_context(|| format!("opening {}", path.display()))?,
        ))
    })
}
