//! What `make ramdisk` made, booted by the firmware of virtual machines: from CD, USB stick and disk, by UEFI with Secure
//! Boot and by BIOS. The agent comes up, is found by its parameters on the kernel command line, and can switch the machine
//! off or hand it over.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
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
use ferric_tests::qemu::{Firmware, Machine, snakeoil};

/// Booting takes 15 s on an idle machine; software emulation beside other work takes many times that.
const BOOT: Duration = Duration::from_secs(300);

/// A copy of the ISO with further kernel arguments.
fn iso_with(folder: &Path, arguments: &[&str]) -> Result<PathBuf> {
    let iso = folder.join("node.iso");
    fs::copy(artefact::ramdisk("ferric.iso")?, &iso)?;
    let append = ["iso", "kargs", "append"];
    let done = Command::new(program("ferric-ignition")).args(append).arg(&iso).args(arguments).status()?;
    ensure!(done.success(), "ferric-ignition failed");
    Ok(iso)
}

/// Sends a command, which it need not survive, to the agent behind this port.
fn command(port: u16, body: &str) -> Result<String> {
    let url = format!("https://127.0.0.1:{port}/v1/commands/?wait=false&agent_token={TOKEN}");
    let header = "Content-Type: application/json";
    let sent = Command::new("curl").args(["-sSk", "--max-time", "60", "-H", header, "-d", body, &url]).output()?;
    ensure!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    Ok(String::from_utf8(sent.stdout)?)
}

/// Waits for the heartbeat, then has the agent switch its machine off.
fn lives_and_dies(mut machine: Process, conductor: &Conductor, agent: u16) -> Result<()> {
    machine.wait_for("heartbeat sent", BOOT)?;
    let heartbeat = conductor.heartbeat(Duration::from_secs(5))?;
    assert_eq!(heartbeat["callback_url"], "https://10.0.2.15:9999");
    command(agent, r#"{"name": "standby.power_off", "params": {}}"#).with_context(|| machine.log())?;
    assert_eq!(machine.wait(BOOT)?, Some(0), "{}", machine.log());
    assert!(machine.log().contains("Power down"), "{}", machine.log());
    Ok(())
}

#[test]
fn what_others_read_passes_their_own_checks() -> Result<()> {
    let initramfs = artefact::ramdisk("initramfs.img")?;
    let checked = Command::new("zstd").arg("--test").arg(&initramfs).output()?;
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    assert_eq!(fs::metadata(&initramfs)?.len() % 4, 0, "where the kernel looks for the next archive");
    for (ours, theirs) in
        [("vmlinuz", "ironic-python-agent.kernel"), ("initramfs.img", "ironic-python-agent.initramfs")]
    {
        assert!(fs::read(artefact::ramdisk(ours)?)? == fs::read(artefact::ramdisk(theirs)?)?, "{theirs}");
    }
    let checked = Command::new("fsck.vfat").arg("-n").arg(artefact::ramdisk("esp.img")?).output()?;
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    for (name, limit_mib) in [("ferric.iso", 31), ("ferric.efi", 23)] {
        let size = fs::metadata(artefact::ramdisk(name)?)?.len();
        assert!(size <= limit_mib << 20, "{name} has {size} bytes");
    }
    Ok(())
}

#[test]
fn an_iso_without_parameters_says_on_every_console_what_is_missing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut machine = Machine::new(folder.path(), Firmware::Bios, "user")?;
    machine.cd(&artefact::ramdisk("ferric.iso")?);
    let mut running = machine.start()?;
    let missing = "no api_url is set";
    running.wait_for(missing, BOOT)?;
    let screen = machine.screen()?;
    assert!(screen.contains(missing) && screen.contains("ipa-api-url="), "{screen}");
    let said = running.log().matches(missing).count();
    let again = (0..600).any(|_| {
        std::thread::sleep(Duration::from_millis(200));
        running.log().matches(missing).count() > said
    });
    assert!(again, "it was said once\n{}", running.log());
    Ok(())
}

#[test]
fn the_iso_boots_as_virtual_media_with_secure_boot() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (conductor, agent) = (Conductor::start()?, free_port()?);
    let url = format!("ipa-api-url=http://10.0.2.2:{}", conductor.port());
    let iso = iso_with(folder.path(), &[&url])?;
    let shown = Command::new(peers::folder()?.join("bin/coreos-installer"))
        .args(["iso", "kargs", "show"])
        .arg(&iso)
        .output()?;
    assert!(String::from_utf8_lossy(&shown.stdout).contains(&url), "coreos-installer does not see what we wrote");

    let network = format!("user,hostfwd=tcp:127.0.0.1:{agent}-:9999");
    let mut machine = Machine::new(folder.path(), Firmware::SecureBoot, &network)?;
    for device in ["virtio-blk-pci", "nvme,serial=N1", "ide-hd"] {
        machine.disk(device.split(',').next().unwrap_or_default(), device)?;
    }
    machine.cd(&iso);
    lives_and_dies(machine.start()?, &conductor, agent)
}

#[test]
fn a_usb_stick_boots_with_secure_boot_and_the_machine_is_rescued() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (conductor, agent, ssh) = (Conductor::start()?, free_port()?, free_port()?);
    let url = format!("ipa-api-url=http://10.0.2.2:{}", conductor.port());
    let network = format!("user,hostfwd=tcp:127.0.0.1:{agent}-:9999,hostfwd=tcp:127.0.0.1:{ssh}-:22");
    let mut machine = Machine::new(folder.path(), Firmware::SecureBoot, &network)?;
    machine.disk("nvme0", "nvme,serial=N1")?;
    machine.disk("nvme1", "nvme,serial=N2")?;
    machine.add("-device virtio-scsi-pci,id=scsi");
    for _ in 0..2 {
        machine.disk("two-paths", "scsi-hd,bus=scsi.0,serial=TWOPATHS,wwn=0x5000c500a1b2c3d4,share-rw=on")?;
    }
    machine.usb_stick(&iso_with(folder.path(), &[&url])?);
    let mut running = machine.start()?;
    running.wait_for("heartbeat sent", BOOT)?;

    let rescue = r#"{"name": "rescue.finalize_rescue", "params": {"rescue_password": "open sesame"}}"#;
    let answer = command(agent, rescue)?;
    assert!(answer.contains("SUCCEEDED"), "{answer}");
    running.wait_for("log in as rescue", BOOT)?;
    let shell = |password: &str, command: &str| {
        Command::new("dbclient")
            .args(["-y", "-y", "-p", &ssh.to_string(), "rescue@127.0.0.1", command])
            .env("DROPBEAR_PASSWORD", password)
            .env("HOME", folder.path())
            .output()
    };
    let run = |command: &str| -> Result<String> {
        let output = shell("open sesame", command)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command}: {said}\n{}", running.log());
        Ok(said)
    };
    // The first caller waits for the host's key.
    let mut who = run("id");
    for _ in 0..30 {
        if who.is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_secs(1));
        who = run("id");
    }
    assert!(who?.contains("uid=0"));
    assert!(!shell("another", "true")?.status.success(), "another password");
    assert!(running.log().contains("Bad password attempt"), "{}", running.log());
    run("mount -t securityfs none /sys/kernel/security")?;
    assert!(run("cat /sys/kernel/security/lockdown")?.contains("[integrity]"), "the kernel knows of Secure Boot");
    let paths = run("multipath -ll")?;
    assert_eq!(paths.matches("active ready running").count(), 2, "{paths}");
    let disks = run("ferric-agent disks")?;
    assert_eq!(disks.lines().filter(|line| line.starts_with("/dev/dm-0 ")).count(), 1, "{disks}");
    assert_eq!(disks.matches("a path of the multipath device /dev/dm-0").count(), 2, "{disks}");

    // As after a reboot: the agent's start puts an array together.
    run("mdadm --create /dev/md/root --run --level=1 --metadata=1.2 --raid-devices=2 /dev/nvme0n1 /dev/nvme1n1")?;
    run("mdadm --stop --scan && ! grep 'active raid1' /proc/mdstat")?;
    run("timeout 30 ferric-agent run; grep 'active raid1' /proc/mdstat")?;
    run("poweroff")?;
    assert_eq!(running.wait(BOOT)?, Some(0), "{}", running.log());
    Ok(())
}

#[test]
fn the_efi_program_boots_with_arguments_and_a_signature_of_its_own() -> Result<()> {
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

    let network = format!("user,hostfwd=tcp:127.0.0.1:{agent}-:9999");
    let mut machine = Machine::new(folder.path(), Firmware::OwnKeys, &network)?;
    machine.disk("disk", "virtio-blk-pci")?;
    machine.add(&format!(
        "-drive file=fat:{},format=raw,if=none,id=esp,readonly=on -device virtio-blk-pci,drive=esp,bootindex=0",
        folder.path().join("esp").display()
    ));
    let mut refused = machine.start()?;
    refused.wait_for("Access Denied", BOOT)?;
    refused.kill();

    let (key, certificate) = snakeoil(folder.path())?;
    let signer = ["--key".as_ref(), key.as_os_str(), "--cert".as_ref(), certificate.as_os_str(), "--output".as_ref()];
    let signed = Command::new("sbsign").args(signer).args([&program, &program]).output()?;
    ensure!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    lives_and_dies(machine.start()?, &conductor, agent)?;

    let inspected = conductor.received("/v1/continue_inspection");
    let interfaces = inspected.first().context("nothing was inspected")?["inventory"]["interfaces"].clone();
    let names: Vec<&str> = interfaces.as_array().into_iter().flatten().filter_map(|i| i["name"].as_str()).collect();
    assert_eq!(names, ["eth0", "eth0.77", "eth0.78"], "the VLANs that were asked for");
    assert_eq!(interfaces[1]["has_carrier"], true, "they are up");
    Ok(())
}
