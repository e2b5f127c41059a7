//! Software RAID whole, in virtual machines: arrays are made, lost, deleted and made again; a partition image and a whole disk
//! are deployed to them; then the machine boots from them, with all disks and with one of them gone.

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
use ferric_steps::{ErrorKind, StepError, catalogue};
use ferric_tests::artefact;
use ferric_tests::disk_image;
use ferric_tests::process::Process;
use ferric_tests::vm::Machine;
use serde_json::{Value, json};

use super::whole_system;

const MIB: u64 = 1 << 20;
/// Emulated, on a busy host.
const LIMIT: Duration = Duration::from_secs(600);
const MODULES: [&str; 9] =
    ["virtio_pci", "virtio_blk", "raid1", "raid10", "raid456", "ext4", "vfat", "nls_cp437", "nls_ascii"];
/// Files in the virtual machine; beside each image lies its digest.
const IMAGE: &str = "/root.img.zst";
const WHOLE_DISK: &str = "/whole.img.zst";
const COREOS: &str = "/coreos.raw.xz";
const IMAGE_UUID: &str = "/uuid";

/// A machine with these disks that can run this test's `inside`.
fn machine(machine: Machine, disks: &[u64]) -> (Machine, Vec<PathBuf>) {
    let mut machine = machine;
    let disks = disks.iter().map(|mib| machine.disk("virtio-blk-pci", mib * MIB).unwrap()).collect();
    let folder = tempfile::tempdir().unwrap();
    for (image, at) in [
        (artefact::grub_image("root.img.zst").unwrap(), IMAGE),
        (whole_system::grub(folder.path()).unwrap(), WHOLE_DISK),
        (whole_system::coreos(folder.path()).unwrap(), COREOS),
    ] {
        let digest = folder.path().join("digest");
        fs::write(&digest, disk_image::digest("sha256sum", &image).unwrap()).unwrap();
        machine.place(&digest, &digest_of(at)).unwrap();
        machine.place(&image, at).unwrap();
    }
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

fn digest_of(image: &str) -> String {
    format!("{image}.sha256")
}

/// Starts a machine with these disks alone and has it boot of its own accord; with `variables` it is a UEFI machine. What it
/// writes is gone afterwards.
fn boot(disks: &[&PathBuf], variables: Option<&Path>) -> String {
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-accel", "tcg", "-machine", "q35", "-cpu", "max", "-m", "512", "-nographic", "-no-reboot"]);
    qemu.args(["-nic", "none", "-device", "virtio-rng-pci"]);
    let own = tempfile::NamedTempFile::new().unwrap();
    if let Some(variables) = variables {
        let code = "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd";
        fs::copy(variables, own.path()).unwrap();
        qemu.args(["-drive", code, "-drive", &format!("if=pflash,format=raw,file={}", own.path().display())]);
    }
    for disk in disks {
        qemu.args(["-drive", &format!("if=virtio,format=raw,snapshot=on,file={}", disk.display())]);
    }
    let mut machine = Process::start(&mut qemu).unwrap();
    machine.wait(LIMIT).unwrap();
    machine.log()
}

/// Boots from an array of this level with all its disks, and again without each of the first `losses` of them.
fn boots_without(losses: usize, level: &str, disks: &[PathBuf], variables: Option<&Path>) {
    let uuid = fs::read_to_string(artefact::grub_image("uuid").unwrap()).unwrap();
    for missing in std::iter::once(None).chain(disks.iter().take(losses).map(Some)) {
        let there: Vec<&PathBuf> = disks.iter().filter(|disk| Some(*disk) != missing).collect();
        let console = boot(&there, variables);
        let started = console.lines().find(|line| line.contains("FERRIC-GRUB started by: ")).unwrap_or_default();
        assert!(started.contains(&format!("root=UUID={} ", uuid.trim())), "{level} without {missing:?}:\n{console}");
        assert!(console.contains(&format!("active {level} ")) || console.contains(&format!(") {level} ")), "{console}");
        let state = format!("[{}/{}]", disks.len(), there.len());
        assert!(console.contains(&state), "{level} is not {state}:\n{console}");
    }
}

#[test]
fn bios_machines_boot_from_raid_1_and_raid_5_and_from_what_is_left_of_them() {
    let sizes = [1028, 1028, 420, 420, 420, 260, 260];
    let (machine, disks) = machine(Machine::new(&MODULES).unwrap().with_bios(), &sizes);
    run(&machine, "inside_bios");
    let (first, rest) = disks.split_at(2);
    let (second, with_mbr) = rest.split_at(3);
    thread::scope(|scope| {
        scope.spawn(|| {
            boots_without(2, "raid1", first, None);
            boots_without(2, "raid1", with_mbr, None);
        });
        boots_without(3, "raid5", second, None);
    });
}

#[test]
fn uefi_machines_boot_from_raid_1_and_raid_10_and_from_what_is_left_of_them() {
    let modules = [&MODULES[..], &["efivarfs"]].concat();
    let (machine, disks) = machine(Machine::new(&modules).unwrap(), &[1028, 1028, 760, 760, 760, 760]);
    run(&machine, "inside_uefi");
    let (first, second) = disks.split_at(2);
    let variables = machine.file("vars.fd");
    thread::scope(|scope| {
        scope.spawn(|| boots_without(1, "raid1", first, Some(&variables)));
        boots_without(1, "raid10", second, Some(&variables));
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
    options.core_os.native = true;
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

/// Deploys the partition image to an array and has it made bootable.
async fn deploy(node: &Value, device: &str, boot_mode: &str) -> Step {
    let wanted = json!({"image_type": "partition", "root_mb": 200, "swap_mb": 0, "ephemeral_mb": 0,
        "deploy_boot_mode": boot_mode});
    let step = write_image(node, device, IMAGE, wanted).await;
    let uuids = step.memory.partition_uuids();
    assert_eq!(uuids["root uuid"], image_uuid());
    install_bootloader(&step).await;
    step
}

/// Deploys the whole disk to an array and has it made bootable: Ironic knows its root file system by `rootfs_uuid` of the image.
async fn deploy_whole_disk(node: &Value, device: &str) {
    let step = write_image(node, device, WHOLE_DISK, json!({"image_type": "whole-disk-image"})).await;
    set_up_boot(&step, &json!({"root_uuid": image_uuid()})).await;
}

fn image_uuid() -> String {
    fs::read_to_string(IMAGE_UUID).unwrap().trim().to_string()
}

async fn write_image(node: &Value, device: &str, image: &str, wanted: Value) -> Step {
    let mut node = node.clone();
    node["properties"]["root_device"] = json!({"name": device});
    let step = step(node);
    let mut info = json!({"id": "image", "urls": [format!("file://{image}")], "disk_format": "raw",
        "os_hash_algo": "sha256", "os_hash_value": fs::read_to_string(digest_of(image)).unwrap()});
    info.as_object_mut().unwrap().extend(wanted.as_object().unwrap().clone());
    let Value::Object(arguments) = json!({"image_info": info}) else { unreachable!() };
    catalogue::execute(Kind::Deploy, "write_image", arguments, step.clone()).await.unwrap();
    step
}

/// Installs CoreOS to an array.
async fn install_coreos(node: &Value, device: &str) -> Result<(), StepError> {
    let mut node = node.clone();
    node["properties"]["root_device"] = json!({"name": device});
    node["automated_clean"] = json!(false);
    node["instance_info"] = json!({"image_source": format!("file://{COREOS}"), "image_os_hash_algo": "sha256",
        "image_os_hash_value": fs::read_to_string(digest_of(COREOS)).unwrap()});
    let step = step(node);
    let Value::Object(arguments) = json!({"hostname": "node-1"}) else { unreachable!() };
    catalogue::execute(Kind::Deploy, "install_coreos", arguments, step).await.map(|_| ())
}

async fn install_bootloader(step: &Step) {
    let uuids = step.memory.partition_uuids();
    let arguments =
        json!({"root_uuid": uuids["root uuid"], "efi_system_part_uuid": uuids["efi system partition uuid"]});
    set_up_boot(step, &arguments).await;
}

async fn set_up_boot(step: &Step, arguments: &Value) {
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

        let mut third = node(json!([{"volume_name": "first"}, {"volume_name": "second"}]));
        third["properties"]["capabilities"] = json!("boot_mode:bios");
        third["target_raid_config"] = json!({"logical_disks": [{
            "raid_level": "1", "size_gb": "MAX", "controller": "software", "volume_name": "third",
            "physical_disks": [{"name": "/dev/vdf"}, {"name": "/dev/vdg"}]}]});
        raid::create_configuration(&step(third.clone())).await.unwrap();
        assert_eq!(array("/dev/md2").unwrap().2, ["vdf1", "vdg1"]);
        assert!(!fs::read("/dev/vdf").unwrap()[512..].starts_with(b"EFI PART"), "it has no MBR");
        let refused = install_coreos(&third, "/dev/md2").await.unwrap_err();
        assert!(refused.chain().contains("CoreOS cannot boot from /dev/md2 by BIOS"), "{}", refused.chain());
        deploy_whole_disk(&third, "/dev/md2").await;
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
