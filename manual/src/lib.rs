//! Man pages and shell completions of the programs, from the definitions of their command lines.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::{Command, CommandFactory};
use clap_complete::{Generator, Shell};

/// The shells, and where each looks for completions below `share`.
const SHELLS: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions"),
    (Shell::Zsh, "zsh/site-functions"),
    (Shell::Fish, "fish/vendor_completions.d"),
];

/// The command line of every program.
pub fn programs() -> [Command; 3] {
    [
        ferric_agent::cli::CommandLine::command(),
        ferric_ignition::cli::CommandLine::command(),
        conductor_stub::cli::CommandLine::command(),
    ]
}

/// Writes man pages and completions into `directory`, laid out as `share` of an installation.
///
/// # Errors
/// When a file cannot be written.
pub fn write(directory: &Path) -> Result<()> {
    let pages = directory.join("man/man1");
    make(&pages)?;
    for program in programs() {
        clap_mangen::generate_to(program.clone(), &pages).with_context(|| format!("writing {}", pages.display()))?;
        for (shell, folder) in SHELLS {
            let folder = directory.join(folder);
            make(&folder)?;
            let name = program.get_name();
            let file = folder.join(shell.file_name(name));
            fs::write(&file, completion(shell, &program)?).with_context(|| format!("writing {}", file.display()))?;
        }
    }
    Ok(())
}

fn completion(shell: Shell, program: &Command) -> Result<String> {
    let (mut script, name) = (Vec::new(), program.get_name());
    clap_complete::generate(shell, &mut program.clone(), name, &mut script);
    let script = String::from_utf8(script).context("a completion is a text")?;
    // clap_complete spells a program with a hyphen in two ways in its script for bash, which then offers nothing behind
    // subcommands: the one with which it begins has to be the one that it compares with.
    Ok(script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__")))
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))
}
