//! The root directory where all reading of `/sys`, `/proc`, `/dev` and `/run` starts.

use std::path::{Path, PathBuf};

/// A machine: the running one (`/`), or a captured one under some directory.
#[derive(Debug, Clone)]
pub struct Machine {
    root: PathBuf,
}

impl Machine {
    /// The machine this process runs on.
    pub fn host() -> Self {
        Self::at("/")
    }

    /// The machine whose `/sys`, `/proc`, `/dev` and `/run` are found below `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Whether this is the machine the process runs on, so that the kernel itself may be asked (ioctl, sockets).
    pub fn is_host(&self) -> bool {
        self.root == Path::new("/")
    }

    /// `path` (absolute, as on the real machine) below this machine's root.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Trimmed content of a small text file, or nothing when it is missing, unreadable or empty.
    pub fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        let text = std::fs::read(self.path(path)).ok()?;
        let text = String::from_utf8_lossy(&text);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| text.to_string())
    }

    /// A small file as a number (decimal), or nothing when it is no such file.
    pub fn read_number<N: std::str::FromStr>(&self, path: impl AsRef<Path>) -> Option<N> {
        self.read(path)?.parse().ok()
    }

    /// Content of a binary file, or nothing when it is missing or unreadable.
    pub fn read_bytes(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        std::fs::read(self.path(path)).ok()
    }

    /// Names in a directory, sorted; none when it is missing.
    pub fn names(&self, path: impl AsRef<Path>) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.path(path))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// Whether something exists at `path` (a dangling link does not count).
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.path(path).exists()
    }

    /// Last component of the target of the symbolic link at `path`.
    pub fn link_name(&self, path: impl AsRef<Path>) -> Option<String> {
        let target = std::fs::read_link(self.path(path)).ok()?;
        Some(target.file_name()?.to_str()?.to_string())
    }

    /// `path` with all symbolic links resolved, as seen on the machine (without this root).
    pub fn resolve(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        let root = self.root.canonicalize().ok()?;
        let target = self.path(path).canonicalize().ok()?;
        Some(Path::new("/").join(target.strip_prefix(root).ok()?))
    }
}
