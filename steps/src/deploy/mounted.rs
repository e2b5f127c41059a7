//! A partition that is mounted for a moment. Paths are resolved by the kernel with the mount as their root (openat2,
//! RESOLVE_IN_ROOT): neither `..` nor a link inside the file system leads out of it.

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ferric_hardware::signature;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use uuid::Uuid;

use crate::step::Step;

/// File systems that are tried where their signs are not clear, in the order of how likely they are.
const FILE_SYSTEMS: [&str; 5] = ["ext4", "xfs", "vfat", "btrfs", "ext2"];
/// Mode of new directories and files before theirs is set.
const NEW_DIRECTORY: Mode = Mode::from_bits_truncate(0o755);
const NEW_FILE: Mode = Mode::from_bits_truncate(0o644);

/// Mode and owner of a file.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    pub(super) mode: Option<u32>,
    /// Mode of the directory, when it has to be made.
    pub(super) directory_mode: Option<u32>,
    pub(super) owner: Option<u32>,
    pub(super) group: Option<u32>,
}

/// A mounted partition; unmounted when this is dropped.
#[derive(Debug)]
pub(super) struct Mounted {
    device: String,
    point: PathBuf,
    root: Option<OwnedFd>,
}

impl Mounted {
    /// Mounts a device of this name (`/dev/sda1`). Nothing on it can be run.
    pub(super) fn new(step: &Step, device: &str) -> io::Result<Self> {
        Self::mount(step, device, MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC)
    }

    /// Mounts a device whose programs will be run.
    pub(super) fn with_programs(step: &Step, device: &str) -> io::Result<Self> {
        Self::mount(step, device, MsFlags::MS_NOSUID | MsFlags::MS_NODEV)
    }

    fn mount(step: &Step, device: &str, flags: MsFlags) -> io::Result<Self> {
        let source = step.site.machine.path(device);
        let point = std::env::temp_dir().join(format!("ferric-{}", Uuid::new_v4()));
        std::fs::create_dir_all(&point)?;
        let seen = File::open(&source).and_then(|device| signature::file_system(&device));
        let seen =
            seen.inspect_err(|error| tracing::debug!(device, %error, "no file system was recognised")).ok().flatten();
        let mut result = Err(nix::errno::Errno::ENODEV);
        for kind in seen.as_deref().into_iter().chain(FILE_SYSTEMS) {
            result = mount(Some(&source), &point, Some(kind), flags, None::<&str>);
            // Another kind of file system, or one that this kernel does not know.
            if !matches!(result, Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENODEV)) {
                break;
            }
        }
        if let Err(error) = result {
            std::fs::remove_dir(&point).ok();
            return Err(error.into());
        }
        let mut mounted = Self { device: device.to_string(), point, root: None };
        mounted.root = Some(File::open(&mounted.point)?.into());
        Ok(mounted)
    }

    /// Where it is mounted.
    pub(super) fn point(&self) -> &Path {
        &self.point
    }

    /// The device.
    pub(super) fn device(&self) -> &str {
        &self.device
    }

    /// Whether it has this directory.
    pub(super) fn has_directory(&self, path: &str) -> bool {
        self.open(Path::new(path), OFlag::O_PATH | OFlag::O_DIRECTORY).is_ok()
    }

    /// Writes a file, with the directories that lead to it.
    pub(super) fn write(
        &self,
        path: impl AsRef<Path>,
        mut content: impl io::Read,
        attributes: &Attributes,
    ) -> io::Result<()> {
        let path = path.as_ref();
        if let Some(directory) = path.parent() {
            self.make_directories(directory, attributes.directory_mode)?;
        }
        let mut file = self.open_to_write(path, OFlag::O_CREAT | OFlag::O_TRUNC)?;
        io::copy(&mut content, &mut file)?;
        if attributes.owner.is_some() || attributes.group.is_some() {
            std::os::unix::fs::fchown(&file, attributes.owner, attributes.group)?;
        }
        // After the owner, whose change takes special bits away.
        if let Some(mode) = attributes.mode {
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        file.sync_all()
    }

    /// Removes a file; one that is not there is fine.
    pub(super) fn remove(&self, path: &str) -> io::Result<()> {
        let path = Path::new(path);
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
        let removed = self
            .open(directory, OFlag::O_PATH | OFlag::O_DIRECTORY)
            .and_then(|directory| unlinkat(&directory, name, UnlinkatFlags::NoRemoveDir).map_err(io::Error::from));
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// The entries of a directory, and whether each is a directory; links are neither followed nor listed.
    pub(super) fn list(&self, directory: impl AsRef<Path>) -> io::Result<Vec<(OsString, bool)>> {
        let directory = self.open(directory.as_ref(), OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let mut found = Vec::new();
        for entry in std::fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() || kind.is_file() {
                found.push((entry.file_name(), kind.is_dir()));
            }
        }
        Ok(found)
    }

    /// A file for reading; nothing when there is none.
    pub(super) fn open_file(&self, path: impl AsRef<Path>) -> io::Result<Option<File>> {
        // Without waiting for the other end of what is no file after all.
        match self.open(path.as_ref(), OFlag::O_RDONLY | OFlag::O_NONBLOCK) {
            Ok(file) => Ok(Some(File::from(file)).filter(|file| file.metadata().is_ok_and(|found| found.is_file()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds to the end of a file that is there.
    pub(super) fn append(&self, path: &str, content: &[u8]) -> io::Result<()> {
        let mut file = self.open_to_write(Path::new(path), OFlag::O_APPEND)?;
        file.write_all(content)?;
        file.sync_all()
    }

    /// A file for writing, without waiting for the other end of what is no file.
    fn open_to_write(&self, path: &Path, flags: OFlag) -> io::Result<File> {
        let no_file = || io::Error::new(io::ErrorKind::InvalidInput, "there is something at this path that is no file");
        let file = match self.open(path, OFlag::O_WRONLY | OFlag::O_NONBLOCK | flags) {
            // A pipe that nobody reads from, a socket.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENXIO) => return Err(no_file()),
            opened => File::from(opened?),
        };
        if file.metadata()?.is_file() { Ok(file) } else { Err(no_file()) }
    }

    fn make_directories(&self, directory: &Path, mode: Option<u32>) -> io::Result<()> {
        let as_directory = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let mut so_far = PathBuf::from("/");
        let mut parent = self.open(&so_far, as_directory)?;
        let components: Vec<_> = directory.components().collect();
        for (index, component) in components.iter().enumerate() {
            so_far.push(component);
            let opened = match self.open(&so_far, as_directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    mkdirat(&parent, Path::new(component), NEW_DIRECTORY)?;
                    let made = self.open(&so_far, as_directory)?;
                    if let (true, Some(mode)) = (index + 1 == components.len(), mode) {
                        File::from(self.open(&so_far, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?)
                            .set_permissions(Permissions::from_mode(mode))?;
                    }
                    made
                }
                result => result?,
            };
            parent = opened;
        }
        Ok(())
    }

    fn open(&self, path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
        let root = self.root.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let mode = if flags.contains(OFlag::O_CREAT) { NEW_FILE } else { Mode::empty() };
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .mode(mode)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS | ResolveFlag::RESOLVE_NO_XDEV);
        Ok(openat2(root, path, how)?)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.root = None;
        if let Err(error) = umount2(&self.point, MntFlags::empty()) {
            tracing::error!(device = self.device, %error, "cannot unmount; it goes away when nobody uses it any more");
            umount2(&self.point, MntFlags::MNT_DETACH).ok();
        }
        std::fs::remove_dir(&self.point).ok();
    }
}
