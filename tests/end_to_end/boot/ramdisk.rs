//! What `make ramdisk` made, booted by UEFI firmware in virtual machines: the agent comes up, is found by its
//! parameters on the kernel command line, and can switch the machine off.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferric_ignition::kernel_arguments::KernelArgument;
use ferric_ignition::patch;
use ferric_ignition::uki::Uki;
use ferric_tests::artefact;
use ferric_tests::conductor::{Conductor, TOKEN};
use ferric_tests::network::free_port;
use ferric_tests::peers;
use ferric_tests::process::{Process, program};

/// Booting takes 15 s on an idle machine; software emulation beside other work takes many times that.
const BOOT: Duration = Duration::from_secs(300);
const FIRMWARE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const FIRMWARE_VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/// A machine with a virtio, an NVMe and a SATA disk. The conductor is at 10.0.2.2; the agent's port is at `agent` here.
fn machine(folder: &Path, medium: &[String], agent: u16) -> Result<Process> {
    let variables = folder.join("variables.fd");
    fs::copy(FIRMWARE_VARIABLES, &variables)?;
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-accel", "tcg", "-machine", "q35", "-cpu", "max", "-m", "1024", "-nographic", "-no-reboot"])
        .args(["-drive", &format!("if=pflash,format=raw,readonly=on,file={FIRMWARE}")])
        .args(["-drive", &format!("if=pflash,format=raw,file={}", variables.display())])
        .args(["-device", "virtio-rng-pci", "-device", "virtio-net-pci,netdev=net,romfile="])
        .args(["-netdev", &format!("user,id=net,hostfwd=tcp:127.0.0.1:{agent}-:9999")]);
    for (id, device) in [("virtio", "virtio-blk-pci"), ("nvme", "nvme,serial=N1"), ("sata", "ide-hd")] {
        let disk = folder.join(id);
        File::create(&disk)?.set_len(64 << 20)?;
        qemu.args(["-drive", &format!("file={},format=raw,if=none,id={id}", disk.display())]);
        qemu.args(["-device", &format!("{device},drive={id}")]);
    }
    Process::start(qemu.args(medium))
}

/// Waits for the heartbeat, then has the agent switch its machine off.
fn lives_and_dies(mut machine: Process, conductor: &Conductor, agent: u16) -> Result<()> {
    machine.wait_for("heartbeat sent", BOOT)?;
    let heartbeat = conductor.heartbeat(Duration::from_secs(5))?;
    assert_eq!(heartbeat["callback_url"], "https://10.0.2.15:9999");
    let url = format!("https://127.0.0.1:{agent}/v1/commands/?wait=false&agent_token={TOKEN}");
    let command = r#"{"name": "standby.power_off", "params": {}}"#;
    let header = "Content-Type: application/json";
    let sent = Command::new("curl").args(["-sSk", "--max-time", "60", "-H", header, "-d", command, &url]).output()?;
    ensure!(sent.status.success(), "{}\n{}", String::from_utf8_lossy(&sent.stderr), machine.log());
    assert_eq!(machine.wait(BOOT)?, Some(0), "{}", machine.log());
    assert!(machine.log().contains("Power down"), "{}", machine.log());
    Ok(())
}

#[test]
fn the_iso_boots_as_virtual_media() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (conductor, agent) = (Conductor::start()?, free_port()?);
    let iso = folder.path().join("node.iso");
    fs::copy(artefact::ramdisk("ferric.iso")?, &iso)?;
    let url = format!("ipa-api-url=http://10.0.2.2:{}", conductor.port());
    let done =
        Command::new(program("ferric-ignition")).args(["iso", "kargs", "append"]).arg(&iso).arg(&url).status()?;
    assert!(done.success());
    let shown = Command::new(peers::folder()?.join("bin/coreos-installer"))
        .args(["iso", "kargs", "show"])
        .arg(&iso)
        .output()?;
    assert!(String::from_utf8_lossy(&shown.stdout).contains(&url), "coreos-installer does not see what we wrote");

    let medium = ["-drive".to_owned(), format!("file={},media=cdrom,readonly=on", iso.display())];
    lives_and_dies(machine(folder.path(), &medium, agent)?, &conductor, agent)
}

#[test]
fn the_efi_program_boots_with_arguments_of_its_own() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (conductor, agent) = (Conductor::start()?, free_port()?);
    let boot = folder.path().join("esp/EFI/BOOT");
    fs::create_dir_all(&boot)?;
    let program = boot.join("BOOTX64.EFI");
    fs::copy(artefact::ramdisk("ferric.efi")?, &program)?;
    let url = format!("http://10.0.2.2:{}", conductor.port());
    let arguments = [
        ("ipa-api-url", url.as_str()),
        ("ipa-inspection-collectors", "default"),
        ("ipa-enable-vlan-interfaces", "eth0.77,52:54:00:12:34:56.78"),
        // The emulated network says nothing.
        ("ipa-lldp-timeout", "1"),
    ];
    let arguments =
        arguments.iter().map(|(name, value)| KernelArgument::with_value(name, value)).collect::<Result<Vec<_>, _>>()?;
    let file = OpenOptions::new().read(true).write(true).open(&program)?;
    patch::apply(&file, &[Uki::read(&file)?.append_kernel_arguments(&arguments)?])?;

    let drive = format!("file=fat:{},format=raw,if=none,id=esp,readonly=on", folder.path().join("esp").display());
    let medium = ["-drive", &drive, "-device", "virtio-blk-pci,drive=esp,bootindex=0"].map(str::to_owned);
    lives_and_dies(machine(folder.path(), &medium, agent)?, &conductor, agent)?;

    let inspected = conductor.received("/v1/continue_inspection");
    let interfaces = inspected.first().context("nothing was inspected")?["inventory"]["interfaces"].clone();
    let names: Vec<&str> = interfaces.as_array().into_iter().flatten().filter_map(|i| i["name"].as_str()).collect();
    assert_eq!(names, ["eth0", "eth0.77", "eth0.78"], "the VLANs that were asked for");
    assert_eq!(interfaces[1]["has_carrier"], true, "they are up");
    Ok(())
}
