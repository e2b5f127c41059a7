//! Files that hold secrets in places where others may have been first: made for their owner alone, and never through a link.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};

const OWNER_ONLY: u32 = 0o600;

/// Opens a file to write at its end; makes it when there is none.
///
/// # Errors
/// When it cannot be opened, is a link or no file, belongs to somebody else, or has a second name.
pub(crate) fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // What is no file is not waited for.
    options.create(true).append(true).mode(OWNER_ONLY).custom_flags(O_NOFOLLOW | O_NONBLOCK);
    let file = owned(options.open(path)?)?;
    file.set_permissions(Permissions::from_mode(OWNER_ONLY))?;
    Ok(file)
}

/// Makes a new file in place of whatever has this name.
///
/// # Errors
/// When that cannot be removed, or the file not made.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path)
}

/// The content of a file that [`create`] made.
///
/// # Errors
/// As [`append`].
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let file = OpenOptions::new().read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(path)?;
    owned(file)?.read_to_end(&mut content)?;
    Ok(content)
}

fn owned(file: File) -> io::Result<File> {
    let found = file.metadata()?;
    let is_ours = found.is_file() && found.nlink() == 1 && found.uid() == nix::unistd::geteuid().as_raw();
    let not_ours = || io::Error::new(io::ErrorKind::PermissionDenied, "it is no file of this user alone");
    is_ours.then_some(file).ok_or_else(not_ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_may_have_laid_there_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("victim"), "kept").unwrap();
        std::os::unix::fs::symlink(at("victim"), at("link")).unwrap();
        std::fs::hard_link(at("victim"), at("name")).unwrap();
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for name in ["link", "name", "pipe"] {
            assert!(append(&at(name)).is_err(), "{name}");
            assert!(read(&at(name)).is_err(), "{name}");
            create(&at(name)).unwrap();
        }
        assert_eq!(std::fs::read(at("victim")).unwrap(), b"kept");
    }

    #[test]
    fn only_the_owner_may_read_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, "of an older version").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        for make in [append, create] {
            make(&path).unwrap();
            assert_eq!(path.metadata().unwrap().mode() & 0o777, OWNER_ONLY);
        }
    }
}
