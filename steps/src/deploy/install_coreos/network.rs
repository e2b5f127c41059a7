//! Network connections for the installed system, in a directory from which coreos-installer takes them.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ferric_hardware::tool::Tool;
use ferric_ignition::keyfile::Keyfile;
use uuid::Uuid;

/// Where the live system has its own, and where coreos-installer looks for them.
const LIVE_CONNECTIONS: &str = "etc/NetworkManager/system-connections";
/// Longer ones are no keyfiles.
const MAX_BYTES: u64 = 1 << 20;

/// The directory; gone when this is dropped.
#[derive(Debug)]
pub(super) struct NetworkDirectory {
    path: PathBuf,
    inside: String,
}

impl NetworkDirectory {
    /// Writes the connections where `reader` sees them, and beside them those of the live system that have other names.
    pub(super) fn create(reader: &Tool, keyfiles: &[Keyfile], with_live: bool) -> io::Result<Self> {
        let name = format!("ferric-{}.network", Uuid::new_v4());
        let root = reader.root().unwrap_or(Path::new("/"));
        let directory = Self { path: root.join("tmp").join(&name), inside: format!("/tmp/{name}") };
        DirBuilder::new().recursive(true).mode(0o700).create(&directory.path)?;
        for keyfile in keyfiles {
            directory.write(keyfile.name(), keyfile.contents())?;
        }
        if with_live {
            for (name, contents) in live_connections(root)? {
                match directory.write(&name, &contents) {
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                    written => written?,
                }
            }
        }
        Ok(directory)
    }

    /// Its path as coreos-installer sees it.
    pub(super) fn inside(&self) -> &str {
        &self.inside
    }

    fn write(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.path.join(name))?.write_all(contents)
    }
}

/// Names and contents of the connections of the live system below `root`.
pub(super) fn live_connections(root: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let entries = match root.join(LIVE_CONNECTIONS).read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut connections = Vec::new();
    for entry in entries {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let name = entry.file_name().into_string().ok();
        if let Some(name) = name.filter(|_| metadata.is_file() && metadata.len() <= MAX_BYTES) {
            connections.push((name, std::fs::read(entry.path())?));
        }
    }
    Ok(connections)
}

impl Drop for NetworkDirectory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a directory of network connections stays behind");
        }
    }
}
