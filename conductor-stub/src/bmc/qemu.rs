//! A QEMU machine, by KVM where there is one that works.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::json;

use super::definition::{Architecture, Bus, Definition, QemuMachine, Slot};
use super::start::{BootSource, Loaded, Start, mortal};
use super::{firmware, qmp};

/// Whether machines run by KVM here. There are hosts with a `/dev/kvm` that runs firmware only to an internal error, so the
/// first machine is watched.
static KVM: OnceLock<bool> = OnceLock::new();
/// How long it is watched.
const WATCH: Duration = Duration::from_secs(2);

/// A QEMU machine and the QEMU that runs it.
#[derive(Debug)]
pub(super) struct QemuState {
    machine: QemuMachine,
    uuid: String,
    mac: Option<String>,
    child: Option<Child>,
    /// Names of nodes that were plugged in while it runs.
    plugged: u32,
}

impl QemuState {
    pub(super) fn new(machine: QemuMachine, definition: &Definition) -> Self {
        let mac = definition.macs.first().cloned();
        Self { machine, uuid: definition.uuid.to_string(), mac, child: None, plugged: 0 }
    }

    pub(super) fn media_dir(&self) -> PathBuf {
        self.machine.state_dir.join("media")
    }

    pub(super) fn start(&mut self, start: &Start<'_>) -> io::Result<()> {
        self.stop();
        fs::create_dir_all(self.media_dir())?;
        for disk in &self.machine.disks {
            disk.make()?;
        }
        let variables = match start.legacy {
            true => None,
            false => Some(self.variables(start)?),
        };
        if self.could_use_kvm() {
            self.launch(self.arguments(start, variables.as_deref(), true))?;
            if *KVM.get_or_init(|| self.keeps_running()) {
                return Ok(());
            }
            tracing::info!("KVM does not run machines here: software emulation it is");
            self.stop();
        }
        self.launch(self.arguments(start, variables.as_deref(), false))
    }

    fn could_use_kvm(&self) -> bool {
        let usable = || fs::File::options().read(true).write(true).open("/dev/kvm").is_ok();
        self.machine.architecture.is_ours() && *KVM.get().unwrap_or(&true) && usable()
    }

    fn launch(&mut self, arguments: Vec<String>) -> io::Result<()> {
        let mut words = self.machine.wrapper.clone();
        words.push(self.machine.architecture.emulator().into());
        words.extend(arguments);
        let log = fs::File::create(self.machine.state_dir.join("qemu.log"))?;
        let child = mortal(&words)?.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        self.child = Some(child);
        Ok(())
    }

    /// Whether the machine gets past its first instructions.
    fn keeps_running(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < WATCH {
            std::thread::sleep(Duration::from_millis(100));
            let status = qmp::execute(&self.socket(), "query-status", json!({})).unwrap_or_default();
            if !self.is_on() || status["status"] == "internal-error" {
                return false;
            }
        }
        true
    }

    /// The file of firmware variables, with the entry for this boot. Secure Boot has a file of its own, with its keys.
    fn variables(&self, start: &Start<'_>) -> io::Result<PathBuf> {
        let name = if start.secure_boot { "variables-secure.fd" } else { "variables.fd" };
        let variables = self.machine.state_dir.join(name);
        if !variables.exists() {
            fs::copy(self.machine.fresh_variables(start.secure_boot), &variables)?;
        }
        if let BootSource::UefiHttp(url) = &start.source {
            let mut store = fs::read(&variables)?;
            firmware::boot_next_uri(&mut store, url.as_deref().unwrap_or_default()).map_err(io::Error::other)?;
            fs::write(&variables, store)?;
        }
        Ok(variables)
    }

    /// Removes the variables of Secure Boot; they are copied anew.
    pub(super) fn forget_keys(&mut self) -> io::Result<()> {
        match fs::remove_file(self.machine.state_dir.join("variables-secure.fd")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn arguments(&self, start: &Start<'_>, variables: Option<&Path>, kvm: bool) -> Vec<String> {
        let machine = &self.machine;
        let x86 = machine.architecture == Architecture::X86_64;
        let mut words: Vec<String> = Vec::new();
        let mut add = |option: &str, value: String| words.extend([option.to_string(), value]);
        add("-accel", if kvm { "kvm" } else { "tcg" }.into());
        add(
            "-machine",
            match (x86, start.secure_boot) {
                (true, true) => "q35,smm=on".into(),
                (true, false) => "q35".into(),
                (false, _) => "virt".into(),
            },
        );
        add("-cpu", if x86 || kvm { "max" } else { "cortex-a57" }.into());
        add("-smp", start.cores.to_string());
        add("-m", machine.memory_mib.to_string());
        add("-uuid", self.uuid.clone());
        add("-display", "none".into());
        add("-monitor", "none".into());
        add("-serial", format!("file:{}", machine.console.display()));
        add("-qmp", format!("unix:{},server=on,wait=off", self.socket().display()));
        if let Some(variables) = variables {
            let code = machine.code(start.secure_boot);
            add("-drive", format!("if=pflash,format=raw,readonly=on,file={}", code.display()));
            add("-drive", format!("if=pflash,format=raw,file={}", variables.display()));
            if x86 && start.secure_boot {
                add("-global", "driver=cfi.pflash01,property=secure,value=on".into());
                add("-global", "ICH9-LPC.disable_s3=1".into());
            }
        }
        add("-device", "virtio-rng-pci".into());
        add("-device", "virtio-scsi-pci,id=scsi".into());
        add("-device", "qemu-xhci,id=xhci".into());
        let order = boot_order(start, machine.disks.len());
        let index = |device: Device| {
            let place = order.iter().position(|other| *other == device);
            place.map(|place| format!(",bootindex={place}")).unwrap_or_default()
        };
        for drive in &start.drives {
            let (number, boots) = (drive.number, index(Device::Drive(drive.number)));
            match (drive.slot, drive.file) {
                (Slot::Cd, file) => {
                    let file = file.map(|file| format!(",format=raw,file={}", file.display())).unwrap_or_default();
                    add("-drive", format!("if=none,id=media{number},media=cdrom,readonly=on{file}"));
                    let device =
                        if x86 { format!("ide-cd,bus=ide.{}", 1 + number) } else { "scsi-cd,bus=scsi.0".into() };
                    add("-device", format!("{device},id=drive{number},drive=media{number}{boots}"));
                }
                // Sticks come and go with their media.
                (Slot::Usb | Slot::Floppy, Some(file)) => {
                    add("-drive", format!("if=none,id=media{number},readonly=on,format=raw,file={}", file.display()));
                    add("-device", format!("usb-storage,id=drive{number},drive=media{number},removable=on{boots}"));
                }
                (Slot::Usb | Slot::Floppy, None) => {}
            }
        }
        add("-netdev", format!("{},id=net0", machine.network));
        let mac = self.mac.as_ref().map(|mac| format!(",mac={mac}")).unwrap_or_default();
        // UEFI has its own network boot; BIOS has the NIC's.
        let rom = if start.source == BootSource::Pxe && start.legacy { "" } else { ",romfile=" };
        add("-device", format!("virtio-net-pci,netdev=net0{rom}{mac}{}", index(Device::Nic)));
        for (number, disk) in machine.disks.iter().enumerate() {
            add("-drive", format!("if=none,id=disk{number},format=raw,discard=unmap,file={}", disk.file.display()));
            let device = match disk.bus {
                Bus::Virtio => "virtio-blk-pci",
                Bus::Nvme => "nvme",
                Bus::Scsi => "scsi-hd,bus=scsi.0",
                Bus::Ata => "ide-hd",
            };
            let (serial, boots) = (disk.serial(number), index(Device::Disk(number)));
            add("-device", format!("{device},drive=disk{number},serial={serial}{boots}"));
        }
        words.extend(machine.arguments.iter().cloned());
        words
    }

    fn socket(&self) -> PathBuf {
        self.machine.state_dir.join("qmp.sock")
    }

    pub(super) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both only fail when it has ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(super) fn shut_down(&mut self) -> io::Result<()> {
        self.ask("system_powerdown")
    }

    pub(super) fn interrupt(&mut self) -> io::Result<()> {
        self.ask("inject-nmi")
    }

    fn ask(&mut self, command: &str) -> io::Result<()> {
        match self.child {
            Some(_) => qmp::execute(&self.socket(), command, json!({})).map(drop),
            None => Ok(()),
        }
    }

    pub(super) fn is_on(&mut self) -> bool {
        if let Some(child) = &mut self.child
            && !matches!(child.try_wait(), Ok(None))
        {
            self.child = None;
        }
        self.child.is_some()
    }

    pub(super) fn change(&mut self, drive: Loaded<'_>) -> io::Result<()> {
        if !self.is_on() {
            return Ok(());
        }
        let id = format!("drive{}", drive.number);
        let socket = self.socket();
        let execute = |command: &str, arguments| qmp::execute(&socket, command, arguments).map(drop);
        match (drive.slot, drive.file) {
            (Slot::Cd, Some(file)) => {
                execute("blockdev-change-medium", json!({"id": id, "filename": file, "format": "raw", "force": true}))
            }
            (Slot::Cd, None) => execute("eject", json!({"id": id, "force": true})),
            (Slot::Usb | Slot::Floppy, Some(file)) => {
                self.plugged += 1;
                let node = format!("plugged{}", self.plugged);
                let file = json!({"driver": "file", "filename": file});
                execute("blockdev-add", json!({"driver": "raw", "node-name": node, "read-only": true, "file": file}))?;
                execute("device_add", json!({"driver": "usb-storage", "id": id, "drive": node, "removable": true}))
            }
            (Slot::Usb | Slot::Floppy, None) => execute("device_del", json!({"id": id})),
        }
    }
}

/// A device that can boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Device {
    Disk(usize),
    Drive(usize),
    Nic,
}

/// The order in which the firmware tries devices, this time: the one that was asked for, then disks, media, network. All of
/// them, always: OVMF forgets the boot entries of devices that have no place, and a boot from CD would cost the disk its own.
fn boot_order(start: &Start<'_>, disks: usize) -> Vec<Device> {
    let first = |slot: Slot| {
        let drive = start.drives.iter().find(|drive| drive.slot == slot);
        drive.map(|drive| Device::Drive(drive.number))
    };
    let asked = match start.source {
        BootSource::Cd => first(Slot::Cd),
        BootSource::Usb => first(Slot::Usb),
        BootSource::Pxe => Some(Device::Nic),
        BootSource::Disk | BootSource::UefiHttp(_) => None,
    };
    let drives = start.drives.iter().map(|drive| Device::Drive(drive.number));
    let others = (0..disks).map(Device::Disk).chain(drives).chain([Device::Nic]);
    asked.into_iter().chain(others.filter(|device| Some(*device) != asked)).collect()
}

impl Drop for QemuState {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bmc::definition::Kind;

    fn arguments(qemu: &str, start: &Start<'_>) -> String {
        let text = format!(
            r#"{{"uuid": "27946b59-9e44-4fa7-8e91-f3527a1ef094", "name": "m", "qemu": {{"state_dir": "/x", "console": "/x/c"{qemu}}}}}"#
        );
        let definition: Definition = serde_json::from_str(&text).unwrap();
        let Kind::Qemu(machine) = definition.kind.clone() else { panic!("no QEMU machine") };
        let variables = (!start.legacy).then_some(Path::new("/x/v"));
        QemuState::new(machine, &definition).arguments(start, variables, false).join(" ")
    }

    fn start(source: BootSource) -> Start<'static> {
        let drive = |number, slot, file| Loaded { number, slot, file };
        let drives =
            vec![drive(0, Slot::Cd, Some(Path::new("/a.iso"))), drive(1, Slot::Usb, Some(Path::new("/b.img")))];
        Start { source, drives, legacy: false, secure_boot: false, cores: 2 }
    }

    #[test]
    fn firmware_and_drives_follow_the_start() {
        let uefi = arguments("", &start(BootSource::Usb));
        assert!(uefi.contains("OVMF_CODE_4M.fd") && uefi.contains("-smp 2"), "{uefi}");
        assert!(uefi.contains("ide-cd,bus=ide.1,id=drive0,drive=media0,bootindex=1 "), "{uefi}");
        assert!(uefi.contains("usb-storage,id=drive1,drive=media1,removable=on,bootindex=0"), "{uefi}");
        let legacy = arguments("", &Start { legacy: true, ..start(BootSource::Pxe) });
        assert!(
            !legacy.contains("pflash") && !legacy.contains("romfile") && legacy.contains("net0,bootindex=0"),
            "{legacy}"
        );
        let disk = arguments(r#", "disks": [{"file": "/d"}]"#, &start(BootSource::Disk));
        assert!(disk.contains("serial=DISK0,bootindex=0") && disk.contains("media0,bootindex=1"), "{disk}");
        assert!(disk.contains("net0,romfile=,bootindex=3"), "{disk}");
        let secure = arguments("", &Start { secure_boot: true, ..start(BootSource::Cd) });
        assert!(secure.contains("q35,smm=on") && secure.contains("OVMF_CODE_4M.secboot.fd"), "{secure}");
        let arm = arguments(r#", "architecture": "aarch64""#, &start(BootSource::Cd));
        assert!(arm.contains("-machine virt") && arm.contains("scsi-cd,bus=scsi.0,id=drive0"), "{arm}");
        assert!(arm.contains("AAVMF_CODE.fd") && !arm.contains("smm"), "{arm}");
    }
}
