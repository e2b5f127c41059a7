//! One block device as the inventory shows it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A block device. Field names and order are those of the inventory's `disks`.
///
/// In JSON that is read (not in what is written) a text may also be a list of alternatives, as root device hints see
/// them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, from = "Described")]
pub struct BlockDevice {
    /// Kernel device path, `/dev/sda`.
    pub name: String,
    /// Model, trimmed.
    pub model: Option<String>,
    /// Size in bytes.
    #[serde(rename = "size")]
    pub size_bytes: u64,
    /// True for spinning disks.
    pub rotational: Option<bool>,
    /// World Wide Name, usually with its extension.
    pub wwn: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Vendor, trimmed.
    pub vendor: Option<String>,
    /// WWN with vendor extension.
    pub wwn_with_extension: Option<String>,
    /// Vendor extension of the WWN alone.
    pub wwn_vendor_extension: Option<String>,
    /// SCSI host:channel:target:lun.
    pub hctl: Option<String>,
    /// Path below `/dev/disk/by-path`.
    pub by_path: Option<String>,
    /// Logical block size in bytes.
    pub logical_sectors: Option<u32>,
    /// Physical block size in bytes.
    pub physical_sectors: Option<u32>,
    /// Transport: sata, sas, nvme, usb, virtio…
    pub tran: Option<String>,
    /// Attributes for which the device has several values, by the name of the hint; a hint fits when one of them does.
    /// An empty list fits none.
    #[serde(skip)]
    pub alternatives: BTreeMap<String, Vec<String>>,
}

/// The JSON form that is read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Described {
    name: String,
    size: u64,
    rotational: Option<bool>,
    logical_sectors: Option<u32>,
    physical_sectors: Option<u32>,
    model: OneOrMany,
    wwn: OneOrMany,
    serial: OneOrMany,
    vendor: OneOrMany,
    wwn_with_extension: OneOrMany,
    wwn_vendor_extension: OneOrMany,
    hctl: OneOrMany,
    by_path: OneOrMany,
    tran: OneOrMany,
}

/// One text, or a list of alternatives.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string, null, or a list of these")]
enum OneOrMany {
    One(Option<String>),
    Many(Vec<Option<String>>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::One(None)
    }
}

impl From<Described> for BlockDevice {
    fn from(described: Described) -> Self {
        let mut alternatives = BTreeMap::new();
        let mut first = |hint: &str, text: OneOrMany| match text {
            OneOrMany::One(one) => one,
            OneOrMany::Many(many) => {
                let many: Vec<String> = many.into_iter().flatten().collect();
                let first = many.iter().find(|text| !text.is_empty()).cloned();
                alternatives.insert(hint.to_string(), many);
                first
            }
        };
        Self {
            name: described.name,
            model: first("model", described.model),
            size_bytes: described.size,
            rotational: described.rotational,
            wwn: first("wwn", described.wwn),
            serial: first("serial", described.serial),
            vendor: first("vendor", described.vendor),
            wwn_with_extension: first("wwn_with_extension", described.wwn_with_extension),
            wwn_vendor_extension: first("wwn_vendor_extension", described.wwn_vendor_extension),
            hctl: first("hctl", described.hctl),
            by_path: first("by_path", described.by_path),
            logical_sectors: described.logical_sectors,
            physical_sectors: described.physical_sectors,
            tran: first("tran", described.tran),
            alternatives,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternatives_are_read_but_only_the_first_is_written() {
        let device: BlockDevice =
            serde_json::from_str(r#"{"name": "/dev/sdd", "size": 1, "serial": ["", null, "USB-0042"], "wwn": "0x5"}"#)
                .unwrap();
        assert_eq!(device.alternatives["serial"], ["", "USB-0042"]);
        assert!(!device.alternatives.contains_key("wwn"));
        let json = serde_json::to_value(&device).unwrap();
        assert_eq!(json["serial"], "USB-0042");
        assert_eq!(json["wwn"], "0x5");
        assert_eq!(json.as_object().unwrap().len(), 14);
    }
}
