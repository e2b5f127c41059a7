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
    /// It cannot be read.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
}

/// Looks at its volume descriptors.
///
/// # Errors
/// When it cannot boot.
pub fn check(path: &Path) -> Result<(), NotBootable> {
    let failed = |cause| NotBootable::File { path: path.to_owned(), cause };
    let mut file = File::open(path).map_err(failed)?;
    Iso9660::open(&file).map_err(|cause| NotBootable::Iso { path: path.to_owned(), cause })?;
    let mut record = vec![0; BOOT_RECORD.len()];
    let read = file.seek(SeekFrom::Start(BOOT_RECORD_SECTOR * SECTOR_BYTES)).and_then(|_| file.read_exact(&mut record));
    read.map_err(failed)?;
    if record == BOOT_RECORD { Ok(()) } else { Err(NotBootable::NoBootLoader { path: path.to_owned() }) }
}
