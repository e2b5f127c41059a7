//! What can be wrong with a partition table of either kind.

use std::io;

use crate::units::Bytes;

/// Why a partition table cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The disk cannot be read or written.
    #[error("partition table: {0}")]
    Io(#[from] io::Error),
    /// There is a table, but neither it nor its copy is intact.
    #[error("the partition table is damaged: {0}")]
    Damaged(&'static str),
    /// Every entry is used.
    #[error("the partition table has no free entry")]
    Full,
    /// Not enough unused space at the place asked for.
    #[error("no free space for a partition of {0}")]
    NoSpace(Bytes),
}
