//! The processors.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::smbios::Smbios;

/// The processors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cpu {
    /// Model of the first one; empty when unknown.
    pub model_name: String,
    /// Highest frequency in MHz with four decimals, as text; empty when unknown.
    pub frequency: String,
    /// Logical processors.
    pub count: usize,
    /// As `uname -m`.
    pub architecture: String,
    /// Features of the first one.
    pub flags: Vec<String>,
    /// Sockets.
    pub socket_count: usize,
}

const CPUS: &str = "/sys/devices/system/cpu";

/// Reads `/proc/cpuinfo` and sysfs; the model of arm64 processors comes from SMBIOS.
pub fn read(machine: &Machine, smbios: &Smbios) -> Cpu {
    let info = machine.read("/proc/cpuinfo").unwrap_or_default();
    let field = |names: &[&str]| {
        let fields = info.lines().filter_map(|line| line.split_once(':'));
        let mut wanted = fields.filter(|(key, _)| names.contains(&key.trim()));
        wanted.next().map(|(_, value)| value.trim().to_string())
    };
    let present = machine.read(format!("{CPUS}/present")).map(|list| numbers(&list)).unwrap_or_default();
    let sockets: BTreeSet<String> = present
        .iter()
        .filter_map(|cpu| machine.read(format!("{CPUS}/cpu{cpu}/topology/physical_package_id")))
        .collect();
    let highest_khz: Option<u64> =
        present.iter().filter_map(|cpu| machine.number(format!("{CPUS}/cpu{cpu}/cpufreq/cpuinfo_max_freq"))).max();
    let model = field(&["model name"]);
    let by_firmware = || Some(smbios.of_kind(4).next()?.string(0x10)?.trim().to_string());
    Cpu {
        model_name: model.or_else(by_firmware).unwrap_or_default(),
        frequency: highest_khz.map(|khz| format!("{}.{:03}0", khz / 1000, khz % 1000)).unwrap_or_default(),
        count: if present.is_empty() {
            info.lines().filter(|l| l.starts_with("processor")).count()
        } else {
            present.len()
        },
        architecture: machine.read("/proc/sys/kernel/arch").unwrap_or_else(|| std::env::consts::ARCH.to_string()),
        flags: field(&["flags", "Features"]).unwrap_or_default().split_whitespace().map(str::to_string).collect(),
        socket_count: sockets.len().max(1),
    }
}

/// The numbers of a kernel list, `0-3,8`.
pub(crate) fn numbers(list: &str) -> Vec<usize> {
    let ranges = list.trim().split(',').filter_map(|part| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some(from.trim().parse::<usize>().ok()?..=to.trim().parse().ok()?)
    });
    ranges.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_lists_are_understood() {
        assert_eq!(numbers("0-2,8"), [0, 1, 2, 8]);
        assert_eq!(numbers("5"), [5]);
        assert!(numbers("").is_empty());
    }
}
