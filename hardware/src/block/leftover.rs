//! What a former system left active: a ramdisk with LVM finds the volumes of the disks' last owner and holds them.

use std::io;
use std::time::Duration;

use super::busy::when_free;
use super::graph::{Graph, Node};
use super::listing::{DevicePolicy, Survey};
use crate::device_mapper;
use crate::machine::Machine;

/// How long a volume may be busy: udev looks into it when it appears.
const BUSY_LIMIT: Duration = Duration::from_secs(5);

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
    take_down_where(machine, policy, |_, _| true)
}

/// As [`take_down`], of those alone that are on the device called `device`.
pub fn take_down_on(machine: &Machine, policy: &DevicePolicy, device: &str) -> Vec<Leftover> {
    take_down_where(machine, policy, |graph, node| {
        let below = graph.nodes().iter().find(|below| below.path() == device);
        below.is_some_and(|below| graph.above(below).iter().any(|above| above.kname == node.kname))
    })
}

fn take_down_where(
    machine: &Machine,
    policy: &DevicePolicy,
    is_meant: impl Fn(&Graph, &Node) -> bool,
) -> Vec<Leftover> {
    let mut done: Vec<Leftover> = Vec::new();
    loop {
        let survey = Survey::take(machine, policy);
        let next = survey.graph.nodes().iter().find(|node| {
            node.is_made_anew()
                && survey.is_idle(node)
                && is_meant(&survey.graph, node)
                && done.iter().all(|leftover| leftover.device != node.path())
        });
        let Some(node) = next else { return done };
        let result = when_free(BUSY_LIMIT, || device_mapper::remove(machine, node.major, node.minor));
        done.push(Leftover { device: node.path(), result });
    }
}
