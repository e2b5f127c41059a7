//! Device paths (UEFI specification, chapter 10): what a boot entry loads, as bytes and as text.

use std::fmt::{self, Display, Formatter};

use uuid::Uuid;

use crate::units::Lba;

const END: [u8; 4] = [0x7f, 0xff, 4, 0];
const MEDIA: u8 = 4;
const HARD_DRIVE: u8 = 1;
const FILE: u8 = 4;

/// A device path as it stands in a variable: nodes with type, subtype and length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePath(Vec<u8>);

/// A partition, as the firmware finds it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HardDrive {
    /// Number in its table, from 1.
    pub number: u32,
    /// First block.
    pub start: Lba,
    /// Number of blocks.
    pub blocks: u64,
    /// How it is recognised.
    pub signature: Signature,
}

/// How a partition is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// The partition's own identifier in a GUID partition table.
    Gpt(Uuid),
    /// The disk identifier of a DOS partition table.
    Mbr(u32),
}

impl DevicePath {
    /// A path from its bytes, whatever they say.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// A file on a partition; `file` is absolute and uses backslashes.
    pub fn file(drive: HardDrive, file: &str) -> Self {
        let mut node = drive.number.to_le_bytes().to_vec();
        node.extend(drive.start.0.to_le_bytes());
        node.extend(drive.blocks.to_le_bytes());
        match drive.signature {
            Signature::Gpt(guid) => {
                node.extend(guid.to_bytes_le());
                node.extend([2, 2]);
            }
            Signature::Mbr(disk_id) => {
                node.extend(disk_id.to_le_bytes());
                node.extend([0; 12]);
                node.extend([1, 1]);
            }
        }
        let mut bytes = Vec::new();
        push_node(&mut bytes, HARD_DRIVE, &node);
        let name: Vec<u8> = file.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        push_node(&mut bytes, FILE, &name);
        bytes.extend(END);
        Self(bytes)
    }

    /// Whether it leads to a partition of a disk.
    pub fn is_on_disk(&self) -> bool {
        self.nodes().any(|(kind, subtype, _)| (kind, subtype) == (MEDIA, HARD_DRIVE))
    }

    /// The bytes, end node included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Type, subtype and content of each node up to the end node.
    fn nodes(&self) -> impl Iterator<Item = (u8, u8, &[u8])> {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let [kind, subtype, low, high, ..] = *rest else { return None };
            let length = usize::from(u16::from_le_bytes([low, high]));
            if kind == END[0] || length < 4 {
                return None;
            }
            let content = rest.get(4..length)?;
            rest = &rest[length..];
            Some((kind, subtype, content))
        })
    }
}

fn push_node(bytes: &mut Vec<u8>, subtype: u8, content: &[u8]) {
    bytes.extend([MEDIA, subtype]);
    bytes.extend((content.len() as u16 + 4).to_le_bytes());
    bytes.extend(content);
}

impl Display for DevicePath {
    /// The text form of the specification, nodes joined by `/`: `HD(1,GPT,…)/File(\EFI\BOOT\BOOTX64.EFI)`. Nodes without
    /// a form of their own here are `Path(type,subtype,hex)`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, (kind, subtype, content)) in self.nodes().enumerate() {
            if index > 0 {
                f.write_str("/")?;
            }
            match write_node(f, kind, subtype, content) {
                Some(written) => written?,
                None => {
                    write!(f, "Path({kind},{subtype},")?;
                    content.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                    f.write_str(")")?;
                }
            }
        }
        Ok(())
    }
}

/// Writes one node, or nothing when it has another shape than its type says.
fn write_node(f: &mut Formatter<'_>, kind: u8, subtype: u8, content: &[u8]) -> Option<fmt::Result> {
    let word = |at: usize| Some(u16::from_le_bytes(content.get(at..at + 2)?.try_into().ok()?));
    let long = |at: usize| Some(u32::from_le_bytes(content.get(at..at + 4)?.try_into().ok()?));
    let quad = |at: usize| Some(u64::from_le_bytes(content.get(at..at + 8)?.try_into().ok()?));
    let guid = |at: usize| Some(Uuid::from_bytes_le(content.get(at..at + 16)?.try_into().ok()?));
    let written = match (kind, subtype) {
        (1, 1) => write!(f, "Pci({:#x},{:#x})", content.get(1)?, content.first()?),
        (1, 4) => write!(f, "VenHw({})", guid(0)?),
        // PNP0A03 and PNP0A08, compressed: a PCI root bridge.
        (2, 1) if [0x0a03_41d0, 0x0a08_41d0].contains(&long(0)?) => write!(f, "PciRoot({:#x})", long(4)?),
        (2, 1) => write!(f, "Acpi({:#x},{:#x})", long(0)?, long(4)?),
        (3, 2) => write!(f, "Scsi({},{})", word(0)?, word(2)?),
        (3, 5) => write!(f, "USB({},{})", content.first()?, content.get(1)?),
        (3, 10) => write!(f, "VenMsg({})", guid(0)?),
        (3, 11) => write!(f, "MAC({},{})", hex(content.get(..6)?), content.get(32)?),
        (3, 12) => write!(f, "IPv4()"),
        (3, 13) => write!(f, "IPv6()"),
        (3, 15) => write!(f, "UsbClass({:#x},{:#x})", word(0)?, word(2)?),
        (3, 18) => write!(f, "Sata({},{},{})", word(0)?, word(2)?, word(4)?),
        (3, 23) => write!(f, "NVMe({:#x},{})", long(0)?, hex(content.get(4..12)?)),
        (3, 24) => write!(f, "Uri({})", String::from_utf8_lossy(content)),
        (MEDIA, HARD_DRIVE) => {
            let [start, blocks] = [quad(4)?, quad(12)?];
            match content.get(37)? {
                2 => write!(f, "HD({},GPT,{},{start:#x},{blocks:#x})", long(0)?, guid(20)?),
                1 => write!(f, "HD({},MBR,{:#x},{start:#x},{blocks:#x})", long(0)?, long(20)?),
                _ => write!(f, "HD({},None,0,{start:#x},{blocks:#x})", long(0)?),
            }
        }
        (MEDIA, 2) => write!(f, "CDROM({:#x})", long(0)?),
        (MEDIA, FILE) => write!(f, "File({})", file_name(content)),
        (MEDIA, 6) => write!(f, "FvFile({})", guid(0)?),
        (MEDIA, 7) => write!(f, "FvVol({})", guid(0)?),
        (5, 1) => {
            let text = content.get(4..)?.split(|byte| *byte == 0).next().unwrap_or_default();
            write!(f, "BBS({},{},{:#x})", word(0)?, String::from_utf8_lossy(text), word(2)?)
        }
        _ => return None,
    };
    Some(written)
}

fn file_name(content: &[u8]) -> String {
    let units: Vec<u16> = content.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    String::from_utf16_lossy(&units).trim_end_matches('\0').to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
