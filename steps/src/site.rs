//! Where work is done: the machine, the agent's options, the programs. Steps have one, and so has what is no step.

use std::sync::Arc;

use ferric_hardware::block::DevicePolicy;
use ferric_hardware::machine::Machine;
use ferric_hardware::tool::Tools;
use serde_json::Value;

use crate::options::Options;

/// The machine as the agent may use it.
#[derive(Debug, Clone)]
pub struct Site {
    /// The machine.
    pub machine: Machine,
    /// Options, after look-up.
    pub options: Arc<Options>,
    /// Where external programs are found.
    pub tools: Tools,
}

impl Site {
    /// A site whose programs are in the directories of `PATH`, or else in the host root.
    pub fn new(machine: Machine, options: impl Into<Arc<Options>>) -> Self {
        let options = options.into();
        Self { tools: Tools::of_environment(Some(&options.host_root)), machine, options }
    }

    /// True when an allowlist of devices makes this a local run: the machine itself (its power, links, clock and
    /// files) must then stay as it is.
    pub fn is_local_run(&self) -> bool {
        self.options.allowed_devices.is_some()
    }

    /// Which devices may be touched for this node: the local allowlist and the node's `skip_block_devices`.
    pub fn device_policy(&self, node: &Value) -> DevicePolicy {
        let mut skip = match &node["properties"]["skip_block_devices"] {
            Value::Null => Vec::new(),
            Value::Array(entries) => entries.clone(),
            // Not understood, which protects everything.
            other => vec![other.clone()],
        };
        // Entries with a volume name protect software RAID volumes, not disks.
        skip.retain(|entry| entry.get("volume_name").is_none());
        DevicePolicy { allowed: self.options.allowed_devices.clone(), skip }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_for_arrays_are_no_disk_hints_and_no_list_protects_everything() {
        let skip = |list: Value| {
            let site = Site::new(Machine::at("/nonexistent"), Options::default());
            site.device_policy(&json!({"properties": {"skip_block_devices": list}})).skip
        };
        assert_eq!(skip(Value::Null), [Value::Null; 0]);
        let disk = json!({"name": "/dev/sdb"});
        assert_eq!(skip(json!([{"volume_name": "root", "name": "/dev/sda"}, disk])), [disk]);
        assert_eq!(skip(json!("/dev/sdb")), ["/dev/sdb"]);
    }
}
