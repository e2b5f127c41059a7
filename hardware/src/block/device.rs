//! One block device as the inventory shows it.

use serde::{Deserialize, Deserializer, Serialize};

/// A block device. Field names and order are those of the inventory's `disks`.
///
/// In JSON that is read (not in what is written) `wwn` and `serial` may be lists of alternatives, as root
/// device hints see them.
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
    /// All serial numbers the device is known by; a hint fits when one of them does.
    #[serde(skip)]
    pub serial_alternatives: Option<Vec<String>>,
    /// All World Wide Names the device is known by.
    #[serde(skip)]
    pub wwn_alternatives: Option<Vec<String>>,
}

/// The JSON form that is read: one text, or a list of alternatives.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Described {
    name: String,
    model: Option<String>,
    size: u64,
    rotational: Option<bool>,
    wwn: OneOrMany,
    serial: OneOrMany,
    vendor: Option<String>,
    wwn_with_extension: Option<String>,
    wwn_vendor_extension: Option<String>,
    hctl: Option<String>,
    by_path: Option<String>,
    logical_sectors: Option<u32>,
    physical_sectors: Option<u32>,
    tran: Option<String>,
}

#[derive(Default)]
struct OneOrMany {
    one: Option<String>,
    many: Option<Vec<String>>,
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a string, null, or a list of these")]
        enum Form {
            One(Option<String>),
            Many(Vec<Option<String>>),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::One(one) => Self { one, many: None },
            Form::Many(many) => {
                let many: Vec<String> = many.into_iter().flatten().collect();
                Self { one: many.iter().find(|s| !s.is_empty()).cloned(), many: Some(many) }
            }
        })
    }
}

impl From<Described> for BlockDevice {
    fn from(d: Described) -> Self {
        Self {
            name: d.name,
            model: d.model,
            size_bytes: d.size,
            rotational: d.rotational,
            wwn: d.wwn.one,
            serial: d.serial.one,
            vendor: d.vendor,
            wwn_with_extension: d.wwn_with_extension,
            wwn_vendor_extension: d.wwn_vendor_extension,
            hctl: d.hctl,
            by_path: d.by_path,
            logical_sectors: d.logical_sectors,
            physical_sectors: d.physical_sectors,
            tran: d.tran,
            serial_alternatives: d.serial.many,
            wwn_alternatives: d.wwn.many,
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
        assert_eq!(device.serial_alternatives, Some(vec![String::new(), "USB-0042".into()]));
        assert_eq!(device.wwn_alternatives, None);
        let json = serde_json::to_value(&device).unwrap();
        assert_eq!(json["serial"], "USB-0042");
        assert_eq!(json["wwn"], "0x5");
        assert_eq!(json.as_object().unwrap().len(), 14);
    }
}
