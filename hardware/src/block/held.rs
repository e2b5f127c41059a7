//! Disks that an array lies on. They cannot be had exclusively, and nothing of them may be overwritten; what the array
//! leaves free on them may be used.

use super::eligible::EligibleDevice;
use super::listing::{DevicePolicy, Survey};
use crate::machine::Machine;

/// How the version of a superblock begins that the firmware has defined.
const FIRMWARE: &str = "external:";

/// A disk with a member of an array that may be touched.
#[derive(Debug, Clone)]
pub struct HeldDisk(EligibleDevice);

impl HeldDisk {
    /// The disks that this array lies on, by device number; none when it is no array
    /// of the kernel's own.
    pub fn below(machine: &Machine, array: &EligibleDevice) -> Vec<Self> {
        // What may be touched was decided when the array was listed.
        let policy = DevicePolicy::default();
        let survey = Survey::take(machine, &policy);
        let Some(node) = survey.graph.nodes().iter().find(|node| node.path() == array.name) else { return Vec::new() };
        // Where the firmware keeps the superblock (Intel's RAID), it sees the array as a disk as well.
        let metadata = machine.read(format!("/sys/class/block/{}/md/metadata_version", node.kname));
        if !survey.graph.is_array(node) || metadata.is_some_and(|version| version.starts_with(FIRMWARE)) {
            return Vec::new();
        }
        let mut disks = survey.graph.foundations(node);
        disks.sort_by_key(|disk| (disk.major, disk.minor));
        disks.into_iter().map(|disk| Self(survey.eligible(disk))).collect()
    }

    /// Kernel device path, `/dev/sda`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn device(&self) -> &EligibleDevice {
        &self.0
    }
}
