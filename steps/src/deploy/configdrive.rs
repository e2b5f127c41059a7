//! The config drive: what arrives ([`obtain`]), and where it goes on the disk ([`place`]).

mod content;
mod placing;

pub use content::obtain;
pub use placing::place;

use ferric_hardware::units::Bytes;

/// Larger config drives are refused, and a new partition for one has this size.
const LIMIT: Bytes = Bytes::mib(64);
