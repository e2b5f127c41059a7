//! What sort of device a block device is.

use std::path::Path;

use crate::machine::{Directory, Machine};

/// What sort of device it is; where it has a word, that of `lsblk`'s TYPE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Disk,
    /// A partition of the named device, by the kernel or as a mapping of its own (kpartx, dmraid).
    Partition(String),
    /// An assembled md array (`raid1`…), or firmware RAID set up by `dmraid`.
    Raid(String),
    /// An md device without a RAID level.
    Md,
    /// The map of a multipath disk.
    Multipath,
    /// Another device mapper target; the type out of its UUID (`lvm`, `crypt`…, else `dm`).
    Mapper(String),
    /// What another driver makes of other devices (bcache, drbd): the start of its name.
    Stacked(String),
    Loop,
    Floppy,
    /// Memory that forgets: RAM disks, compressed swap, RAM that the firmware shows as persistent.
    Ram,
    /// A place where firmware lives, not data; which one.
    Firmware(&'static str),
    /// A SCSI device that is no disk (`rom`, `tape`…).
    OtherScsi(&'static str),
}

impl Kind {
    /// Decides as `lsblk` does, and goes on where that calls everything a disk. `slaves` are the devices it is built on.
    pub(super) fn of(machine: &Machine, kname: &str, place: &Path, own: &Directory, slaves: &[String]) -> Self {
        if own.exists("partition") {
            // The kernel keeps partitions below their disk.
            let disk = place.parent().and_then(Path::file_name).and_then(|name| name.to_str());
            return Self::Partition(disk.unwrap_or_default().to_string());
        }
        if kname.starts_with("dm-") {
            return mapping(machine, own, slaves);
        }
        if kname.starts_with("loop") {
            return Self::Loop;
        }
        if kname.starts_with("fd") {
            return Self::Floppy;
        }
        if kname.starts_with("ram") || kname.starts_with("zram") {
            return Self::Ram;
        }
        if kname.starts_with("md") {
            return match own.attribute("md/level") {
                Some(level) if level.contains("raid") => Self::Raid(level),
                _ => Self::Md,
            };
        }
        if kname.starts_with("pmem") && is_volatile(machine, place) {
            return Self::Ram;
        }
        if let Some(area) = firmware_area(kname, own) {
            return Self::Firmware(area);
        }
        if !slaves.is_empty() {
            return Self::Stacked(kname.trim_end_matches(|c: char| c.is_ascii_digit()).to_string());
        }
        // Only drivers of the SCSI layer have a type; the others need not be asked.
        if !kname.starts_with('s') {
            return Self::Disk;
        }
        match own.number::<u8>("device/type") {
            Some(1) => Self::OtherScsi("tape"),
            Some(2) => Self::OtherScsi("printer"),
            Some(3) => Self::OtherScsi("processor"),
            Some(4) => Self::OtherScsi("worm"),
            Some(5) => Self::OtherScsi("rom"),
            Some(6) => Self::OtherScsi("scanner"),
            Some(7) => Self::OtherScsi("mo-disk"),
            Some(8) => Self::OtherScsi("changer"),
            Some(9) => Self::OtherScsi("comm"),
            Some(12) => Self::OtherScsi("raid controller"),
            Some(13) => Self::OtherScsi("enclosure"),
            Some(14) => Self::OtherScsi("rbc"),
            Some(17) => Self::OtherScsi("osd"),
            _ => Self::Disk,
        }
    }
}

/// A device mapper target by the prefix of its UUID, which names the program that owns it.
fn mapping(machine: &Machine, own: &Directory, slaves: &[String]) -> Kind {
    let uuid = own.attribute("dm/uuid").unwrap_or_default();
    let Some((owner, _)) = uuid.split_once('-') else { return Kind::Mapper("dm".into()) };
    let owner = owner.to_lowercase();
    let below = || slaves.first().cloned().unwrap_or_default();
    // kpartx: `part1-mpath-…`.
    if owner.starts_with("part") {
        return Kind::Partition(below());
    }
    if owner == "mpath" {
        return Kind::Multipath;
    }
    if owner.contains("raid") {
        return if is_partition_of_dmraid(machine, own, slaves) { Kind::Partition(below()) } else { Kind::Raid(owner) };
    }
    Kind::Mapper(owner)
}

/// `dmraid` maps partitions itself, with UUIDs like those of its disks: `isw_x_Volume0p1` on `isw_x_Volume0`.
fn is_partition_of_dmraid(machine: &Machine, own: &Directory, slaves: &[String]) -> bool {
    let [disk] = slaves else { return false };
    match (own.attribute("dm/name"), machine.read(format!("/sys/class/block/{disk}/dm/name"))) {
        (Some(name), Some(disk)) => name.strip_prefix(&disk).is_some_and(|rest| {
            let number = rest.strip_prefix('p').unwrap_or(rest);
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        }),
        _ => false,
    }
}

/// Where devices keep their firmware and its keys. Nobody's data is there, and a machine without it does not start.
fn firmware_area(kname: &str, own: &Directory) -> Option<&'static str> {
    if let Some(area) = kname.strip_prefix("mmcblk") {
        let area = area.trim_start_matches(|c: char| c.is_ascii_digit());
        return if area.starts_with("boot") {
            Some("an eMMC boot area")
        } else if area.starts_with("rpmb") {
            Some("the replay-protected area of an eMMC")
        } else {
            None
        };
    }
    if kname.starts_with("mtd") || kname.starts_with("ubiblock") {
        return Some("a flash chip");
    }
    if !kname.starts_with("sd") {
        return None;
    }
    // JESD220: the logical unit descriptor says which boot logical unit (A, B) this is, 0 for none.
    let boot_lun = own.attribute("device/unit_descriptor/boot_lun_id")?;
    let number = u8::from_str_radix(boot_lun.trim_start_matches("0x"), 16).ok()?;
    (number != 0).then_some("a UFS boot area")
}

/// Persistent memory without a module behind it: RAM in which the firmware left an image (HTTP boot), or that the kernel
/// was told to take for persistent.
fn is_volatile(machine: &Machine, place: &Path) -> bool {
    let region = place.ancestors().find(|directory| {
        let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.strip_prefix("region").is_some_and(|number| number.parse::<u32>().is_ok())
    });
    region.is_some_and(|region| machine.number::<u32>(region.join("mappings")) == Some(0))
}
