//! `numa-topology`.

use serde_json::{Value, json};

use crate::cpu::numbers;
use crate::machine::Machine;

const NODES: &str = "/sys/devices/system/node";
const NET: &str = "/sys/class/net";

/// Memory, processors and interfaces by NUMA node; nothing when the kernel knows no nodes or something is malformed.
pub(super) fn collect(machine: &Machine) -> Option<Value> {
    let nodes: Vec<u32> =
        machine.names(NODES).iter().filter_map(|name| name.strip_prefix("node")?.parse().ok()).collect();
    if nodes.is_empty() {
        return None;
    }
    let mut ram = Vec::new();
    let mut cpus = Vec::new();
    for node in nodes {
        ram.push(json!({"numa_node": node, "size_kb": memory_kib(machine, node)?}));
        cpus.extend(cores(machine, node)?);
    }
    let nics = machine.names(NET).into_iter().filter_map(|name| {
        let node: i64 = machine.number(format!("{NET}/{name}/device/numa_node"))?;
        Some(json!({"name": name, "numa_node": node}))
    });
    Some(json!({"ram": ram, "cpus": cpus, "nics": nics.collect::<Vec<_>>()}))
}

/// `Node 0 MemTotal:  984240 kB`.
fn memory_kib(machine: &Machine, node: u32) -> Option<u64> {
    let info = machine.read(format!("{NODES}/node{node}/meminfo"))?;
    let (_, amount) = info.lines().find(|line| line.contains("MemTotal"))?.split_once(':')?;
    amount.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// One entry per core of the node, with the numbers of its threads.
fn cores(machine: &Machine, node: u32) -> Option<Vec<Value>> {
    let mut cores: Vec<(i64, Vec<usize>)> = Vec::new();
    for thread in numbers(&machine.read(format!("{NODES}/node{node}/cpulist")).unwrap_or_default()) {
        let core = machine.number(format!("/sys/devices/system/cpu/cpu{thread}/topology/core_id"))?;
        match cores.iter_mut().find(|(known, _)| *known == core) {
            Some((_, threads)) => threads.push(thread),
            None => cores.push((core, vec![thread])),
        }
    }
    let entry = |(core, threads)| json!({"thread_siblings": threads, "cpu": core, "numa_node": node});
    Some(cores.into_iter().map(entry).collect())
}
