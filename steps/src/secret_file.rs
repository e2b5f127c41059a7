//! A file with secrets where an external program can read it, for as long as that program runs.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ferric_hardware::tool::Tool;
use uuid::Uuid;

use crate::{ErrorKind, StepError};

/// Directory for the file, seen from the program's root.
const DIRECTORY: &str = "/tmp";

/// The file; gone when this is dropped.
#[derive(Debug)]
pub(crate) struct SecretFile {
    path: PathBuf,
    inside: PathBuf,
}

impl SecretFile {
    /// Writes `text` with mode 0600 into the temporary directory of the program's root.
    ///
    /// # Errors
    /// [`ErrorKind::Deployment`] when it cannot be written.
    pub(crate) fn create(reader: &Tool, extension: &str, text: &[u8]) -> Result<Self, StepError> {
        let inside = Path::new(DIRECTORY).join(format!("ferric-{}.{extension}", Uuid::new_v4()));
        let root = reader.root().unwrap_or(Path::new("/"));
        let file = Self { path: root.join(inside.strip_prefix("/").unwrap_or(&inside)), inside };
        let written = file.path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| {
            let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file.path)?;
            opened.write_all(text)
        });
        written.map_err(|error| {
            ErrorKind::Deployment.error(format!("cannot write {}", file.path.display())).because(error)
        })?;
        Ok(file)
    }

    /// Its path as the program sees it.
    pub(crate) fn inside(&self) -> String {
        self.inside.display().to_string()
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a file with secrets stays behind");
        }
    }
}
