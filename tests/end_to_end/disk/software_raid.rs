//! Software RAID whole, in virtual machines: arrays are made, lost, deleted and made again; a partition image is deployed to
//! them; then the machine boots from them, with all disks and with one of them gone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ferric_hardware::efi::BootVariables;
use ferric_hardware::machine::Machine as Host;
use ferric_hardware::units::Bytes;
use ferric_steps::arguments::FromArguments;
use ferric_steps::clean::raid;
use ferric_steps::deploy::bootloader::{self, InstallBootloader};
use ferric_steps::options::Options;
use ferric_steps::site::Site;
use ferric_steps::step::{Kind, Step};
use ferric_steps::{ErrorKind, catalogue};
use ferric_tests::artefact;
use ferric_tests::process::Process;
use ferric_tests::vm::Machine;
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;
/// Emulated, on a busy host.
const LIMIT: Duration = Duration::from_secs(600);
const MODULES: [&str; 9] =
    ["virtio_pci", "virtio_blk", "raid1", "raid10", "raid456", "ext4", "vfat", "nls_cp437", "nls_ascii"];
/// Files in the virtual machine.
const IMAGE: &str = "/root.img.zst";
const IMAGE_DIGEST: &str = "/root.img.sha256";
const IMAGE_UUID: &str = "/uuid";

/// A machine with these disks that can run this test's `inside`.
fn machine(machine: Machine, disks: &[u64]) -> (Machine, Vec<PathBuf>) {
    let mut machine = machine;
    let disks = disks.iter().map(|mib| machine.disk("virtio-blk-pci", mib * MIB).unwrap()).collect();
    let image = artefact::grub_image("root.img.zst").unwrap();
    let digest = Command::new("sha256sum").arg(&image).output().unwrap();
    let digest = String::from_utf8(digest.stdout).unwrap().split(' ').next().unwrap_or_default().to_string();
    let file = machine.file("digest");
    fs::write(&file, digest).unwrap();
    machine.place(&file, IMAGE_DIGEST).unwrap();
    machine.place(&image, IMAGE).unwrap();
    machine.place(&artefact::grub_image("uuid").unwrap(), IMAGE_UUID).unwrap();
    machine.program(&std::env::current_exe().unwrap()).unwrap();
    for program in ["/sbin/mdadm", "/sbin/mkfs.vfat"] {
        machine.program(Path::new(program)).unwrap();
    }
    (machine, disks)
}

fn run(machine: &Machine, test: &str) {
    let this = std::env::current_exe().unwrap();
    let name = this.file_name().unwrap().to_str().unwrap();
    let test = format!("disk::software_raid::{test}");
    let command = format!("{name} --ignored --exact {test} --nocapture --test-threads 1");
    let console = machine.run(&command, LIMIT).unwrap();
    assert!(console.contains("1 passed"), "{console}");
}

/// Starts a machine with these disks alone and has it boot of its own accord; with `variables` it is a UEFI machine.
fn boot(disks: &[PathBuf], variables: Option<&Path>) -> String {
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-accel", "tcg", "-machine", "q35", "-cpu", "max", "-m", "512", "-nographic", "-no-reboot"]);
    qemu.args(["-nic", "none", "-device", "virtio-rng-pci"]);
    if let Some(variables) = variables {
        let code = "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd";
        qemu.args(["-drive", code, "-drive", &format!("if=pflash,format=raw,file={}", variables.display())]);
    }
    for disk in disks {
        qemu.args(["-drive", &format!("if=virtio,format=raw,file={}", disk.display())]);
    }
    let mut machine = Process::start(&mut qemu).unwrap();
    machine.wait(LIMIT).unwrap();
    machine.log()
}

/// Boots from an array of this level with all its disks, and again without the first of them.
fn boots_without_the_first(level: &str, disks: &[PathBuf], variables: Option<&Path>) {
    let uuid = fs::read_to_string(artefact::grub_image("uuid").unwrap()).unwrap();
    for missing in [0, 1] {
        let console = boot(&disks[missing..], variables);
        let started = console.lines().find(|line| line.contains("FERRIC-GRUB started by: ")).unwrap_or_default();
        assert!(started.contains(&format!("root=UUID={} ", uuid.trim())), "{level}, {missing} missing:\n{console}");
        assert!(console.contains(&format!("active {level} ")) || console.contains(&format!(") {level} ")), "{console}");
        let state = format!("[{}/{}]", disks.len(), disks.len() - missing);
        assert!(console.contains(&state), "{level} is not {state}:\n{console}");
    }
}

#[test]
fn bios_machines_boot_from_raid_1_and_raid_5_and_from_what_is_left_of_them() {
    let (machine, disks) = machine(Machine::new(&MODULES).unwrap().with_bios(), &[1028, 1028, 420, 420, 420]);
    run(&machine, "inside_bios");
    let (first, second) = disks.split_at(2);
    thread::scope(|scope| {
        scope.spawn(|| boots_without_the_first("raid1", first, None));
        boots_without_the_first("raid5", second, None);
    });
}

#[test]
fn uefi_machines_boot_from_raid_1_and_raid_10_and_from_what_is_left_of_them() {
    let modules = [&MODULES[..], &["efivarfs"]].concat();
    let (machine, disks) = machine(Machine::new(&modules).unwrap(), &[1028, 1028, 760, 760, 760, 760]);
    run(&machine, "inside_uefi");
    let (first, second) = disks.split_at(2);
    // Each boot leaves its own marks in the firmware.
    let variables = [machine.file("vars.fd"), machine.file("vars-raid10.fd")];
    fs::copy(&variables[0], &variables[1]).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| boots_without_the_first("raid1", first, Some(&variables[0])));
        boots_without_the_first("raid10", second, Some(&variables[1]));
    });
}

fn node(capabilities: &str, level: &str, disks: &[&str], skip: Value) -> Value {
    let hints = |disks: &[&str]| disks.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
    json!({
        "uuid": "n", "instance_info": {}, "driver_internal_info": {},
        "properties": {"capabilities": capabilities, "skip_block_devices": skip},
        "target_raid_config": {"logical_disks": [
            {"raid_level": "1", "size_gb": 1, "controller": "software", "volume_name": "first",
             "physical_disks": hints(&disks[..2])},
            {"raid_level": level, "size_gb": "MAX", "controller": "software", "volume_name": "second",
             "physical_disks": hints(&disks[2..])},
        ]},
    })
}

fn step(node: Value) -> Step {
    let mut options = Options::default();
    options.partitions.efi_system = Bytes::mib(40);
    options.boot.install_for_bios = true;
    let mut step = Step::new(Site::new(Host::host(), options));
    step.node = Arc::new(node);
    step
}

fn mdadm(arguments: &[&str]) {
    let output = Command::new("mdadm").args(arguments).output().unwrap();
    assert!(output.status.success(), "mdadm {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Level, state and members of an array; nothing when there is none.
fn array(device: &str) -> Option<(String, String, Vec<String>)> {
    let host = Host::host();
    let name = device.trim_start_matches("/dev/");
    let level = host.read(format!("/sys/block/{name}/md/level"))?;
    let state = host.read(format!("/sys/block/{name}/md/array_state"))?;
    Some((level, state, host.names(format!("/sys/block/{name}/slaves"))))
}

/// Deploys the image to an array and has it made bootable.
async fn deploy(node: &Value, device: &str, boot_mode: &str) -> Step {
    let mut node = node.clone();
    node["properties"]["root_device"] = json!({"name": device});
    let step = step(node);
    let uuid = fs::read_to_string(IMAGE_UUID).unwrap();
    let info = json!({"id": "image", "urls": [format!("file://{IMAGE}")], "disk_format": "raw", "os_hash_algo": "sha256",
        "os_hash_value": fs::read_to_string(IMAGE_DIGEST).unwrap(), "image_type": "partition", "root_mb": 200,
        "swap_mb": 0, "ephemeral_mb": 0, "deploy_boot_mode": boot_mode});
    let Value::Object(arguments) = json!({"image_info": info}) else { unreachable!() };
    catalogue::execute(Kind::Deploy, "write_image", arguments, step.clone()).await.unwrap();
    let uuids = step.memory.partition_uuids();
    assert_eq!(uuids["root uuid"], uuid.trim());
    install_bootloader(&step).await;
    step
}

async fn install_bootloader(step: &Step) {
    let uuids = step.memory.partition_uuids();
    let arguments = json!({"root_uuid": uuids["root uuid"],
        "efi_system_part_uuid": uuids["efi system partition uuid"], "target_boot_mode": "uefi"});
    let wanted = InstallBootloader::from_arguments(arguments.as_object().unwrap(), step).unwrap();
    bootloader::install_bootloader(step, wanted).await.unwrap();
}

/// RAID 5 can only lose a disk when its parity has been right before; mirrors have all that was written anyway.
fn wait_for_parity(array: &str) {
    let host = Host::host();
    while host.read(format!("/sys/block/{array}/md/sync_action")).is_some_and(|action| action != "idle") {
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
#[ignore = "runs in the virtual machine that a test above boots"]
fn inside_bios() {
    let disks = ["/dev/vda", "/dev/vdb", "/dev/vdc", "/dev/vdd", "/dev/vde"];
    let node = |skip| node("boot_mode:bios,disk_label:gpt", "5", &disks, skip);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let all = step(node(json!([])));
        raid::create_configuration(&all).await.unwrap();
        let clean = |level: &str, members: &[&str]| {
            let (is_level, _, are_members) = array(if level == "raid1" { "/dev/md0" } else { "/dev/md1" }).unwrap();
            assert_eq!((is_level.as_str(), are_members), (level, members.iter().map(ToString::to_string).collect()));
        };
        clean("raid1", &["vda1", "vdb1"]);
        clean("raid5", &["vdc1", "vdd1", "vde1"]);
        let twice = raid::create_configuration(&all).await.unwrap_err();
        assert!(twice.kind == ErrorKind::SoftwareRaid && twice.to_string().contains("/dev/md0"), "{twice}");

        // One array does not run, as it has one member of three; the others of it make one that is degraded. What is kept
        // by its name stays as it is.
        wait_for_parity("md1");
        mdadm(&["--stop", "/dev/md1"]);
        let _ = Command::new("mdadm").args(["--incremental", "/dev/vde1"]).status().unwrap();
        let before = array("/dev/md0");
        let host = Host::host();
        let inactive =
            |name: &String| host.read(format!("/sys/block/{name}/md/array_state")).as_deref() == Some("inactive");
        assert!(host.names("/sys/block").iter().any(inactive), "{:?}", host.names("/sys/block"));
        let keeping = step(node(json!([{"volume_name": "first"}])));
        raid::delete_configuration(&keeping).await.unwrap();
        assert_eq!(array("/dev/md0"), before);
        let has_members =
            |name: &&String| name.starts_with("md") && !host.names(format!("/sys/block/{name}/slaves")).is_empty();
        assert!(host.names("/sys/block").iter().filter(has_members).eq(["md0"]));
        for disk in ["vdc", "vdd", "vde"] {
            assert!(!host.exists(format!("/sys/class/block/{disk}1")), "{disk} keeps its partition");
        }
        raid::create_configuration(&keeping).await.unwrap();
        assert_eq!(array("/dev/md0"), before);
        clean("raid5", &["vdc1", "vdd1", "vde1"]);

        deploy(&node(json!([])), "/dev/md0", "bios").await;
        deploy(&node(json!([])), "/dev/md1", "bios").await;
        for disk in ["vda", "vdb", "vdc", "vdd", "vde"] {
            assert!(host.exists(format!("/sys/class/block/{disk}2")), "{disk} has no BIOS boot partition");
        }
        wait_for_parity("md1");
    });
}

#[test]
#[ignore = "runs in the virtual machine that a test above boots"]
fn inside_uefi() {
    let disks = ["/dev/vda", "/dev/vdb", "/dev/vdc", "/dev/vdd", "/dev/vde", "/dev/vdf"];
    let node = node("boot_mode:uefi", "1+0", &disks, json!([]));
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        raid::create_configuration(&step(node.clone())).await.unwrap();
        assert_eq!(array("/dev/md1").unwrap().0, "raid10");
        let labels = || {
            let entries = BootVariables::of(&Host::host()).unwrap().entries().unwrap();
            let mut labels: Vec<_> = entries.into_iter().map(|entry| entry.option.label).collect();
            labels.retain(|label| label.starts_with("Ferric GRUB"));
            labels.sort();
            labels
        };
        let second = deploy(&node, "/dev/md1", "uefi").await;
        let four = [0, 1, 2, 3].map(|number| format!("Ferric GRUB (RAID, part{number})"));
        assert_eq!(labels(), four);
        let (level, _, members) = array("/dev/md2").unwrap();
        assert_eq!((level.as_str(), members), ("raid1", ["vdc2", "vdd2", "vde2", "vdf2"].map(str::to_string).to_vec()));
        assert_eq!(Host::host().read("/sys/block/md2/md/metadata_version").as_deref(), Some("1.0"));
        // Again: the system partition is where it was moved to.
        install_bootloader(&second).await;
        assert_eq!(labels(), four);

        deploy(&node, "/dev/md0", "uefi").await;
        let (_, _, members) = array("/dev/md3").unwrap();
        assert_eq!(members, ["vda2", "vdb2"]);
    });
}
