//! Settings of burn-in: keys of the node's `driver_info` that start with `agent_burnin_`. What goes to a program as it
//! is stays text here: percent signs and units are understood there.

use serde_json::Value;

use crate::loose;

/// How a machine is worn in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BurnIn {
    /// Of the processors.
    pub cpu: CpuLoad,
    /// Of the memory.
    pub memory: MemoryLoad,
    /// Of the disks.
    pub disk: DiskLoad,
    /// Of the network.
    pub network: NetworkLoad,
    /// Of the graphics processors.
    pub gpu: GpuLoad,
}

/// Load of the processors, by stress-ng.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuLoad {
    /// Number of workers, 0 for one per processor (`cpu_cpu`).
    pub workers: String,
    /// In seconds (`cpu_timeout`).
    pub timeout: String,
    /// Where the log goes (`cpu_outputfile`).
    pub output_file: Option<String>,
}

/// Load of the memory, by stress-ng.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryLoad {
    /// Number of workers, 0 for one per processor (`vm_vm`).
    pub workers: String,
    /// How much, with a unit or in percent (`vm_vm-bytes`).
    pub bytes: String,
    /// In seconds (`vm_timeout`).
    pub timeout: String,
    /// Where the log goes (`vm_outputfile`).
    pub output_file: Option<String>,
}

/// Load of the disks, by fio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskLoad {
    /// How often (`fio_disk_loops`).
    pub loops: String,
    /// In seconds, 0 for until it is done (`fio_disk_runtime`).
    pub runtime: String,
    /// Where the report goes (`fio_disk_outputfile`).
    pub output_file: Option<String>,
    /// Have the disks test themselves too (`fio_disk_smart_test`).
    pub smart_test: bool,
}

/// Load of the network, by fio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkLoad {
    /// In seconds (`fio_network_runtime`).
    pub runtime: String,
    /// Where the reports go (`fio_network_outputfile`).
    pub output_file: Option<String>,
    /// Role and partner, as an object or its text (`fio_network_config`).
    pub config: Value,
    /// Where partners find each other (`fio_network_pairing_backend_url`).
    pub pairing_backend_url: Option<String>,
}

/// Load of the graphics processors, by gpu_burn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuLoad {
    /// Where gpu_burn is (`gpu_install_dir`).
    pub directory: String,
    /// How many there must be; 0 for any number (`gpu_count`).
    pub count: u64,
    /// How much of their memory (`gpu_memory`).
    pub memory: String,
    /// In seconds (`gpu_timeout`).
    pub timeout: String,
}

impl BurnIn {
    /// What the node says, over the defaults.
    pub fn of(node: &Value) -> Self {
        let value = |key: &str| &node["driver_info"][format!("agent_burnin_{key}")];
        let given = |key: &str| match value(key) {
            Value::Number(number) => Some(number.to_string()),
            other => loose::text(other).map(str::to_string),
        };
        let text = |key: &str, default: &str| given(key).unwrap_or_else(|| default.to_string());
        Self {
            cpu: CpuLoad {
                workers: text("cpu_cpu", "0"),
                timeout: text("cpu_timeout", "86400"),
                output_file: given("cpu_outputfile"),
            },
            memory: MemoryLoad {
                workers: text("vm_vm", "0"),
                bytes: text("vm_vm-bytes", "98%"),
                timeout: text("vm_timeout", "86400"),
                output_file: given("vm_outputfile"),
            },
            disk: DiskLoad {
                loops: text("fio_disk_loops", "4"),
                runtime: text("fio_disk_runtime", "0"),
                output_file: given("fio_disk_outputfile"),
                smart_test: loose::flag(value("fio_disk_smart_test")).unwrap_or(false),
            },
            network: NetworkLoad {
                runtime: text("fio_network_runtime", "21600"),
                output_file: given("fio_network_outputfile"),
                config: value("fio_network_config").clone(),
                pairing_backend_url: given("fio_network_pairing_backend_url"),
            },
            gpu: GpuLoad {
                directory: text("gpu_install_dir", "/opt/gpu-burn"),
                count: loose::number(value("gpu_count")).unwrap_or(0),
                memory: text("gpu_memory", "95%"),
                timeout: text("gpu_timeout", "86400"),
            },
        }
    }
}
