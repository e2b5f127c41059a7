//! The arrays that exist, as sysfs and their superblocks tell.

use ferric_hardware::block::EligibleDevice;
use serde_json::Value;

use super::mdadm;
use crate::StepError;
use crate::clean::member::is_member;
use crate::step::Step;

/// One assembled array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Array {
    /// `/dev/md0`.
    pub(crate) device: String,
    /// The volume name out of its superblock, without the host.
    pub(crate) volume: Option<String>,
    /// Kernel names of its members, `sda1`.
    pub(crate) members: Vec<String>,
    /// Kernel names of the disks its members are on.
    pub(crate) holders: Vec<String>,
    /// Whether it runs: one that lacks too many members has no content to be read or written.
    pub(crate) is_active: bool,
}

/// What is to be done with an array when arrays are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing.
    Keep,
    /// Its content goes, the array stays: it shares disks with one that is kept.
    Wipe,
    /// It goes.
    Delete,
}

/// Every assembled array that the device policy admits.
///
/// An array whose name cannot be learnt could be a protected one: then this fails, and nothing is touched.
pub(crate) fn list(step: &Step) -> Result<Vec<Array>, StepError> {
    let mut arrays = Vec::new();
    for name in step.site.machine.names("/sys/block") {
        if !step.site.machine.exists(format!("/sys/block/{name}/md")) {
            continue;
        }
        let array = read(step, &name);
        // An array without members is what a partition on an array, or a stopped one, looks like.
        if !array.members.is_empty() && is_admitted(step, &array) {
            let volume = volume_of(step, &array)?;
            arrays.push(Array { volume, ..array });
        }
    }
    Ok(arrays)
}

fn read(step: &Step, name: &str) -> Array {
    let members = step.site.machine.names(format!("/sys/block/{name}/slaves"));
    let mut holders: Vec<String> = members.iter().map(|member| disk_of(step, member)).collect();
    holders.sort();
    holders.dedup();
    let device = format!("/dev/{name}");
    let state = step.site.machine.read(format!("/sys/block/{name}/md/array_state"));
    let is_active = !matches!(state.as_deref(), Some("inactive" | "clear"));
    Array { device, volume: None, members, holders, is_active }
}

/// The name of an array: as the kernel's driver tells it, or, when it does not run, one of its members.
fn volume_of(step: &Step, array: &Array) -> Result<Option<String>, StepError> {
    let told = volume(step, "--detail", &array.device);
    if array.is_active || matches!(told, Ok(Some(_))) {
        return told;
    }
    let mut told = told;
    for member in &array.members {
        match volume(step, "--examine", &format!("/dev/{member}")) {
            Ok(Some(volume)) => return Ok(Some(volume)),
            Ok(None) => told = Ok(None),
            Err(error) => tracing::warn!(member, error = error.chain(), "it does not tell the name of its array"),
        }
    }
    told
}

/// The volume name of an array (`--detail`), or of the array that a device is a member of (`--examine`).
fn volume(step: &Step, how: &str, device: &str) -> Result<Option<String>, StepError> {
    let details = mdadm::run(step, &[how, "--export", device])?;
    let full_name = details.lines().find_map(|line| line.strip_prefix("MD_NAME="));
    Ok(full_name.map(|name| name.rsplit_once(':').map_or(name, |(_, volume)| volume).to_string()))
}

/// With an allowlist only arrays that lie on allowed disks alone exist.
fn is_admitted(step: &Step, array: &Array) -> bool {
    step.site.options.allowed_devices.as_ref().is_none_or(|allowed| {
        array
            .holders
            .iter()
            .all(|holder| allowed.iter().any(|path| path.as_os_str() == format!("/dev/{holder}").as_str()))
    })
}

/// The disk of a partition; any other device is its own.
fn disk_of(step: &Step, name: &str) -> String {
    if !step.site.machine.exists(format!("/sys/class/block/{name}/partition")) {
        return name.to_string();
    }
    let path = step.site.machine.path(format!("/sys/class/block/{name}")).canonicalize().ok();
    let parent = path.as_deref().and_then(|path| path.parent()?.file_name()?.to_str());
    parent.unwrap_or(name).to_string()
}

/// The volume names that `skip_block_devices` protects.
pub(super) fn protected_volumes(node: &Value) -> Vec<String> {
    let entries = node["properties"]["skip_block_devices"].as_array();
    entries.into_iter().flatten().filter_map(|entry| entry["volume_name"].as_str().map(str::to_string)).collect()
}

/// Whether the disk or a partition of it belongs to a protected array that nobody assembled; or to one whose name cannot
/// be learnt, which could be one.
pub(super) fn holds_protected_member(step: &Step, disk: &EligibleDevice, protected: &[String]) -> bool {
    std::iter::once(disk).chain(disk.partitions()).any(|device| {
        matches!(is_member(&step.site.machine, device), Ok(true))
            && match volume(step, "--examine", &device.name) {
                Ok(volume) => volume.is_some_and(|volume| protected.contains(&volume)),
                Err(error) => {
                    tracing::warn!(
                        device = device.name,
                        error = error.chain(),
                        "left alone: its array has no known name"
                    );
                    true
                }
            }
    })
}

/// What is to become of each array.
pub(super) fn fates(arrays: &[Array], protected: &[String]) -> Vec<Fate> {
    let is_kept = |array: &Array| array.volume.as_ref().is_some_and(|volume| protected.contains(volume));
    let kept_disks: Vec<&String> =
        arrays.iter().filter(|array| is_kept(array)).flat_map(|array| &array.holders).collect();
    let fate = |array: &Array| match array.holders.iter().any(|holder| kept_disks.contains(&holder)) {
        _ if is_kept(array) => Fate::Keep,
        // The copies of the EFI system partition serve the volumes that stay.
        true if array.volume.as_deref() == Some("esp") => Fate::Keep,
        true => Fate::Wipe,
        false => Fate::Delete,
    };
    arrays.iter().map(fate).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::Fake;

    fn array(volume: &str, holders: &[&str]) -> Array {
        let holders = holders.iter().map(ToString::to_string).collect();
        let device = format!("/dev/{volume}");
        Array { device, volume: Some(volume.to_string()), members: Vec::new(), holders, is_active: true }
    }

    #[test]
    fn a_protected_volume_saves_what_shares_its_disks() {
        let arrays = [
            array("root", &["sda", "sdb"]),
            array("data", &["sda", "sdb"]),
            array("esp", &["sda", "sdb"]),
            array("scratch", &["sdc", "sdd"]),
        ];
        let node = json!({"properties": {"skip_block_devices": [{"volume_name": "data"}, {"name": "/dev/sdz"}]}});
        let fates = fates(&arrays, &protected_volumes(&node));
        assert_eq!(fates, [Fate::Wipe, Fate::Keep, Fate::Keep, Fate::Delete]);
    }

    #[test]
    fn without_protection_all_go() {
        let arrays = [array("root", &["sda"]), array("esp", &["sda"])];
        assert_eq!(fates(&arrays, &protected_volumes(&Value::Null)), [Fate::Delete, Fate::Delete]);
    }

    #[test]
    fn an_array_that_does_not_run_is_known_by_its_members() {
        let machine = Fake::new();
        machine.arrays_on_shared_disks();
        machine.file("sys/devices/md0/md/array_state", "inactive");
        machine.file("sys/devices/md1/md/array_state", "clean");
        machine
            .program("mdadm", "case \"$1 $3\" in '--detail /dev/md0') exit 1;; *) echo MD_NAME=host:${3#/dev/};; esac");
        let known: Vec<_> =
            list(&machine.step()).unwrap().into_iter().map(|array| (array.volume.unwrap(), array.is_active)).collect();
        assert_eq!(known, [("sda1".to_string(), false), ("md1".to_string(), true), ("md2".to_string(), true)]);
        // A running one that does not tell its name could be a protected one.
        machine.program("mdadm", "exit 1");
        assert!(list(&machine.step()).is_err());
    }
}
