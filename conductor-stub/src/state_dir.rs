//! The folder with everything that the conductor keeps: nobody else's to read, and one conductor's at a time.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// The folder, locked until this is dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: Flock<File>,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// It cannot be made or changed.
    #[error("state directory {}: {cause}", path.display())]
    Io {
        /// The folder or a file in it.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// Another conductor is at work there.
    #[error("state directory {}: another conductor is using it", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// It belongs to somebody else, or everybody may write there.
    #[error("state directory {}: others may use it; make a folder of its own, with mode 0700", path.display())]
    Shared {
        /// The folder.
        path: PathBuf,
    },
}

impl StateDir {
    /// Makes the folder if it is not there, keeps others out, and takes it.
    ///
    /// # Errors
    /// When it cannot be ours alone.
    pub fn open(path: &Path) -> Result<Self, StateDirError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |cause| StateDirError::Io { path, cause }
        };
        private_folder(path).map_err(failed(path))?;
        let path = path.canonicalize().map_err(failed(path))?;
        let metadata = fs::metadata(&path).map_err(failed(&path))?;
        if metadata.mode() & 0o077 != 0 {
            let sticky = metadata.mode() & 0o1000 != 0;
            if sticky || metadata.uid() != nix::unistd::geteuid().as_raw() {
                return Err(StateDirError::Shared { path });
            }
            fs::set_permissions(&path, Permissions::from_mode(0o700)).map_err(failed(&path))?;
        }
        let file = path.join("lock");
        let lock = File::options().write(true).create(true).truncate(false).mode(0o600).open(&file);
        match Flock::lock(lock.map_err(failed(&file))?, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self { path, _lock: lock }),
            Err((_, Errno::EWOULDBLOCK)) => Err(StateDirError::InUse { path }),
            Err((_, error)) => Err(StateDirError::Io { path: file, cause: error.into() }),
        }
    }

    /// Where it really is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of something in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Makes a folder and those above it, for nobody else to look into.
///
/// # Errors
/// When it cannot be made.
pub fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Opens a file to be written anew, for nobody else to read.
///
/// # Errors
/// When it cannot be opened.
pub fn private_file(path: &Path) -> io::Result<File> {
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // It may have been there.
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_conductor_is_kept_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let first = StateDir::open(&path).unwrap();
        let refused = StateDir::open(&path).unwrap_err();
        assert!(matches!(refused, StateDirError::InUse { .. }) && refused.to_string().contains("a/b"), "{refused}");
        drop(first);
        StateDir::open(&path).unwrap();
    }

    #[test]
    fn others_are_kept_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        drop(StateDir::open(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        // As /tmp is: closing that would be worse.
        fs::set_permissions(&path, Permissions::from_mode(0o1777)).unwrap();
        assert!(matches!(StateDir::open(&path), Err(StateDirError::Shared { .. })));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o777);
    }
}
