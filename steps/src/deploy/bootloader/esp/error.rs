//! Why an EFI system partition cannot be used.

use std::io;

use ferric_hardware::open_device::DeviceError;
use ferric_hardware::table_error::TableError;

/// Why a system partition cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EspError {
    #[error(transparent)]
    Table(#[from] TableError),
    #[error("reading the EFI system partition: {0}")]
    Read(#[from] io::Error),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error("ESP content ({content} bytes) exceeds md device size ({room} bytes)")]
    TooLarge { content: u64, room: u64 },
    #[error("{device} has no partition {number}")]
    NoPartition { device: String, number: u32 },
}
