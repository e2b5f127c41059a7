//! What a machine is made of: the content of a `--machine` file (YAML or JSON).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use uuid::Uuid;

use crate::settings_file::{self, SettingsError};

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
    /// How long an update of its firmware takes, in milliseconds.
    #[serde(default = "default_update_ms")]
    pub update_ms: u64,
    /// Its virtual drives.
    #[serde(default = "default_media")]
    pub media: Vec<Slot>,
    /// What is switched on.
    #[serde(flatten)]
    pub kind: Kind,
}

/// A virtual drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// A CD drive.
    Cd,
    /// A USB stick.
    Usb,
    /// A floppy disk, which the machine sees as a USB stick.
    Floppy,
}

/// The two kinds of machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A local program that stands for the ramdisk.
    Process(ProcessMachine),
    /// A QEMU machine.
    Qemu(QemuMachine),
}

/// A program that runs while the machine is on and was booted from anything but its disk. The variable `BOOT_URL` has what
/// firmware was told to fetch.
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

/// A QEMU machine: q35 with OVMF or SeaBIOS, or virt with AAVMF.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QemuMachine {
    /// Folder for firmware variables, sockets and downloaded media; made when missing.
    pub state_dir: PathBuf,
    /// The processor's.
    #[serde(default)]
    pub architecture: Architecture,
    /// Processor cores, until its settings are changed.
    #[serde(default = "default_cores")]
    pub cores: u32,
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
    /// UEFI firmware code; Debian's by default.
    #[serde(default)]
    pub firmware: Option<PathBuf>,
    /// Fresh UEFI variables, copied at the first start.
    #[serde(default)]
    pub variables: Option<PathBuf>,
    /// The code for Secure Boot.
    #[serde(default)]
    pub secure_firmware: Option<PathBuf>,
    /// The variables for Secure Boot, with keys in them.
    #[serde(default)]
    pub secure_variables: Option<PathBuf>,
}

impl QemuMachine {
    /// The firmware code, Debian's unless another is named.
    pub(super) fn code(&self, secure: bool) -> &Path {
        let named = if secure { &self.secure_firmware } else { &self.firmware };
        named.as_deref().unwrap_or(Path::new(match (self.architecture, secure) {
            (Architecture::X86_64, false) => "/usr/share/OVMF/OVMF_CODE_4M.fd",
            (Architecture::X86_64, true) => "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
            (Architecture::Aarch64, false) => "/usr/share/AAVMF/AAVMF_CODE.fd",
            (Architecture::Aarch64, true) => "/usr/share/AAVMF/AAVMF_CODE.ms.fd",
        }))
    }

    /// What its variables are copied from.
    pub(super) fn fresh_variables(&self, secure: bool) -> &Path {
        let named = if secure { &self.secure_variables } else { &self.variables };
        named.as_deref().unwrap_or(Path::new(match (self.architecture, secure) {
            (Architecture::X86_64, false) => "/usr/share/OVMF/OVMF_VARS_4M.fd",
            (Architecture::X86_64, true) => "/usr/share/OVMF/OVMF_VARS_4M.ms.fd",
            (Architecture::Aarch64, false) => "/usr/share/AAVMF/AAVMF_VARS.fd",
            (Architecture::Aarch64, true) => "/usr/share/AAVMF/AAVMF_VARS.ms.fd",
        }))
    }
}

/// Processor architectures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// x86-64.
    #[default]
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit Arm, which has no BIOS.
    Aarch64,
}

impl Architecture {
    /// The emulator of that architecture.
    pub(super) fn emulator(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86_64",
            Self::Aarch64 => "qemu-system-aarch64",
        }
    }

    /// Whether it is this machine's.
    pub(super) fn is_ours(self) -> bool {
        std::env::consts::ARCH == if self == Self::X86_64 { "x86_64" } else { "aarch64" }
    }
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
    /// Its serial number, as the machine sees it.
    pub(super) fn serial(&self, number: usize) -> String {
        self.serial.clone().unwrap_or_else(|| format!("DISK{number}"))
    }

    /// Its size in bytes, as far as that is known.
    pub(super) fn size(&self) -> Option<u64> {
        let made = std::fs::metadata(&self.file).ok().map(|file| file.len());
        made.or(self.size_gib.map(|gib| gib << 30))
    }

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

fn default_cores() -> u32 {
    1
}

fn default_update_ms() -> u64 {
    2000
}

fn default_media() -> Vec<Slot> {
    vec![Slot::Cd, Slot::Usb]
}

impl Definition {
    /// The file that the machine's output goes to.
    pub fn console(&self) -> &Path {
        match &self.kind {
            Kind::Process(machine) => &machine.log,
            Kind::Qemu(machine) => &machine.console,
        }
    }

    /// Reads a machine file.
    ///
    /// # Errors
    /// When it cannot be read or does not describe a machine.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        settings_file::read(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_key_of_a_qemu_machine() {
        let page = include_str!("../../../docs/bmc.md");
        // What is expected instead of an unknown key are all that there are.
        let error = serde_json::from_str::<QemuMachine>(r#"{"?": 0}"#).unwrap_err().to_string();
        for key in error.split("expected one of ").nth(1).unwrap().split(", ") {
            let key = key.split('`').nth(1).unwrap();
            assert!(page.lines().any(|line| line.starts_with("| `") && line.contains(&format!("`{key}`"))), "{key}");
        }
    }

    #[test]
    fn the_example_is_a_machine() {
        let machine = Definition::load(Path::new("../examples/machine.yaml")).unwrap();
        assert!(matches!(machine.kind, Kind::Qemu(_)));
    }

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
