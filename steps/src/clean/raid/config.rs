//! What a valid software RAID configuration is. The texts are those that operators of Ironic know.

use std::collections::BTreeSet;

use serde_json::Value;

use super::arrays;
use crate::{ErrorKind, StepError, loose};

/// The levels of the second logical disk.
const SECOND_LEVELS: [&str; 5] = ["0", "1", "1+0", "5", "6"];
const PHYSICAL_DISKS: &str = "The physical_disks parameter for software RAID must be a list with at least 2 items";

/// One logical disk that is wanted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LogicalDisk {
    /// In GiB; nothing means all that is left.
    pub(super) size_gib: Option<u64>,
    /// As mdadm wants it: `1+0` is `10`.
    pub(super) level: String,
    pub(super) volume: Option<String>,
    /// Hints for the disks to use; nothing means all.
    pub(super) physical_disks: Option<Vec<Value>>,
    /// Whether it is to be installed to, where that is said.
    pub(super) is_root: Option<bool>,
}

/// The logical disks of a configuration that are software RAID. The one that takes the rest of the disks comes last.
pub(super) fn logical_disks(config: &Value) -> Vec<LogicalDisk> {
    let all = config["logical_disks"].as_array().into_iter().flatten();
    let mut disks: Vec<LogicalDisk> = all
        .filter(|disk| disk["controller"] == "software")
        .map(|disk| LogicalDisk {
            size_gib: loose::number(&disk["size_gb"]),
            level: level(disk).replace('+', ""),
            volume: disk["volume_name"].as_str().map(str::to_string),
            physical_disks: disk["physical_disks"].as_array().cloned(),
            is_root: disk["is_root_volume"].as_bool(),
        })
        .collect();
    disks.sort_by_key(|disk| disk.size_gib.is_none());
    disks
}

/// Checks a configuration for software RAID. An empty one is valid: there is nothing to do.
///
/// # Errors
/// [`ErrorKind::SoftwareRaid`] with everything that is wrong.
pub(super) fn validate(config: &Value, node: &Value, device_count: usize) -> Result<(), StepError> {
    if config.as_object().is_none_or(serde_json::Map::is_empty) {
        return Ok(());
    }
    let disks = config["logical_disks"].as_array().map(Vec::as_slice).unwrap_or_default();
    if disks.is_empty() {
        return Err(ErrorKind::SoftwareRaid.error("RAID config contains no logical disks".to_string()));
    }
    let mut problems = Vec::new();
    if disks.len() > 2 {
        problems.push("Software RAID configuration requires one or two logical disks".to_string());
    }
    let names_needed = !arrays::protected_volumes(node).is_empty();
    let (mut names, mut has_root) = (BTreeSet::new(), false);
    for disk in disks {
        if disk["controller"] != "software" {
            problems.push(
                "Software RAID configuration requires all logical disks to have 'controller'='software'".to_string(),
            );
        }
        volume_problems(disk, names_needed, &mut names, &mut problems);
        if disk["is_root_volume"] == true && std::mem::replace(&mut has_root, true) {
            problems.push(
                "Software RAID configuration allows only one logical disk to be marked as is_root_volume".to_string(),
            );
        }
        physical_disk_problems(disk, &mut problems);
        size_problems(disk, &mut problems);
    }
    level_problems(disks, device_count, &mut problems);
    if problems.is_empty() {
        return Ok(());
    }
    let uuid = node["uuid"].as_str().unwrap_or("this node");
    Err(ErrorKind::SoftwareRaid
        .error(format!("Could not validate Software RAID config for {uuid}: {}", problems.join("; "))))
}

fn volume_problems<'a>(disk: &'a Value, needed: bool, names: &mut BTreeSet<&'a str>, problems: &mut Vec<String>) {
    match disk["volume_name"].as_str() {
        None if needed => problems.push(
            "All logical disks are required to have a volume name specified as a volume name is mentioned in the \
             property skip block devices."
                .to_string(),
        ),
        Some(name) if !names.insert(name) => {
            problems.push(format!("Duplicate software RAID device name {name} detected"));
        }
        _ => {}
    }
}

fn physical_disk_problems(disk: &Value, problems: &mut Vec<String>) {
    // The Python agent goes through the characters of a text and the keys of an object.
    let (is_list, has_others) = match &disk["physical_disks"] {
        Value::Null => return,
        Value::Array(items) => (items.len() >= 2, items.iter().any(|item| !item.is_object())),
        Value::String(text) => (false, !text.is_empty()),
        Value::Object(object) => (false, !object.is_empty()),
        _ => (false, false),
    };
    if !is_list {
        problems.push(format!("{PHYSICAL_DISKS}, each specifying a disk in the device hints format"));
    }
    if has_others {
        problems.push(
            "The physical_disks parameter for software RAID must be a list of device hints (dictionaries)".to_string(),
        );
    }
}

/// A size that nobody understands would otherwise be the rest of the disks.
fn size_problems(disk: &Value, problems: &mut Vec<String>) {
    let size = &disk["size_gb"];
    if size != "MAX" && loose::number(size).is_none_or(|gib| gib == 0) {
        problems
            .push(format!("Software RAID configuration requires size_gb to be a number of GiB or 'MAX', not {size}"));
    }
}

fn level_problems(disks: &[Value], device_count: usize, problems: &mut Vec<String>) {
    if level(&disks[0]) != "1" {
        problems.push("Software RAID Configuration requires RAID-1 for the first logical disk".to_string());
    }
    let [_, second] = disks else { return };
    if disks.iter().all(|disk| disk["size_gb"] == "MAX") {
        problems.push("Software RAID can have only one RAID device with size 'MAX'".to_string());
    }
    let level = level(second);
    if !SECOND_LEVELS.contains(&level.as_str()) {
        problems.push(format!("Software RAID configuration does not support RAID level {level}"));
    }
    let least = match level.as_str() {
        "5" => 3,
        "6" => 4,
        _ => 0,
    };
    if device_count < least {
        problems.push(format!(
            "Software RAID configuration is not possible for RAID level {level} with only {device_count} block \
             devices found."
        ));
    }
}

/// The level as text, given as text or as a number.
fn level(disk: &Value) -> String {
    disk["raid_level"].as_str().map_or_else(|| disk["raid_level"].to_string(), str::to_string)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problem(config: Value) -> String {
        validate(&config, &json!({"uuid": "n"}), 2).unwrap_err().to_string()
    }

    fn disk(level: &str, size: Value) -> Value {
        json!({"raid_level": level, "size_gb": size, "controller": "software"})
    }

    #[test]
    fn valid_configurations_pass_and_empty_ones_need_nothing() {
        for config in [
            Value::Null,
            json!({}),
            json!({"logical_disks": [disk("1", json!("MAX"))]}),
            json!({"logical_disks": [disk("1", json!(10)), disk("1+0", json!("MAX"))]}),
        ] {
            validate(&config, &Value::Null, 2).unwrap();
        }
    }

    #[test]
    fn each_rule_has_its_words() {
        let two = |first, second| json!({"logical_disks": [first, second]});
        let max = || json!("MAX");
        let hints = |hints: Value| {
            json!({"logical_disks": [
            {"raid_level": "1", "size_gb": 1, "controller": "software", "physical_disks": hints}]})
        };
        for (config, words) in [
            (json!({"logical_disks": []}), "contains no logical disks"),
            (json!({"logical_disks": [disk("0", max())]}), "requires RAID-1 for the first"),
            (two(disk("1", max()), disk("0", max())), "only one RAID device with size 'MAX'"),
            (two(disk("1", json!(1)), disk("50", max())), "does not support RAID level 50"),
            (two(disk("1", json!(1)), disk("5", max())), "RAID level 5 with only 2 block devices found."),
            (json!({"logical_disks": [{"raid_level": "1", "size_gb": 1}]}), "'controller'='software'"),
            (hints(json!([{"name": "/dev/sda"}])), "at least 2 items"),
            (hints(json!({"name": "/dev/sda"})), "at least 2 items"),
            (json!({"logical_disks": [disk("1", json!(1)), disk("1", json!(1)), disk("1", json!(1))]}), "one or two"),
            (
                json!({"logical_disks": [disk("1", json!("all"))]}),
                "size_gb to be a number of GiB or 'MAX', not \"all\"",
            ),
            (json!({"logical_disks": [disk("1", json!(0))]}), "size_gb to be"),
            (two(disk("1", json!(1)), disk("6", max())), "RAID level 6 with only 2 block devices found."),
            (hints(json!(["/dev/sda", "/dev/sdb"])), "(dictionaries)"),
        ] {
            let text = problem(config);
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn the_disk_that_takes_the_rest_is_made_last() {
        let disks = logical_disks(&json!({"logical_disks": [disk("1", json!("MAX")), disk("1+0", json!(5))]}));
        assert_eq!(disks.iter().map(|disk| disk.size_gib).collect::<Vec<_>>(), [Some(5), None]);
        assert_eq!(disks[0].level, "10");
    }
}
