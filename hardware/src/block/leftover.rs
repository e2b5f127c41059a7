//! What a former system left active: a ramdisk with LVM finds the volumes of the disks' last owner and holds them.

use std::io;
use std::time::Duration;

use super::busy::when_free;
use super::graph::Node;
use super::kind::Kind;
use super::listing::{DevicePolicy, Survey};
use crate::device_mapper;
use crate::machine::Machine;

/// How long a volume may be busy: udev looks into it when it appears.
const BUSY_LIMIT: Duration = Duration::from_secs(5);
/// The mappings that are made anew from what is on the disk, by the device mapper's own word for them.
const TAKEN_DOWN: [&str; 2] = ["lvm", "crypt"];

/// A volume that was to be taken down.
#[derive(Debug)]
pub struct Leftover {
    /// Kernel device path, `/dev/dm-0`.
    pub device: String,
    /// What came of it.
    pub result: io::Result<()>,
}

/// Takes down the logical volumes, encrypted mappings and mapped partitions that nobody uses, the topmost first, so that
/// the disks below them are free. Nothing on a disk changes. Those that are mounted, swapped on, on a skipped disk or on
/// one that is not allowed stay.
pub fn take_down(machine: &Machine, policy: &DevicePolicy) -> Vec<Leftover> {
    let mut done: Vec<Leftover> = Vec::new();
    loop {
        let survey = Survey::take(machine, policy);
        let next = survey.graph.nodes().iter().find(|node| {
            is_made_anew(node) && survey.is_idle(node) && done.iter().all(|leftover| leftover.device != node.path())
        });
        let Some(node) = next else { return done };
        let result = when_free(BUSY_LIMIT, || device_mapper::remove(machine, node.major, node.minor));
        done.push(Leftover { device: node.path(), result });
    }
}

fn is_made_anew(node: &Node) -> bool {
    match &node.kind {
        Kind::Mapper(kind) => TAKEN_DOWN.contains(&kind.as_str()),
        // Partitions of a multipath disk or of firmware RAID hold the disk; those of other disks are no mappings.
        Kind::Partition(_) => node.kname.starts_with("dm-"),
        _ => false,
    }
}
