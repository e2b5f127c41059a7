//! NetworkManager keyfiles: network connections, as the live system and its initramfs read them.

use thiserror::Error;

use crate::archive::Archive;

/// Directory of the initramfs whose keyfiles are in force before Ignition runs, and later in the live system
/// (coreos-installer, `iso network embed`).
const INITRAMFS_DIRECTORY: &str = "etc/coreos-firstboot-network/";
const EXTENSION: &str = ".nmconnection";
const MAX_BYTES: usize = 1 << 20;

/// A file that NetworkManager would not read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyfileError {
    /// By its name.
    #[error("network configuration {0:?}: only *{EXTENSION} files with a plain name are understood")]
    Name(String),
    /// By its size.
    #[error("network configuration {0:?} is longer than {kib} KiB", kib = MAX_BYTES >> 10)]
    TooLarge(String),
    /// By its contents.
    #[error("network configuration {0:?} is not a keyfile: it has no section [connection]")]
    NoConnection(String),
    /// Because there is one of that name already.
    #[error("there are two network configurations {0:?}")]
    Twice(String),
}

/// A keyfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyfile {
    name: String,
    contents: Vec<u8>,
}

impl Keyfile {
    /// A keyfile of that file name.
    ///
    /// # Errors
    /// When NetworkManager would not read it.
    pub fn new(name: impl Into<String>, contents: impl Into<Vec<u8>>) -> Result<Self, KeyfileError> {
        let (name, contents) = (name.into(), contents.into());
        let plain = |character: char| character.is_ascii_alphanumeric() || "._- ".contains(character);
        let stem = name.strip_suffix(EXTENSION).unwrap_or_default();
        if stem.is_empty() || stem.starts_with('.') || !stem.chars().all(plain) {
            return Err(KeyfileError::Name(name));
        }
        if contents.len() > MAX_BYTES {
            return Err(KeyfileError::TooLarge(name));
        }
        let is_section = |line: &[u8]| line.trim_ascii() == b"[connection]";
        if !contents.split(|byte| *byte == b'\n').any(is_section) {
            return Err(KeyfileError::NoConnection(name));
        }
        Ok(Self { name, contents })
    }

    /// File name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is in it.
    #[must_use]
    pub fn contents(&self) -> &[u8] {
        &self.contents
    }
}

/// Adds keyfiles to an initramfs.
///
/// # Errors
/// [`KeyfileError::Twice`].
pub fn embed(keyfiles: &[Keyfile], archive: &mut Archive) -> Result<(), KeyfileError> {
    for Keyfile { name, contents } in keyfiles {
        let path = format!("{INITRAMFS_DIRECTORY}{name}");
        if archive.get(&path).is_some() {
            return Err(KeyfileError::Twice(name.clone()));
        }
        archive.insert(path, contents.clone());
    }
    Ok(())
}

/// Takes all keyfiles out of an initramfs.
pub fn remove(archive: &mut Archive) {
    let paths: Vec<String> = archive.paths().filter(|path| is_embedded(path)).map(str::to_owned).collect();
    for path in paths {
        archive.remove(&path);
    }
}

/// Names and contents of the keyfiles in an initramfs, sorted by name. Whoever put them there chose the names.
pub fn embedded(archive: &Archive) -> impl Iterator<Item = (&str, &[u8])> {
    let paths = archive.paths().filter(|path| is_embedded(path));
    paths.filter_map(|path| Some((path.strip_prefix(INITRAMFS_DIRECTORY)?, archive.get(path)?)))
}

/// Is it the path of a keyfile in an initramfs?
#[must_use]
pub fn is_embedded(path: &str) -> bool {
    path.strip_prefix(INITRAMFS_DIRECTORY).is_some_and(|name| !name.is_empty() && !name.contains('/') && name != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENTS: &str = "[connection]\nid=a\n";

    #[test]
    fn only_what_network_manager_reads_is_a_keyfile() {
        assert!(Keyfile::new("eth0 (1).nmconnection", CONTENTS).is_err());
        assert!(Keyfile::new("Wired 1_a-b.nmconnection", CONTENTS).is_ok());
        for name in ["eth0", "eth0.conf", ".nmconnection", "../a.nmconnection", "a/b.nmconnection", ".a.nmconnection"] {
            assert_eq!(Keyfile::new(name, CONTENTS), Err(KeyfileError::Name(name.to_owned())));
        }
        assert!(matches!(Keyfile::new("a.nmconnection", "id=a"), Err(KeyfileError::NoConnection(_))));
        assert!(matches!(Keyfile::new("a.nmconnection", vec![b'x'; MAX_BYTES + 1]), Err(KeyfileError::TooLarge(_))));
    }

    #[test]
    fn what_was_embedded_is_found_and_removed() {
        let keyfiles = ["b", "a"].map(|name| Keyfile::new(format!("{name}.nmconnection"), CONTENTS).unwrap());
        let mut archive = Archive::default();
        archive.insert("config.ign", *b"{}");
        embed(&keyfiles, &mut archive).unwrap();
        assert_eq!(embed(&keyfiles[..1], &mut archive), Err(KeyfileError::Twice("b.nmconnection".to_owned())));
        let names: Vec<_> = embedded(&archive).map(|(name, _)| name).collect();
        assert_eq!(names, ["a.nmconnection", "b.nmconnection"]);
        remove(&mut archive);
        assert_eq!(archive.paths().collect::<Vec<_>>(), ["config.ign"]);
    }
}
