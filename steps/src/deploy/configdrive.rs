//! The config drive: what arrives ([`ConfigDrive`]), what becomes of it for a disk ([`Drive`]), and where it goes there
//! ([`place`]).

mod content;
mod drive;
mod placing;

pub use content::ConfigDrive;
pub use drive::{Drive, DriveError};
pub use placing::place;

use ferric_hardware::units::Bytes;

/// Larger config drives are refused, and a new partition for one has this size.
const LIMIT: Bytes = Bytes::mib(64);
