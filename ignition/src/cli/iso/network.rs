//! `ferric-ignition iso network`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::{Output, change, open};
use crate::cli::{input, output, print};

/// Subcommands of `iso network`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Embed NetworkManager keyfiles
    Embed {
        /// The live ISO; changed in place unless -o is given
        iso: PathBuf,
        /// A keyfile (*.nmconnection); repeatable
        #[arg(short, long, required = true, value_name = "FILE")]
        keyfile: Vec<PathBuf>,
        /// Replace keyfiles that are embedded already
        #[arg(short, long)]
        force: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Write the embedded keyfiles to standard output, or to a directory
    Extract {
        /// The live ISO
        iso: PathBuf,
        /// Directory for new files, one for each keyfile (mode 0600)
        #[arg(short = 'C', long, value_name = "DIR")]
        directory: Option<PathBuf>,
    },
    /// Take the embedded keyfiles out
    Remove {
        /// The live ISO; changed in place unless -o is given
        iso: PathBuf,
        #[command(flatten)]
        output: Output,
    },
}

pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Embed { iso, keyfile, force, output } => {
            let keyfiles = keyfile.iter().map(|path| input::keyfile(path)).collect::<Result<Vec<_>, _>>()?;
            change(iso, output, |live| {
                let is_free = live.network().next().is_none();
                ensure!(*force || is_free, "network configuration is embedded already: -f replaces it");
                Ok(live.set_network(&keyfiles)?)
            })
        }
        Command::Extract { iso, directory } => {
            let live = open(iso)?.1;
            let nothing = || format!("{} has no network configuration in it", iso.display());
            extract(live.network(), directory.as_deref(), nothing)
        }
        Command::Remove { iso, output } => change(iso, output, |live| {
            live.remove_network();
            Ok(())
        }),
    }
}

/// Writes keyfiles to new files in a directory, or one behind the other to standard output.
pub(crate) fn extract<'a>(
    keyfiles: impl Iterator<Item = (&'a str, &'a [u8])>,
    directory: Option<&Path>,
    nothing: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    let keyfiles: Vec<_> = keyfiles.collect();
    ensure!(!keyfiles.is_empty(), nothing());
    let Some(directory) = directory else {
        let texts = keyfiles
            .iter()
            .map(|(name, text)| format!("########## {name} ##########\n{}", String::from_utf8_lossy(text)));
        return Ok(print::text(&texts.collect::<Vec<_>>().join("\n"))?);
    };
    fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
    for (name, contents) in keyfiles {
        let path = directory.join(name);
        output::to(&path, |out| Ok(out.write_all(contents)?))?;
        print::text(&path.display().to_string())?;
    }
    Ok(())
}
