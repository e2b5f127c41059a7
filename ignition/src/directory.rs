//! Files and units of a live system from directories.

use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::config::Further;
use crate::document::{Contents, Dropin, File, Link, Unit};

/// All files together; what is larger belongs on a web server.
const MAX_BYTES: u64 = 16 << 20;
const DROPINS: &str = ".d";

/// Why a directory cannot become part of a config.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// It cannot be read.
    #[error("reading {}: {cause}", .path.display())]
    Read {
        /// What cannot.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Neither file nor directory nor symbolic link.
    #[error("{} is neither a file nor a directory nor a symbolic link", .0.display())]
    Kind(PathBuf),
    /// A name that a config cannot have.
    #[error("the name {} is not UTF-8", .0.display())]
    Name(PathBuf),
    /// A unit that is no text.
    #[error("the unit {} is not UTF-8", .0.display())]
    Text(PathBuf),
    /// Too much for a config.
    #[error("the files are longer than {mib} MiB together", mib = MAX_BYTES >> 20)]
    TooLarge,
}

/// Adds the files and links of a directory that is laid out like the live system's root; they keep their permissions.
///
/// # Errors
/// What in it cannot be part of a config.
pub fn add_files(directory: &Path, further: &mut Further) -> Result<(), DirectoryError> {
    add_below(directory, "", further, &mut 0)
}

fn add_below(directory: &Path, path: &str, further: &mut Further, total: &mut u64) -> Result<(), DirectoryError> {
    for entry in entries(directory)? {
        let place = entry.path();
        let failed = |cause| DirectoryError::Read { path: place.clone(), cause };
        let path = format!("{path}/{}", name(&entry)?);
        let metadata = entry.metadata().map_err(failed)?;
        if metadata.is_dir() {
            add_below(&place, &path, further, total)?;
        } else if metadata.is_symlink() {
            let target = fs::read_link(&place).map_err(failed)?;
            let target = target.to_str().ok_or_else(|| DirectoryError::Name(target.clone()))?.to_owned();
            further.links.push(Link { path, overwrite: true, target });
        } else if metadata.is_file() {
            *total += metadata.len();
            if *total > MAX_BYTES {
                return Err(DirectoryError::TooLarge);
            }
            let contents = Contents::inline(fs::read(&place).map_err(failed)?);
            further.files.push(File { path, mode: metadata.permissions().mode() & 0o777, overwrite: true, contents });
        } else {
            return Err(DirectoryError::Kind(place));
        }
    }
    Ok(())
}

/// Adds the units of a directory, and the drop-ins in its `NAME.d` directories. Units with a section `[Install]` are
/// enabled.
///
/// # Errors
/// What in it cannot be part of a config.
pub fn add_units(directory: &Path, further: &mut Further) -> Result<(), DirectoryError> {
    for entry in entries(directory)? {
        let name = name(&entry)?;
        let is_directory = entry.path().is_dir();
        let unit_name = if is_directory { name.strip_suffix(DROPINS).unwrap_or(&name) } else { &name };
        let index = further.units.iter().position(|unit| unit.name == unit_name).unwrap_or_else(|| {
            let name = unit_name.to_owned();
            further.units.push(Unit { name, enabled: None, contents: None, dropins: Vec::new() });
            further.units.len() - 1
        });
        let unit = &mut further.units[index];
        if is_directory {
            for entry in entries(&entry.path())? {
                unit.dropins.push(Dropin { name: self::name(&entry)?, contents: text(&entry.path())? });
            }
        } else {
            let contents = text(&entry.path())?;
            unit.enabled = contents.lines().any(|line| line.trim() == "[Install]").then_some(true);
            unit.contents = Some(contents);
        }
    }
    Ok(())
}

/// Sorted by name, so that the config does not depend on the file system.
fn entries(directory: &Path) -> Result<Vec<DirEntry>, DirectoryError> {
    let failed = |cause| DirectoryError::Read { path: directory.to_owned(), cause };
    let mut entries = fs::read_dir(directory).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

fn name(entry: &DirEntry) -> Result<String, DirectoryError> {
    entry.file_name().into_string().map_err(|_| DirectoryError::Name(entry.path()))
}

fn text(path: &Path) -> Result<String, DirectoryError> {
    let failed = |cause| DirectoryError::Read { path: path.to_owned(), cause };
    if fs::metadata(path).map_err(failed)?.len() > MAX_BYTES {
        return Err(DirectoryError::TooLarge);
    }
    String::from_utf8(fs::read(path).map_err(failed)?).map_err(|_| DirectoryError::Text(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_tree_becomes_files_and_links() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("etc/chrony.d")).unwrap();
        fs::write(root.join("etc/chrony.d/site.conf"), "server 192.0.2.1\n").unwrap();
        fs::set_permissions(root.join("etc/chrony.d/site.conf"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("/usr/share/zoneinfo/UTC", root.join("etc/localtime")).unwrap();
        let mut further = Further::default();
        add_files(root, &mut further).unwrap();
        assert_eq!((further.files[0].path.as_str(), further.files[0].mode), ("/etc/chrony.d/site.conf", 0o640));
        assert_eq!(further.links[0].path, "/etc/localtime");
        nix_socket(&root.join("etc/socket"));
        assert!(matches!(add_files(root, &mut further), Err(DirectoryError::Kind(_))));
    }

    fn nix_socket(path: &Path) {
        std::os::unix::net::UnixListener::bind(path).unwrap();
    }

    #[test]
    fn units_and_their_additions_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("chronyd.service.d")).unwrap();
        fs::write(root.join("chronyd.service.d/10-site.conf"), "[Unit]\n").unwrap();
        fs::write(root.join("led.service"), "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=a.target\n").unwrap();
        fs::write(root.join("part.service"), "[Service]\nExecStart=/bin/true\n").unwrap();
        let mut further = Further::default();
        add_units(root, &mut further).unwrap();
        let seen: Vec<_> =
            further.units.iter().map(|unit| (unit.name.as_str(), unit.enabled, unit.dropins.len())).collect();
        assert_eq!(seen, [("chronyd.service", None, 1), ("led.service", Some(true), 0), ("part.service", None, 0)]);
        fs::write(root.join("bad.service"), [0xff]).unwrap();
        assert!(matches!(add_units(root, &mut further), Err(DirectoryError::Text(_))));
    }
}
