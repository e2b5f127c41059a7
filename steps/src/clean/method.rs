//! The ways to erase a device, and to burn it in.

use std::fmt;

use ferric_hardware::scsi::sanitize;
use ferric_hardware::{ata, nvme};
use serde::{Serialize, Serializer};

/// A way to erase a device, or to burn it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// By a command of NVMe.
    Nvme(nvme::Action),
    /// By a command of ATA.
    Ata(ata::Action),
    /// By a command of SCSI.
    Scsi(sanitize::Action),
    /// By discarding every block, which then reads as zeros.
    Discard,
    /// By writing over every block.
    Overwrite,
    /// Partition tables and signatures alone are overwritten.
    Metadata,
    /// Burnt in by fio.
    Fio,
    /// Burnt in by writing random data and reading them again.
    WriteAndVerify,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nvme(nvme::Action::FormatCrypto) => "nvme-format-crypto",
            Self::Nvme(nvme::Action::FormatUserData) => "nvme-format-user-data",
            Self::Nvme(nvme::Action::SanitizeCrypto) => "nvme-sanitize-crypto",
            Self::Nvme(nvme::Action::SanitizeBlock) => "nvme-sanitize-block",
            Self::Nvme(nvme::Action::SanitizeOverwrite) => "nvme-sanitize-overwrite",
            Self::Ata(ata::Action::Enhanced) => "ata-secure-erase-enhanced",
            Self::Ata(ata::Action::Normal) => "ata-secure-erase",
            Self::Scsi(sanitize::Action::Crypto) => "scsi-sanitize-crypto",
            Self::Scsi(sanitize::Action::Block) => "scsi-sanitize-block",
            Self::Scsi(sanitize::Action::Overwrite) => "scsi-sanitize-overwrite",
            Self::Discard => "discard",
            Self::Overwrite => "overwrite",
            Self::Metadata => "metadata",
            Self::Fio => "fio",
            Self::WriteAndVerify => "write-and-verify",
        })
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Method {
    /// The commands by which a device of that name may erase itself, in the order in which they are tried.
    pub(super) fn own(device: &str) -> Vec<Self> {
        if nvme::is_namespace(device) {
            nvme::Action::ALL.into_iter().map(Self::Nvme).collect()
        } else if ata::may_be_ata(device) {
            let ata = ata::Action::ALL.into_iter().map(Self::Ata);
            ata.chain(sanitize::Action::ALL.into_iter().map(Self::Scsi)).collect()
        } else {
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_device_has_its_own_commands() {
        let names = |device: &str| Method::own(device).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names("/dev/nvme0n1").first().map(String::as_str), Some("nvme-format-crypto"));
        assert_eq!(names("/dev/sda")[..3], ["ata-secure-erase-enhanced", "ata-secure-erase", "scsi-sanitize-crypto"]);
        assert!(names("/dev/vda").is_empty());
    }
}
