//! Volumes that are made anew from what is on a disk, and that somebody asks for by name.

use super::eligible::EligibleDevice;
use super::graph::{Graph, Node};
use super::kind::Kind;
use super::listing::{DevicePolicy, Survey};
use crate::machine::Machine;

/// The logical volumes and encrypted mappings that nobody uses and that rest on nothing but `devices` (as of
/// [`list_beneath_leftovers`](super::list_beneath_leftovers)), by device number.
pub fn volumes_on(machine: &Machine, policy: &DevicePolicy, devices: &[EligibleDevice]) -> Vec<EligibleDevice> {
    let survey = Survey::take(machine, policy);
    let nodes = survey.graph.nodes().iter();
    let volumes = nodes.filter(|node| {
        matches!(node.kind, Kind::Mapper(_))
            && node.is_made_anew()
            && survey.is_idle(node)
            && rests_on(&survey.graph, node, devices)
    });
    volumes.map(|node| survey.eligible(node)).collect()
}

/// Whether every way down from `node` meets one of `devices`. The kernel has no rings of devices.
fn rests_on(graph: &Graph, node: &Node, devices: &[EligibleDevice]) -> bool {
    if devices.iter().any(|device| device.name == node.path()) {
        return true;
    }
    let mut below = match &node.kind {
        Kind::Partition(of) => std::slice::from_ref(of).iter(),
        _ => node.slaves.iter(),
    }
    .peekable();
    below.peek().is_some() && below.all(|name| graph.get(name).is_some_and(|node| rests_on(graph, node, devices)))
}
