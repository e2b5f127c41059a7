//! A QEMU machine with UEFI firmware, by software emulation.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::json;

use super::definition::{Bus, Definition, QemuMachine};
use super::machine::{BootSource, mortal};
use super::{firmware, qmp};

/// A QEMU machine and the QEMU that runs it.
#[derive(Debug)]
pub(super) struct QemuState {
    machine: QemuMachine,
    uuid: String,
    mac: Option<String>,
    child: Option<Child>,
}

impl QemuState {
    pub(super) fn new(machine: QemuMachine, definition: &Definition) -> Self {
        Self { machine, uuid: definition.uuid.to_string(), mac: definition.macs.first().cloned(), child: None }
    }

    pub(super) fn media_dir(&self) -> PathBuf {
        self.machine.state_dir.join("media")
    }

    pub(super) fn start(&mut self, boot: &BootSource, cd: Option<&Path>) -> io::Result<()> {
        self.stop();
        fs::create_dir_all(self.media_dir())?;
        let variables = self.machine.state_dir.join("variables.fd");
        if !variables.exists() {
            fs::copy(&self.machine.variables, &variables)?;
        }
        for disk in &self.machine.disks {
            disk.make()?;
        }
        if let BootSource::UefiHttp(url) = boot {
            let mut store = fs::read(&variables)?;
            firmware::boot_next_uri(&mut store, url.as_deref().unwrap_or_default()).map_err(io::Error::other)?;
            fs::write(&variables, store)?;
        }
        let arguments = self.arguments(boot, cd, &variables);
        let mut words = self.machine.wrapper.clone();
        words.push("qemu-system-x86_64".into());
        words.extend(arguments);
        let log = fs::File::create(self.machine.state_dir.join("qemu.log"))?;
        let child = mortal(&words)?.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        self.child = Some(child);
        Ok(())
    }

    fn arguments(&self, boot: &BootSource, cd: Option<&Path>, variables: &Path) -> Vec<String> {
        let machine = &self.machine;
        let mut words: Vec<String> = Vec::new();
        let mut add = |option: &str, value: String| words.extend([option.to_string(), value]);
        add("-accel", "tcg".into());
        add("-machine", "q35".into());
        add("-cpu", "max".into());
        add("-smp", "1".into());
        add("-m", machine.memory_mib.to_string());
        add("-uuid", self.uuid.clone());
        add("-display", "none".into());
        add("-monitor", "none".into());
        add("-serial", format!("file:{}", machine.console.display()));
        add("-qmp", format!("unix:{},server=on,wait=off", self.socket().display()));
        add("-drive", format!("if=pflash,format=raw,readonly=on,file={}", machine.firmware.display()));
        add("-drive", format!("if=pflash,format=raw,file={}", variables.display()));
        add("-device", "virtio-rng-pci".into());
        add("-device", "virtio-scsi-pci,id=scsi".into());
        // A boot index makes the firmware prefer that device this time; without any, its own boot order rules.
        let index = |wanted: bool| if wanted { ",bootindex=0" } else { "" };
        let file = cd.map(|file| format!(",format=raw,file={}", file.display())).unwrap_or_default();
        add("-drive", format!("if=none,id=media,media=cdrom,readonly=on{file}"));
        add("-device", format!("ide-cd,id=cd0,bus=ide.1,drive=media{}", index(*boot == BootSource::Cd)));
        add("-netdev", format!("{},id=net0", machine.network));
        let mac = self.mac.as_ref().map(|mac| format!(",mac={mac}")).unwrap_or_default();
        add("-device", format!("virtio-net-pci,netdev=net0,romfile={mac}{}", index(*boot == BootSource::Pxe)));
        for (number, disk) in machine.disks.iter().enumerate() {
            add("-drive", format!("if=none,id=disk{number},format=raw,discard=unmap,file={}", disk.file.display()));
            let serial = disk.serial.clone().unwrap_or_else(|| format!("DISK{number}"));
            let device = match disk.bus {
                Bus::Virtio => "virtio-blk-pci",
                Bus::Nvme => "nvme",
                Bus::Scsi => "scsi-hd,bus=scsi.0",
                Bus::Ata => "ide-hd",
            };
            add("-device", format!("{device},drive=disk{number},serial={serial}"));
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
        if self.child.is_none() {
            return Ok(());
        }
        qmp::execute(&self.socket(), "system_powerdown", json!({})).map(drop)
    }

    pub(super) fn is_on(&mut self) -> bool {
        if let Some(child) = &mut self.child
            && !matches!(child.try_wait(), Ok(None))
        {
            self.child = None;
        }
        self.child.is_some()
    }

    pub(super) fn change_cd(&mut self, cd: Option<&Path>) -> io::Result<()> {
        if !self.is_on() {
            return Ok(());
        }
        match cd {
            Some(file) => qmp::execute(
                &self.socket(),
                "blockdev-change-medium",
                json!({"id": "cd0", "filename": file, "format": "raw", "force": true}),
            ),
            None => qmp::execute(&self.socket(), "eject", json!({"id": "cd0", "force": true})),
        }
        .map(drop)
    }
}

impl Drop for QemuState {
    fn drop(&mut self) {
        self.stop();
    }
}
