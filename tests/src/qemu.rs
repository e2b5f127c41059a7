//! A virtual machine with firmware that boots something of its own accord, as a server does.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::process::Process;
use crate::qmp;

/// How a machine starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS.
    Bios,
    /// OVMF.
    Uefi,
    /// OVMF that starts only what Microsoft's keys have signed.
    SecureBoot,
    /// OVMF that starts only what the key of [`snakeoil`] has signed.
    OwnKeys,
}

impl Firmware {
    /// OVMF's code and the variables that a machine starts with.
    fn files(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Bios => None,
            Self::Uefi => Some(("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd")),
            Self::SecureBoot => Some(("OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd")),
            Self::OwnKeys => Some(("OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.snakeoil.fd")),
        }
    }
}

const FIRMWARE_FOLDER: &str = "/usr/share/OVMF";

/// A machine to be started; its files lie in a folder of the test's.
#[derive(Debug)]
pub struct Machine {
    folder: PathBuf,
    arguments: Vec<String>,
    disks: usize,
}

impl Machine {
    /// A machine of 1 GiB whose console is its output, with one network card. `network` is what QEMU calls a network
    /// device, `user,hostfwd=…`; with it this host is 10.0.2.2.
    ///
    /// # Errors
    /// Its firmware is not installed.
    pub fn new(folder: &Path, firmware: Firmware, network: &str) -> Result<Self> {
        let mut machine = Self { folder: folder.to_path_buf(), arguments: Vec::new(), disks: 0 };
        machine.add("-accel tcg -machine q35 -cpu max -m 1024 -display none -serial stdio -monitor none -no-reboot");
        machine.add("-device virtio-rng-pci -device virtio-net-pci,netdev=net,romfile=");
        machine.add(&format!("-netdev {network},id=net"));
        machine.add(&format!("-qmp unix:{},server=on,wait=off", machine.control().display()));
        if let Some((code, variables)) = firmware.files() {
            let own = folder.join("variables.fd");
            fs::copy(Path::new(FIRMWARE_FOLDER).join(variables), &own).context("package ovmf")?;
            machine.add(&format!("-drive if=pflash,format=raw,readonly=on,file={FIRMWARE_FOLDER}/{code}"));
            machine.add(&format!("-drive if=pflash,format=raw,file={}", own.display()));
        }
        if matches!(firmware, Firmware::SecureBoot | Firmware::OwnKeys) {
            machine.add("-machine smm=on -global driver=cfi.pflash01,property=secure,value=on");
        }
        Ok(machine)
    }

    /// Adds arguments of QEMU, separated by spaces.
    pub fn add(&mut self, arguments: &str) {
        self.arguments.extend(arguments.split(' ').map(str::to_string));
    }

    /// Adds a sparse disk of 5 GiB, enough for a root device, or, when it exists, the file of that name in the machine's
    /// folder. `device` is QEMU's device without its drive. Returns the file.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn disk(&mut self, name: &str, device: &str) -> Result<PathBuf> {
        let file = self.folder.join(name);
        if !file.exists() {
            File::create(&file)?.set_len(5 << 30)?;
        }
        let id = format!("disk{}", self.disks);
        self.disks += 1;
        self.add(&format!("-drive if=none,id={id},format=raw,file.locking=off,file={}", file.display()));
        self.add(&format!("-device {device},drive={id}"));
        Ok(file)
    }

    /// Puts an ISO into a CD drive.
    pub fn cd(&mut self, iso: &Path) {
        self.add(&format!("-drive file={},media=cdrom,readonly=on", iso.display()));
    }

    /// Plugs in a USB stick with this content; the firmware tries it first.
    pub fn usb_stick(&mut self, content: &Path) {
        self.add(&format!("-drive if=none,id=stick,format=raw,readonly=on,file={}", content.display()));
        self.add("-device qemu-xhci -device usb-storage,drive=stick,bootindex=0");
    }

    /// Switches it on.
    ///
    /// # Errors
    /// QEMU cannot be started.
    pub fn start(&self) -> Result<Process> {
        Process::start(Command::new("qemu-system-x86_64").args(&self.arguments))
    }

    /// What the screen of a running machine shows in text mode, 25 lines of 80 characters, without line ends.
    ///
    /// # Errors
    /// The machine does not run.
    pub fn screen(&self) -> Result<String> {
        /// Where VGA adapters keep characters, each followed by its colour.
        const TEXT: (u32, u32) = (0xb8000, 80 * 25 * 2);
        let file = self.folder.join("screen");
        let arguments = json!({"val": TEXT.0, "size": TEXT.1, "filename": file});
        qmp::execute(&self.control(), &[json!({"execute": "pmemsave", "arguments": arguments})])?;
        Ok(fs::read(&file)?.chunks(2).map(|cell| char::from(cell[0])).collect())
    }

    fn control(&self) -> PathBuf {
        self.folder.join("qmp.sock")
    }
}

/// The key, without a passphrase, and the certificate that [`Firmware::OwnKeys`] has enrolled; the key is left in `folder`.
///
/// # Errors
/// `openssl` fails.
pub fn snakeoil(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let key = folder.join("snakeoil.key");
    let made = Command::new("openssl")
        .args(["pkey", "-passin", "pass:snakeoil", "-in", "/usr/share/ovmf/PkKek-1-snakeoil.key", "-out"])
        .arg(&key)
        .output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Ok((key, PathBuf::from("/usr/share/ovmf/PkKek-1-snakeoil.pem")))
}
