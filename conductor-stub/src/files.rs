//! Files of this host that a node may name: those below configured folders, and no others.

use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// The folders (`file_url_allowed_paths`).
#[derive(Debug, Clone, Default)]
pub struct AllowedFolders {
    allowed: Vec<PathBuf>,
    /// Of this one, only what everybody on this host may read.
    public: Option<PathBuf>,
    /// The conductor's own: its database has secrets.
    state_dir: PathBuf,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Outside of the folders, or by a way that leads outside.
    #[error("{} is not below a folder of file_url_allowed_paths", path.display())]
    NotAllowed {
        /// As it was named.
        path: PathBuf,
    },
    /// There, but not for everybody.
    #[error("{} is not for everybody to read: name its folder in file_url_allowed_paths", path.display())]
    NotPublic {
        /// As it was named.
        path: PathBuf,
    },
    /// Not there, or a folder or device.
    #[error("{} is not a file", path.display())]
    NotAFile {
        /// As it was named.
        path: PathBuf,
    },
}

/// The path in `text`, if it names a file of this host: by a path or a `file://` URL.
pub fn local(text: &str) -> Option<PathBuf> {
    let path = match text.strip_prefix("file:") {
        Some(_) => url::Url::parse(text).ok()?.to_file_path().ok()?,
        None => PathBuf::from(text),
    };
    path.is_absolute().then_some(path)
}

impl AllowedFolders {
    /// Files below `allowed`, except those below `state_dir`.
    pub fn new(allowed: &[PathBuf], state_dir: &Path) -> Self {
        Self { allowed: allowed.to_vec(), public: None, state_dir: state_dir.to_owned() }
    }

    /// Also files below `folder` that everybody on this host may read.
    #[must_use]
    pub fn with_public(self, folder: PathBuf) -> Self {
        Self { public: Some(folder), ..self }
    }

    /// A file that is there, by its real path.
    ///
    /// # Errors
    /// Names it. Nothing is said about what is outside of the folders.
    pub fn file(&self, path: &Path) -> Result<PathBuf, FileError> {
        match (self.file_below(&self.allowed, path), &self.public) {
            (Err(FileError::NotAllowed { .. }), Some(folder)) => {
                let real = self.file_below(std::slice::from_ref(folder), path)?;
                let is_public = real.metadata().is_ok_and(|metadata| metadata.mode() & 0o004 != 0);
                if is_public { Ok(real) } else { Err(FileError::NotPublic { path: path.to_owned() }) }
            }
            (found, _) => found,
        }
    }

    fn file_below(&self, folders: &[PathBuf], path: &Path) -> Result<PathBuf, FileError> {
        self.check(folders, path)?;
        match path.canonicalize() {
            // A link below the folders may lead out of them.
            Ok(real) => {
                self.check(folders, &real).map_err(|_| FileError::NotAllowed { path: path.to_owned() })?;
                if real.is_file() { Ok(real) } else { Err(FileError::NotAFile { path: path.to_owned() }) }
            }
            Err(_) => Err(FileError::NotAFile { path: path.to_owned() }),
        }
    }

    /// A file or folder that is to be made: its folder is there.
    ///
    /// # Errors
    /// Names it.
    pub fn new_file(&self, path: &Path) -> Result<PathBuf, FileError> {
        let refused = || FileError::NotAllowed { path: path.to_owned() };
        self.check(&self.allowed, path)?;
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Err(refused()) };
        let real = folder.canonicalize().map_err(|_| refused())?.join(name);
        if real.is_symlink() {
            return Err(refused());
        }
        self.check(&self.allowed, &real).map_err(|_| refused()).map(|()| real)
    }

    fn check(&self, folders: &[PathBuf], path: &Path) -> Result<(), FileError> {
        let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        let below = |folder: &PathBuf| {
            let real = folder.canonicalize().unwrap_or_else(|_| folder.clone());
            [folder, &real].into_iter().any(|folder| path.starts_with(folder) && path != folder)
        };
        let ours = !self.state_dir.as_os_str().is_empty() && path.starts_with(&self.state_dir);
        if plain && !ours && folders.iter().any(below) {
            return Ok(());
        }
        Err(FileError::NotAllowed { path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn paths_and_urls_are_told_apart() {
        assert_eq!(local("file:///a%20b/c.raw"), Some("/a b/c.raw".into()));
        assert_eq!(local("/a/c.raw"), Some("/a/c.raw".into()));
        for text in ["http://h/a", "a/b", "", "file://host/etc/shadow", "file:relative"] {
            assert!(local(text).is_none_or(|path| path == Path::new("/relative")), "{text}");
        }
    }

    #[test]
    fn nothing_leads_out_of_the_folders() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for folder in ["allowed", "allowed/state", "other"] {
            std::fs::create_dir(path(folder)).unwrap();
        }
        for file in ["allowed/a", "allowed/state/db", "other/secret", "allowed-too"] {
            std::fs::write(path(file), "x").unwrap();
        }
        std::os::unix::fs::symlink(path("other"), path("allowed/link")).unwrap();
        std::os::unix::fs::symlink(path("other/secret"), path("allowed/file")).unwrap();
        let folders = AllowedFolders::new(&[path("allowed")], &path("allowed/state"));
        assert_eq!(folders.file(&path("allowed/a")).unwrap(), path("allowed/a").canonicalize().unwrap());
        for refused in [
            "allowed/link/secret",
            "allowed/file",
            "allowed/../other/secret",
            "allowed/state/db",
            "other/secret",
            "allowed-too",
            "allowed",
        ] {
            assert!(matches!(folders.file(&path(refused)), Err(FileError::NotAllowed { .. })), "{refused}");
        }
        assert!(matches!(folders.file(&path("allowed/none")), Err(FileError::NotAFile { .. })));
        assert!(matches!(folders.file(&path("other/none")), Err(FileError::NotAllowed { .. })));
        assert!(folders.new_file(&path("allowed/log")).is_ok());
        for refused in ["allowed/link/log", "allowed/file", "other/log", "allowed/none/log"] {
            assert!(folders.new_file(&path(refused)).is_err(), "{refused}");
        }
        let public = AllowedFolders::new(&[], &path("allowed/state")).with_public(root.path().to_owned());
        let set_mode = |mode| std::fs::set_permissions(path("allowed/a"), Permissions::from_mode(mode)).unwrap();
        set_mode(0o640);
        assert!(matches!(public.file(&path("allowed/a")), Err(FileError::NotPublic { .. })));
        set_mode(0o644);
        assert_eq!(public.file(&path("allowed/a")).unwrap(), path("allowed/a").canonicalize().unwrap());
        assert!(matches!(public.file(&path("allowed/state/db")), Err(FileError::NotAllowed { .. })));
        assert!(public.new_file(&path("allowed/log")).is_err(), "only to be read");
        assert!(AllowedFolders::new(&[], Path::new("")).file(Path::new("/etc/passwd")).is_err());
    }
}
