//! What a machine is made of: the content of a `--machine` file (JSON).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use uuid::Uuid;

/// One machine behind the BMC.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The system's UUID, also its id in URLs.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// MAC addresses, the boot NIC first.
    #[serde(default)]
    pub macs: Vec<String>,
    /// How long switching on and off takes, in milliseconds.
    #[serde(default)]
    pub transition_ms: u64,
    /// What is switched on.
    #[serde(flatten)]
    pub kind: Kind,
}

/// The two kinds of machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A local program that stands for the ramdisk.
    Process(ProcessMachine),
    /// A QEMU machine with UEFI firmware.
    Qemu(QemuMachine),
}

/// A program that runs while the machine is on and was booted from anything but its disk.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessMachine {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Additional environment.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Where its output goes (appended).
    pub log: PathBuf,
}

/// A QEMU machine (x86-64, q35, OVMF).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QemuMachine {
    /// Folder for firmware variables, sockets and downloaded media; made when missing.
    pub state_dir: PathBuf,
    /// Memory in MiB.
    #[serde(default = "default_memory_mib")]
    pub memory_mib: u32,
    /// Disks in order.
    #[serde(default)]
    pub disks: Vec<Disk>,
    /// QEMU `-netdev` of the boot NIC, without its `id`: `tap,ifname=tap0,script=no,downscript=no` or `user`.
    #[serde(default = "default_network")]
    pub network: String,
    /// Where the serial console goes.
    pub console: PathBuf,
    /// Words put before `qemu-system-x86_64`, such as `ip netns exec NAME`.
    #[serde(default)]
    pub wrapper: Vec<String>,
    /// Further QEMU arguments.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Firmware code; Debian's `ovmf` by default.
    #[serde(default = "default_firmware")]
    pub firmware: PathBuf,
    /// Fresh firmware variables, copied at the first start.
    #[serde(default = "default_variables")]
    pub variables: PathBuf,
}

/// A disk of a QEMU machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Raw image file.
    pub file: PathBuf,
    /// Its size in GiB: a file that is missing is made, blank, at the first start.
    #[serde(default)]
    pub size_gib: Option<u64>,
    /// The controller it is on.
    #[serde(default)]
    pub bus: Bus,
    /// Serial number.
    #[serde(default)]
    pub serial: Option<String>,
}

impl Disk {
    /// Makes the file if it is missing and its size is known.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn make(&self) -> std::io::Result<()> {
        match self.size_gib {
            Some(gib) if !self.file.exists() => std::fs::File::create_new(&self.file)?.set_len(gib << 30),
            _ => Ok(()),
        }
    }
}

/// Disk controllers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bus {
    /// virtio-blk.
    #[default]
    Virtio,
    /// NVMe.
    Nvme,
    /// virtio-scsi disk.
    Scsi,
    /// AHCI.
    Ata,
}

fn default_memory_mib() -> u32 {
    1024
}

fn default_network() -> String {
    "user".into()
}

fn default_firmware() -> PathBuf {
    "/usr/share/OVMF/OVMF_CODE_4M.fd".into()
}

fn default_variables() -> PathBuf {
    "/usr/share/OVMF/OVMF_VARS_4M.fd".into()
}

/// Why a machine file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// The file cannot be read.
    #[error("machine file {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no machine definition.
    #[error("machine file {} is not a machine definition", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

impl Definition {
    /// Reads a machine file.
    ///
    /// # Errors
    /// When it cannot be read or does not describe a machine.
    pub fn load(path: &Path) -> Result<Self, DefinitionError> {
        let text = std::fs::read(path).map_err(|source| DefinitionError::Read { path: path.into(), source })?;
        serde_json::from_slice(&text).map_err(|source| DefinitionError::Parse { path: path.into(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qemu_machine_needs_little() {
        let text = r#"{"uuid": "27946b59-9e44-4fa7-8e91-f3527a1ef094", "name": "node-0",
            "qemu": {"state_dir": "/run/x", "console": "/run/x/console", "disks": [{"file": "/run/x/disk", "bus": "nvme"}]}}"#;
        let machine: Definition = serde_json::from_str(text).unwrap();
        let Kind::Qemu(qemu) = machine.kind else { panic!("not a QEMU machine") };
        assert_eq!(qemu.memory_mib, 1024);
        assert_eq!(qemu.disks[0].bus, Bus::Nvme);
    }
}
