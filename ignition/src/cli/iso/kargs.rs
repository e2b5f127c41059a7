//! `ferric-ignition iso kargs`.

use std::path::PathBuf;

use crate::kernel_arguments::{Edit, KernelArgument, Replacement};
use anyhow::Context;

use super::{Output, change, open};
use crate::cli::print;

/// Subcommands of `iso kargs`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
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
    /// Change the present kernel arguments
    Modify {
        /// The live ISO; changed in place unless -o is given
        iso: PathBuf,
        /// Kernel argument to add; repeatable
        #[arg(short, long, value_name = "ARGUMENT")]
        append: Vec<KernelArgument>,
        /// Kernel argument to take out; repeatable
        #[arg(short, long, value_name = "ARGUMENT")]
        delete: Vec<KernelArgument>,
        /// Kernel argument to change; repeatable
        #[arg(short, long, value_name = "NAME=OLD=NEW")]
        replace: Vec<Replacement>,
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

pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Show { iso } => {
            Ok(print::text(open(iso)?.1.kernel_arguments().with_context(|| iso.display().to_string())?)?)
        }
        Command::Append { iso, arguments, output } => {
            change(iso, output, |live| Ok(live.append_kernel_arguments(arguments)?))
        }
        Command::Modify { iso, append, delete, replace, output } => {
            let edit = Edit { delete: delete.clone(), append: append.clone(), replace: replace.clone() };
            change(iso, output, |live| Ok(live.edit_kernel_arguments(&edit)?))
        }
        Command::Reset { iso, output } => change(iso, output, |live| Ok(live.reset_kernel_arguments()?)),
    }
}
