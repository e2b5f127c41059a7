//! A virtual machine for one test: the distribution's kernel, an initial file system of busybox, modules and programs,
//! and disks of its own. It runs one command line and is powered off.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::process::Process;
use crate::qmp;

/// Printed by the machine with the exit code of its command.
const VERDICT: &str = "FERRIC-VM-EXIT:";

/// A machine to be built; every part of it is gone when this is dropped.
#[derive(Debug)]
pub struct Machine {
    directory: tempfile::TempDir,
    modules: Vec<String>,
    qemu: Vec<String>,
    disks: usize,
    cues: Vec<(String, Vec<Value>)>,
    uefi: bool,
}

impl Machine {
    /// A machine with these kernel modules (and what they need), UEFI firmware and no disk.
    ///
    /// # Errors
    /// When its directory or firmware cannot be made.
    pub fn new(modules: &[&str]) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("ferric-vm-").tempdir()?;
        let modules = modules.iter().map(ToString::to_string).collect();
        let machine = Self { modules, qemu: Vec::new(), disks: 0, cues: Vec::new(), uefi: true, directory };
        fs::create_dir_all(machine.root())?;
        fs::copy("/usr/share/OVMF/OVMF_VARS_4M.fd", machine.file("vars.fd")).context("package ovmf")?;
        Ok(machine)
    }

    /// The same with BIOS instead.
    #[must_use]
    pub fn with_bios(self) -> Self {
        Self { uefi: false, ..self }
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// A file of this machine on the host.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Attaches a sparse disk. `device` is QEMU's device without its drive (`nvme,serial=x`); the returned file is the
    /// disk's content.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn disk(&mut self, device: &str, size_bytes: u64) -> Result<PathBuf> {
        let id = format!("disk{}", self.disks);
        self.disks += 1;
        let file = self.file(&format!("{id}.raw"));
        fs::File::create(&file)?.set_len(size_bytes)?;
        let drive = format!("if=none,id={id},format=raw,discard=unmap,file={}", file.display());
        self.qemu.extend(["-drive".to_string(), drive, "-device".to_string(), format!("{device},drive={id}")]);
        Ok(file)
    }

    /// Adds arguments of QEMU.
    pub fn qemu(&mut self, arguments: &[&str]) {
        self.qemu.extend(arguments.iter().map(ToString::to_string));
    }

    /// When the machine prints `cue`, and after the cues that were given before, QEMU executes these commands (QMP).
    pub fn when(&mut self, cue: &str, commands: Vec<Value>) {
        self.cues.push((cue.to_string(), commands));
    }

    /// Copies a program with the libraries it is linked to; it is found in the machine by its file name.
    ///
    /// # Errors
    /// When the program is missing.
    pub fn program(&self, program: &Path) -> Result<()> {
        let name = program.file_name().context("a program has a name")?;
        install(program, &self.root().join("bin").join(name))?;
        let output = Command::new("ldd").arg(program).output()?;
        for word in String::from_utf8_lossy(&output.stdout).split_whitespace().filter(|word| word.starts_with('/')) {
            install(Path::new(word), &self.root().join(word.trim_start_matches('/')))?;
        }
        Ok(())
    }

    /// Copies a file to this place in the machine.
    ///
    /// # Errors
    /// When the file is missing.
    pub fn place(&self, file: &Path, at: &str) -> Result<()> {
        install(file, &self.root().join(at.trim_start_matches('/')))
    }

    /// Boots, runs `command` by the shell, and returns everything it printed.
    ///
    /// # Errors
    /// When it does not end with success within `limit`; the error holds the console.
    pub fn run(&self, command: &str, limit: Duration) -> Result<String> {
        self.make_initramfs(command)?;
        let kernel = kernel()?;
        let firmware = "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd".to_string();
        let variables = format!("if=pflash,format=raw,file={}", self.file("vars.fd").display());
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-accel", "tcg", "-machine", "q35", "-cpu", "max", "-smp", "1", "-m", "1024"])
            .args(["-display", "none", "-serial", "stdio", "-monitor", "none", "-nic", "none", "-no-reboot"])
            .arg("-kernel")
            .arg(format!("/boot/vmlinuz-{kernel}"))
            .arg("-initrd")
            .arg(self.file("initramfs.gz"))
            .args(["-append", "console=ttyS0 quiet panic=-1 no_timer_check"])
            .args(["-qmp", &format!("unix:{},server=on,wait=off", self.file("qmp.sock").display())])
            .args(&self.qemu);
        if self.uefi {
            qemu.args(["-drive", &firmware, "-drive", &variables]);
        }
        let mut process = Process::start(&mut qemu)?;
        for (cue, commands) in &self.cues {
            process.wait_for(cue, limit)?;
            qmp::execute(&self.file("qmp.sock"), commands)?;
        }
        process.wait(limit)?;
        let console = process.log();
        match console.rsplit_once(VERDICT).map(|(_, code)| code.trim_start().starts_with('0')) {
            Some(true) => Ok(console),
            Some(false) => bail!("the command in the machine failed:\n{console}"),
            None => bail!("the machine ended before its command did:\n{console}"),
        }
    }

    fn make_initramfs(&self, command: &str) -> Result<()> {
        let root = self.root();
        for directory in ["bin", "sbin", "dev", "proc", "sys", "tmp", "run", "etc", "var"] {
            fs::create_dir_all(root.join(directory))?;
        }
        install(Path::new("/bin/busybox"), &root.join("bin/busybox"))?;
        for applet in ["sh", "mount", "insmod", "poweroff", "cat", "ls", "dd", "mkdir", "sleep"] {
            symlink("busybox", root.join("bin").join(applet)).ok();
        }
        let kernel = kernel()?;
        let mut load = String::new();
        let mut seen = BTreeSet::new();
        for module in module_files(&kernel, &self.modules)? {
            if seen.insert(module.clone()) {
                install(Path::new(&module), &root.join(module.trim_start_matches('/')))?;
                load.push_str(&format!("insmod {module}\n"));
            }
        }
        let init = format!(
            "#!/bin/sh\nexport PATH=/bin:/sbin HOME=/tmp TMPDIR=/tmp\n\
             mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs run /run\n\
             {load}\
             if [ -d /sys/firmware/efi ]; then mount -t efivarfs efivarfs /sys/firmware/efi/efivars; fi\n\
             ( {command} )\necho {VERDICT} $?\npoweroff -f\n"
        );
        fs::write(root.join("init"), init)?;
        fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
        let pack = "find . | cpio -o -H newc --quiet | gzip -1 > ../initramfs.gz";
        let status = Command::new("sh").args(["-c", pack]).current_dir(&root).stderr(Stdio::inherit()).status()?;
        ensure!(status.success(), "packing the initial file system failed");
        Ok(())
    }
}

/// The newest kernel of the distribution that has its modules.
pub(crate) fn kernel() -> Result<String> {
    let mut names: Vec<String> = fs::read_dir("/lib/modules")?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| Path::new(&format!("/boot/vmlinuz-{name}")).exists())
        .collect();
    names.sort();
    names.pop().context("no kernel: package linux-image-amd64")
}

/// The files of modules and of what they need, in loading order.
fn module_files(kernel: &str, modules: &[String]) -> Result<Vec<String>> {
    let output = Command::new("modprobe").args(["-S", kernel, "-a", "--show-depends"]).args(modules).output()?;
    ensure!(output.status.success(), "modprobe: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().filter_map(|line| line.strip_prefix("insmod ")?.split(' ').next().map(str::to_string)).collect())
}

fn install(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    Ok(())
}
