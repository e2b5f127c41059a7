//! The formats that are known by their signs.

use std::fmt;

use super::{mbr, vmdk};

/// Fewer bytes than a sector are not recognised as qcow2.
const QCOW2_MIN_BYTES: usize = 512;

/// A format of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFormat {
    /// Nothing that is known: the disk itself.
    Raw,
    /// The disk itself, with a partition table in its first sector (also a plain MBR).
    Gpt,
    /// QEMU copy-on-write, version 2 and later.
    Qcow2,
    /// Microsoft virtual hard disk.
    Vhd,
    /// Microsoft virtual hard disk, version 2.
    Vhdx,
    /// VMware virtual disk.
    Vmdk,
    /// VirtualBox disk.
    Vdi,
    /// QEMU enhanced disk.
    Qed,
    /// ISO 9660 or UDF.
    Iso,
    /// An encrypted disk.
    Luks,
}

impl ImageFormat {
    /// The name, as in `disk_format`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Gpt => "gpt",
            Self::Qcow2 => "qcow2",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vmdk => "vmdk",
            Self::Vdi => "vdi",
            Self::Qed => "qed",
            Self::Iso => "iso",
            Self::Luks => "luks",
        }
    }

    /// Every format of which `head` has the signs; [`Self::Raw`] is none of them.
    pub(super) fn matches(head: &[u8]) -> Vec<Self> {
        let at = |offset: usize, sign: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(sign));
        let iso = [b"CD001", b"NSR02", b"NSR03"].iter().any(|sign| at(0x8001, *sign));
        let signs = [
            (Self::Qcow2, at(0, b"QFI\xfb") && head.len() >= QCOW2_MIN_BYTES),
            (Self::Vhd, at(0, b"conectix")),
            (Self::Vhdx, at(0, b"vhdxfile")),
            (Self::Vmdk, vmdk::matches(head)),
            (Self::Vdi, at(0x40, &0xbeda_107f_u32.to_le_bytes())),
            (Self::Qed, at(0, b"QED\0")),
            (Self::Iso, iso),
            (Self::Gpt, mbr::matches(head)),
            (Self::Luks, at(0, b"LUKS\xba\xbe")),
        ];
        signs.into_iter().filter_map(|(format, has)| has.then_some(format)).collect()
    }
}

impl fmt::Display for ImageFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
