//! Whether a file is an ISO that a machine could boot, before a machine is switched for it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use ferric_ignition::iso9660::{Iso9660, IsoError, SECTOR_BYTES};

/// The boot record volume descriptor stands here (El Torito specification 1.0, section 2.0).
const BOOT_RECORD_SECTOR: u64 = 17;
const BOOT_RECORD: &[u8] = b"\0CD001\x01EL TORITO SPECIFICATION";

/// Why it is none.
#[derive(Debug, thiserror::Error)]
pub enum NotBootable {
    /// No ISO, or not all of it.
    #[error("{}: {cause}", path.display())]
    Iso {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: IsoError,
    },
    /// Files and nothing that starts.
    #[error("{}: the ISO has no boot loader (no El Torito boot record)", path.display())]
    NoBootLoader {
        /// The file.
        path: PathBuf,
    },
    /// Zeroes: of a transfer that came to nothing.
    #[error("{}: not an ISO 9660 image, it is blank", path.display())]
    Blank {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
}

/// What is in a file that may be inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// An ISO with a boot loader.
    Iso,
    /// A medium on which nothing is written. Ironic hands every file on, and whoever tries a BMC inserts one of these.
    Blank,
}

impl Content {
    /// Takes no medium on which nothing is written.
    ///
    /// # Errors
    /// [`NotBootable::Blank`].
    pub fn written(self, path: &Path) -> Result<(), NotBootable> {
        match self {
            Self::Iso => Ok(()),
            Self::Blank => Err(NotBootable::Blank { path: path.to_owned() }),
        }
    }
}

/// Looks at its volume descriptors.
///
/// # Errors
/// When it is something else, or not whole, or cannot boot.
pub fn check(path: &Path) -> Result<Content, NotBootable> {
    let failed = |cause| NotBootable::File { path: path.to_owned(), cause };
    let mut file = File::open(path).map_err(failed)?;
    if let Err(cause) = Iso9660::open(&file) {
        return if is_blank(&mut file).map_err(failed)? {
            Ok(Content::Blank)
        } else {
            Err(NotBootable::Iso { path: path.to_owned(), cause })
        };
    }
    let mut record = vec![0; BOOT_RECORD.len()];
    let read = file.seek(SeekFrom::Start(BOOT_RECORD_SECTOR * SECTOR_BYTES)).and_then(|_| file.read_exact(&mut record));
    read.map_err(failed)?;
    if record == BOOT_RECORD { Ok(Content::Iso) } else { Err(NotBootable::NoBootLoader { path: path.to_owned() }) }
}

/// Whether there is something, and nothing in it where ISOs and disks say what they are.
fn is_blank(file: &mut File) -> io::Result<bool> {
    let mut start = Vec::new();
    file.rewind()?;
    file.take(64 << 10).read_to_end(&mut start)?;
    Ok(!start.is_empty() && start.iter().all(|byte| *byte == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_that_it_is_something_else_is_refused_and_a_blank_medium_is_told_from_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(check(file.path()).is_err());
        std::fs::write(file.path(), vec![0; 1 << 20]).unwrap();
        assert_eq!(check(file.path()).unwrap(), Content::Blank);
        for start in ["<html>not found</html>", "QFI\u{1}", "\u{1f}x"] {
            let mut bytes = start.as_bytes().to_vec();
            bytes.resize(1 << 20, 0);
            std::fs::write(file.path(), bytes).unwrap();
            assert!(check(file.path()).is_err(), "{start}");
        }
    }
}
