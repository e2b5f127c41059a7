//! The config drive: what arrives ([`ConfigDrive`]), and where it goes on the disk ([`place`]).

mod content;
mod placing;

pub use content::ConfigDrive;
pub use placing::place;

use ferric_hardware::units::Bytes;

/// Larger config drives are refused, and a new partition for one has this size.
const LIMIT: Bytes = Bytes::mib(64);
