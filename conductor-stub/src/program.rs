//! Programs of this machine that make files: run to their end, and named when they are missing.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Why a file was not made.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// A package is missing.
    #[error("{what} is missing: install the package {package}")]
    Missing {
        /// The file or program.
        what: String,
        /// What brings it.
        package: &'static str,
    },
    /// A program refused.
    #[error("{program}: {text}")]
    Program {
        /// The program.
        program: String,
        /// Its words.
        text: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {cause}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
}

/// Runs `program`, which `package` brings, and returns what it says.
///
/// # Errors
/// When it is missing, or refuses: with its words.
pub fn run(program: &str, package: &'static str, arguments: &[impl AsRef<OsStr>]) -> Result<String, ProgramError> {
    // sgdisk and mkfs live where a plain user's PATH does not look.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    match Command::new(program).args(arguments).env("PATH", path).env("LC_ALL", "C").output() {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => Err(ProgramError::Program {
            program: program.into(),
            text: format!(
                "{}{}",
                String::from_utf8_lossy(&output.stderr).trim(),
                String::from_utf8_lossy(&output.stdout).trim()
            ),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(ProgramError::Missing { what: program.into(), package })
        }
        Err(error) => Err(ProgramError::Program { program: program.into(), text: error.to_string() }),
    }
}

/// Says of which file an error is.
pub fn at(path: &Path) -> impl FnOnce(std::io::Error) -> ProgramError + use<> {
    let path = path.to_owned();
    |cause| ProgramError::Io { path, cause }
}
