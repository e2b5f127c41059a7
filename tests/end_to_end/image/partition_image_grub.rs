//! A partition image becomes bootable on a BIOS machine: the real agent, in its ramdisk, has the image's own GRUB
//! installed, with either kind of partition table; then each disk boots, GRUB and kernel, to its first process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferric_tests::artefact;
use ferric_tests::conductor::{Conductor, NODE, TOKEN};
use ferric_tests::file_server::FileServer;
use ferric_tests::network::free_port;
use ferric_tests::process::Process;
use serde_json::{Value, json};

/// For one boot or one command, emulated, on a busy host.
const LIMIT: Duration = Duration::from_secs(300);
/// Agents take no disk below 4 GiB as their root disk.
const DISK_GIB: u64 = 5;
const EMULATOR: [&str; 10] =
    ["-accel", "tcg", "-machine", "q35", "-cpu", "max", "-nographic", "-no-reboot", "-device", "virtio-rng-pci"];

fn drive(file: &Path) -> [String; 2] {
    ["-drive".to_owned(), format!("if=virtio,format=raw,file={}", file.display())]
}

/// The ramdisk on a machine with SeaBIOS and these disks; its agent answers at port `agent` of this host.
fn ramdisk(conductor: &Conductor, agent: u16, disks: &[PathBuf]) -> Result<Process> {
    let arguments = format!(
        "console=ttyS0 quiet panic=30 no_timer_check ipa-api-url=http://10.0.2.2:{} ipa-lldp-timeout=1",
        conductor.port()
    );
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(EMULATOR).args(["-m", "1024", "-append", &arguments]);
    qemu.arg("-kernel").arg(artefact::ramdisk("vmlinuz")?).arg("-initrd").arg(artefact::ramdisk("initramfs.img")?);
    qemu.args(["-device", "virtio-net-pci,netdev=net,romfile="]);
    qemu.args(["-netdev", &format!("user,id=net,hostfwd=tcp:127.0.0.1:{agent}-:9999")]);
    Process::start(qemu.args(disks.iter().flat_map(|disk| drive(disk))))
}

/// What the agent answers to a command: at once, or when it has ended.
fn post(agent: u16, wait: bool, name: &str, params: Value) -> Result<Value> {
    let url = format!("https://127.0.0.1:{agent}/v1/commands/?wait={wait}&agent_token={TOKEN}");
    let body = json!({"name": name, "params": params}).to_string();
    let limit = LIMIT.as_secs().to_string();
    let header = "Content-Type: application/json";
    let sent = Command::new("curl").args(["-sSk", "--max-time", &limit, "-H", header, "-d", &body, &url]).output()?;
    ensure!(sent.status.success(), "{name}: {}", String::from_utf8_lossy(&sent.stderr));
    Ok(serde_json::from_slice(&sent.stdout)?)
}

/// Runs a command of the agent to its end and returns its result.
fn command(agent: u16, name: &str, params: Value) -> Result<Value> {
    let mut command = post(agent, true, name, params)?;
    ensure!(command["command_status"] == "SUCCEEDED", "{name}: {command}");
    Ok(command["command_result"].take())
}

/// Deploys the image to `disk` and has it made bootable. Returns the UUID of its root file system.
fn deploy(agent: u16, disk: &str, capabilities: &str, image_info: &Value) -> Result<Value> {
    let step = json!({"interface": "deploy", "step": "write_image", "args": {"image_info": image_info}});
    let node = json!({"uuid": NODE, "instance_info": {}, "driver_internal_info": {},
        "properties": {"capabilities": capabilities, "root_device": {"name": disk}}});
    let params = json!({"step": step, "node": node, "ports": [], "deploy_version": null});
    command(agent, "deploy.execute_deploy_step", params)?;
    let uuids = command(agent, "standby.get_partition_uuids", json!({}))?;
    let root = uuids["root uuid"].clone();
    let boot = json!({"root_uuid": root, "efi_system_part_uuid": null, "prep_boot_part_uuid": null,
        "target_boot_mode": "bios"});
    command(agent, "image.install_bootloader", boot)?;
    Ok(root)
}

#[test]
fn grub_of_a_partition_image_boots_bios_machines() -> Result<()> {
    let image = artefact::grub_image("root.img.zst")?;
    let uuid = fs::read_to_string(artefact::grub_image("uuid")?)?.trim().to_owned();
    let folder = tempfile::Builder::new().prefix("ferric-grub-").tempdir()?;
    let disks = ["msdos", "gpt"].map(|name| folder.path().join(name));
    for disk in &disks {
        File::create(disk)?.set_len(DISK_GIB << 30)?;
    }
    let server = FileServer::start(image.parent().context("it is in a folder")?)?;
    let digest = Command::new("sha256sum").arg(&image).output()?;
    let digest = String::from_utf8(digest.stdout)?.split(' ').next().unwrap_or_default().to_owned();
    let info = json!({"id": "grub", "urls": [format!("http://10.0.2.2:{}/root.img.zst", server.port())],
        "disk_format": "raw", "os_hash_algo": "sha256", "os_hash_value": digest, "image_type": "partition",
        "deploy_boot_mode": "bios", "boot_option": "local", "root_mb": 512, "swap_mb": 0, "ephemeral_mb": 0});

    let conductor = Conductor::start()?;
    conductor.configure("enable_bios_bootloader_install", json!(true));
    let agent = free_port()?;
    let mut machine = ramdisk(&conductor, agent, &disks)?;
    machine.wait_for("heartbeat sent", LIMIT)?;
    for (disk, capabilities) in [("/dev/vda", "boot_mode:bios"), ("/dev/vdb", "boot_mode:bios,disk_label:gpt")] {
        let root = deploy(agent, disk, capabilities, &info).with_context(|| machine.log())?;
        assert_eq!(root, uuid.as_str());
    }
    post(agent, false, "standby.power_off", json!({}))?;
    machine.wait(LIMIT)?;

    for disk in &disks {
        let mut qemu = Command::new("qemu-system-x86_64");
        let mut machine = Process::start(qemu.args(EMULATOR).args(["-m", "512", "-nic", "none"]).args(drive(disk)))?;
        machine.wait(LIMIT)?;
        let console = machine.log();
        assert!(console.contains("Loading Linux"), "GRUB says nothing:\n{console}");
        let line = console.lines().find(|line| line.contains("FERRIC-GRUB started by: ")).unwrap_or_default();
        assert!(line.contains(&format!("root=UUID={uuid} ")), "{}:\n{console}", disk.display());
    }
    Ok(())
}
