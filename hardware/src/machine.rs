//! The root directory where all reading of `/sys`, `/proc`, `/dev` and `/run` starts.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, faccessat};

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
        trimmed(&std::fs::read(self.path(path)).ok()?)
    }

    /// A small file as a number (decimal), or nothing when it is no such file.
    pub fn number<N: std::str::FromStr>(&self, path: impl AsRef<Path>) -> Option<N> {
        self.read(path)?.parse().ok()
    }

    /// The directory at `path`, for reading many attributes in it; nothing when it is missing.
    pub fn directory(&self, path: impl AsRef<Path>) -> Option<Directory> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        open(&self.path(path), flags, Mode::empty()).ok().map(Directory)
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

    /// The target of the symbolic link at `path`, as it is written there.
    pub fn link_target(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        std::fs::read_link(self.path(path)).ok()
    }

    /// Last component of the target of the symbolic link at `path`.
    pub fn link_name(&self, path: impl AsRef<Path>) -> Option<String> {
        Some(self.link_target(path)?.file_name()?.to_str()?.to_string())
    }

    /// `path` with all symbolic links resolved, as seen on the machine (without this root).
    pub fn resolve(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        let root = self.root.canonicalize().ok()?;
        let target = self.path(path).canonicalize().ok()?;
        Some(Path::new("/").join(target.strip_prefix(root).ok()?))
    }
}

/// An open directory of sysfs. Walking the long path to each attribute anew costs more than reading it.
#[derive(Debug)]
pub struct Directory(OwnedFd);

impl Directory {
    fn open(&self, path: &str) -> Option<File> {
        openat(&self.0, path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok().map(File::from)
    }

    /// Trimmed content of an attribute, or nothing when it is missing, unreadable or empty. At most a page: that is what
    /// the kernel makes of one.
    pub fn attribute(&self, path: &str) -> Option<String> {
        let mut page = [0; 4096];
        let length = self.open(path)?.read(&mut page).ok()?;
        trimmed(&page[..length])
    }

    /// An attribute as a decimal number, or nothing when it is no such file.
    pub fn number<N: std::str::FromStr>(&self, path: &str) -> Option<N> {
        self.attribute(path)?.parse().ok()
    }

    /// Content of a binary attribute, or nothing when it is missing or unreadable.
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        self.open(path)?.read_to_end(&mut content).ok()?;
        Some(content)
    }

    /// Names in a directory below this one, sorted; none when it is missing.
    pub fn names(&self, path: &str) -> Vec<String> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let Ok(mut directory) = Dir::openat(&self.0, path, flags, Mode::empty()) else { return Vec::new() };
        let mut names: Vec<String> = directory
            .iter()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str().ok().map(str::to_string))
            .filter(|name| name != "." && name != "..")
            .collect();
        names.sort();
        names
    }

    /// Whether something exists at `path` (a dangling link does not count).
    pub fn exists(&self, path: &str) -> bool {
        faccessat(&self.0, path, AccessFlags::F_OK, AtFlags::empty()).is_ok()
    }
}

fn trimmed(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_string())
}
