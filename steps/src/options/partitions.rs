//! Options about the partitions that the agent makes.

use ferric_hardware::units::Bytes;

/// Sizes of the partitions that firmware needs (`[disk_utils]`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partitions {
    /// Size of an EFI system partition (`efi_system_partition_size`, in MiB).
    pub efi_system: Bytes,
    /// Size of a BIOS boot partition (`bios_boot_partition_size`, in MiB).
    pub bios_boot: Bytes,
}

impl Default for Partitions {
    fn default() -> Self {
        Self { efi_system: Bytes::mib(550), bios_boot: Bytes::mib(1) }
    }
}
