//! The real programs that ours are compared with; `.ci/peers` installs them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Result, bail};

/// The folder that `.ci/peers` prints: `venv/bin` has the Python programs, `bin` has coreos-installer. The first call
/// installs what is missing, which takes minutes.
///
/// # Errors
/// When they cannot be installed.
pub fn folder() -> Result<PathBuf> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let installed = FOLDER.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/peers");
        let output = Command::new(script).output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
    });
    match installed {
        Ok(folder) => Ok(folder.clone()),
        Err(error) => bail!(".ci/peers: {error}"),
    }
}
