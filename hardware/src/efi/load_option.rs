//! What a `Boot####` variable holds (`EFI_LOAD_OPTION`, UEFI specification 3.1.3).

use super::device_path::DevicePath;

/// The entry is tried.
const ACTIVE: u32 = 1;

/// A boot entry's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadOption {
    /// Attribute bits; bit 0 means that the entry is tried.
    pub attributes: u32,
    /// What people see.
    pub label: String,
    /// What is loaded.
    pub path: DevicePath,
    /// What the loaded program is given.
    pub data: Vec<u8>,
}

impl LoadOption {
    /// An active entry without data.
    pub fn new(label: impl Into<String>, path: DevicePath) -> Self {
        Self { attributes: ACTIVE, label: label.into(), path, data: Vec::new() }
    }

    /// Reads the variable's data; nothing when it is cut short.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let attributes = u32::from_le_bytes(data.get(..4)?.try_into().ok()?);
        let path_bytes = usize::from(u16::from_le_bytes(data.get(4..6)?.try_into().ok()?));
        let units: Vec<u16> =
            data.get(6..)?.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        let length = units.iter().position(|unit| *unit == 0)?;
        let path_at = 6 + (length + 1) * 2;
        Some(Self {
            attributes,
            label: String::from_utf16_lossy(&units[..length]),
            path: DevicePath::from_bytes(data.get(path_at..path_at + path_bytes)?),
            data: data[path_at + path_bytes..].to_vec(),
        })
    }

    /// The variable's data.
    pub fn encode(&self) -> Vec<u8> {
        let path = self.path.as_bytes();
        let mut data = self.attributes.to_le_bytes().to_vec();
        data.extend((path.len() as u16).to_le_bytes());
        data.extend(self.label.encode_utf16().chain([0]).flat_map(u16::to_le_bytes));
        data.extend(path);
        data.extend(&self.data);
        data
    }
}
