//! Partitions, arrays, file systems and encrypted volumes.

use serde_json::Value;

use super::nodes::check_path;
use super::resource;
use super::{Findings, elements, filled};

pub(super) fn check(storage: &Value, minor: u32, findings: &mut Findings) {
    for (list, key) in [("disks", "device"), ("filesystems", "device"), ("raid", "name"), ("luks", "name")] {
        if list != "luks" || minor >= 2 {
            findings.unique(elements(storage, "storage", list).map(|(place, entry)| (place, entry[key].as_str())));
        }
    }
    for (place, disk) in elements(storage, "storage", "disks") {
        path(disk, &place, "device", findings);
        partitions(disk, &place, findings);
    }
    for (place, array) in elements(storage, "storage", "raid") {
        raid(array, &place, findings);
    }
    for (place, filesystem) in elements(storage, "storage", "filesystems") {
        file_system(filesystem, &place, minor, findings);
        overwritten(filesystem, &place, storage, findings);
    }
    if minor >= 2 {
        for (place, volume) in elements(storage, "storage", "luks") {
            luks(volume, &place, minor, findings);
        }
    }
}

fn path(entry: &Value, place: &str, name: &str, findings: &mut Findings) {
    if let Err(text) = check_path(entry[name].as_str().unwrap_or_default()) {
        findings.error(format!("{place}.{name}"), text);
    }
}

fn partitions(disk: &Value, place: &str, findings: &mut Findings) {
    let all: Vec<(String, &Value)> = elements(disk, place, "partitions").collect();
    let numbers: Vec<String> = all.iter().map(|(_, partition)| number(partition).to_string()).collect();
    let numbered = all.iter().zip(&numbers).filter(|(_, number)| *number != "0");
    findings.unique(numbered.map(|((place, _), number)| (place.clone(), Some(number.as_str()))));
    let labelled = all.iter().filter(|(_, partition)| partition["label"].is_string());
    findings.unique(labelled.map(|(place, partition)| (format!("{place}.label"), partition["label"].as_str())));
    for (index, (place, partition)) in all.iter().enumerate() {
        if all.iter().enumerate().any(|(other, (_, partition_of))| other != index && overlap(partition, partition_of)) {
            findings.error(place, "overlaps another partition");
        }
        check_partition(partition, place, findings);
    }
}

fn number(partition: &Value) -> i64 {
    partition["number"].as_i64().unwrap_or(0)
}

/// First and last MiB; none for what is placed where there is room.
fn range(partition: &Value) -> Option<(i64, i64)> {
    let (start, size) = (partition["startMiB"].as_i64()?, partition["sizeMiB"].as_i64()?);
    // Size 0 is all the room there is.
    (start != 0).then(|| (start, if size == 0 { start } else { start.saturating_add(size - 1) }))
}

fn overlap(one: &Value, other: &Value) -> bool {
    match (range(one), range(other)) {
        (Some((start, end)), Some((other_start, other_end))) => start <= other_end && other_start <= end,
        _ => false,
    }
}

fn check_partition(partition: &Value, place: &str, findings: &mut Findings) {
    let said = ["label", "startMiB", "sizeMiB"].iter().any(|name| !partition[name].is_null());
    let has_extras = said || ["typeGuid", "guid"].iter().any(|name| filled(&partition[name]).is_some());
    if partition["shouldExist"] == false && has_extras {
        findings.error(place, "shouldExist is false, but more is said about it");
    }
    if number(partition) == 0 && partition["label"].is_null() {
        findings.error(place, "has neither a number above 0 nor a label");
    }
    if let Some(label) = partition["label"].as_str() {
        if label.len() > 36 {
            findings.error(format!("{place}.label"), "is longer than 36 characters");
        } else if label.contains(':') {
            findings.error(format!("{place}.label"), "has a colon in it");
        }
    }
    for name in ["typeGuid", "guid"] {
        if partition[name].as_str().is_some_and(|guid| !is_guid(guid)) {
            findings.error(format!("{place}.{name}"), "is not of the form 01234567-89AB-CDEF-EDCB-A98765432101");
        }
    }
}

fn is_guid(guid: &str) -> bool {
    let digits = guid.split('-').all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()));
    guid.is_empty() || (digits && guid.split('-').map(str::len).eq([8, 4, 4, 4, 12]))
}

fn raid(array: &Value, place: &str, findings: &mut Findings) {
    let level = format!("{place}.level");
    match filled(&array["level"]) {
        None => findings.error(level, "is missing"),
        Some("linear" | "raid0" | "0" | "stripe") => {
            if array["spares"].as_i64().is_some_and(|spares| spares != 0) {
                findings.error(level, "has no use for spares");
            }
        }
        Some("raid1" | "1" | "mirror" | "raid4" | "4" | "raid5" | "5" | "raid6" | "6" | "raid10" | "10") => {}
        Some(other) => findings.error(level, format!("{other:?} is not known")),
    }
    let devices = || elements(array, place, "devices");
    if devices().next().is_none() {
        findings.error(format!("{place}.devices"), "are missing");
    }
    findings.unique(devices().map(|(place, device)| (place, device.as_str())));
    for (place, device) in devices() {
        if let Err(text) = check_path(device.as_str().unwrap_or_default()) {
            findings.error(place, text);
        }
    }
}

fn file_system(filesystem: &Value, place: &str, minor: u32, findings: &mut Findings) {
    if let Some(Err(text)) = filled(&filesystem["path"]).map(check_path) {
        findings.error(format!("{place}.path"), text);
    }
    path(filesystem, place, "device", findings);
    let Some(format) = filled(&filesystem["format"]) else {
        let texts = ["path", "label", "uuid"].iter().any(|name| filled(&filesystem[name]).is_some());
        let lists = |name: &str| elements(filesystem, place, name).next().is_some();
        if texts || filesystem["wipeFilesystem"] == true || lists("options") || (minor >= 1 && lists("mountOptions")) {
            findings.error(format!("{place}.format"), "is missing");
        }
        return;
    };
    let longest_label = match format {
        "ext4" => 16,
        "btrfs" => 256,
        "xfs" => 12,
        "swap" => 15,
        "vfat" => 11,
        "none" if minor >= 3 => usize::MAX,
        other => return findings.error(format!("{place}.format"), format!("{other:?} is not known")),
    };
    if filesystem["label"].as_str().is_some_and(|label| label.len() > longest_label) {
        findings.error(
            format!("{place}.label"),
            format!("is longer than {longest_label} characters, the most for {format}"),
        );
    }
}

fn overwritten(filesystem: &Value, place: &str, storage: &Value, findings: &mut Findings) {
    let mut disks = elements(storage, "storage", "disks").map(|(_, disk)| disk);
    let Some(disk) = disks.find(|disk| disk["device"] == filesystem["device"]) else { return };
    if elements(disk, "", "partitions").next().is_some() {
        findings.warn(format!("{place}.device"), "the file system overwrites the partitions of this disk");
    } else if filesystem["wipeFilesystem"] != true && disk["wipeTable"] == true {
        findings.warn(format!("{place}.device"), "is a disk with wipeTable: the file system is wiped");
    }
}

fn luks(volume: &Value, place: &str, minor: u32, findings: &mut Findings) {
    if volume["name"].as_str().unwrap_or_default().contains('/') {
        findings.error(format!("{place}.name"), "has a '/' in it");
    }
    if volume["label"].as_str().is_some_and(|label| label.len() > 47) {
        findings.error(format!("{place}.label"), "is longer than 47 characters");
    }
    path(volume, place, "device", findings);
    resource::check(&volume["keyFile"], &format!("{place}.keyFile"), minor, findings);
    let clevis = &volume["clevis"];
    clevis_pins(clevis, &format!("{place}.clevis"), minor, findings);
    if minor >= 5 && volume["cex"]["enabled"] == true {
        if has_pins(clevis) || filled(&clevis["custom"]["pin"]).is_some() {
            findings.error(format!("{place}.cex"), "cannot be together with clevis");
        }
        if filled(&volume["keyFile"]["source"]).is_some() {
            findings.error(format!("{place}.cex"), "cannot be together with keyFile");
        }
    }
}

/// Pins other than a custom one.
fn has_pins(clevis: &Value) -> bool {
    let has_tang = elements(clevis, "", "tang").next().is_some();
    has_tang || clevis["tpm2"] == true || clevis["threshold"].as_i64().is_some_and(|threshold| threshold != 0)
}

fn clevis_pins(clevis: &Value, place: &str, minor: u32, findings: &mut Findings) {
    let custom = &clevis["custom"];
    let pin = filled(&custom["pin"]);
    // The first version with encrypted volumes goes by whether there is a custom section at all.
    let is_custom = if minor == 2 { custom.is_object() } else { pin.is_some() };
    if is_custom && has_pins(clevis) {
        findings.error(place, "has a custom pin and others");
    }
    if pin.is_some() || filled(&custom["config"]).is_some() || (minor > 2 && custom["needsNetwork"] == true) {
        match pin {
            None => findings.error(format!("{place}.custom.pin"), "is missing"),
            Some("tpm2" | "tang" | "sss") => {}
            Some(other) if minor < 6 => {
                findings.error(format!("{place}.custom.pin"), format!("{other:?} is not known"))
            }
            Some(_) => {}
        }
        if filled(&custom["config"]).is_none() {
            findings.error(format!("{place}.custom.config"), "is missing");
        }
    }
    let servers = || elements(clevis, place, "tang");
    findings.unique(servers().map(|(place, server)| (place, server["url"].as_str())));
    for (place, server) in servers() {
        let scheme = server["url"].as_str().and_then(resource::scheme);
        if !matches!(scheme.as_deref(), Some("http" | "https")) {
            findings.error(format!("{place}.url"), "is not an http or https URL");
        }
        if filled(&server["thumbprint"]).is_none() {
            findings.error(format!("{place}.thumbprint"), "is missing");
        }
        let advertisement = filled(&server["advertisement"]).filter(|_| minor >= 4);
        if advertisement.is_some_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_err()) {
            findings.error(format!("{place}.advertisement"), "is not JSON");
        }
    }
}
