//! What only a machine of its own can prove: disks that fail, NVMe that erases itself, SCSI and SATA disks, LVM, software
//! RAID, and boot entries in UEFI firmware. One virtual machine runs the steps; the host looks at what is left.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use ferric_hardware::efi::{BootVariables, DevicePath, HardDrive, LoadOption, Signature};
use ferric_hardware::machine::Machine as Host;
use ferric_hardware::units::Lba;
use ferric_steps::arguments::Arguments;
use ferric_steps::clean::{burnin, erase, express, metadata, raid};
use ferric_steps::deploy::bootloader::{self, InstallBootloader};
use ferric_steps::deploy::root_device;
use ferric_steps::options::Options;
use ferric_steps::site::Site;
use ferric_steps::step::{Kind, Step};
use ferric_steps::{ErrorKind, catalogue};
use ferric_tests::vm::Machine;
use serde_json::{Value, json};

use super::{failing_disk, other_acts, slow_disks};
use crate::image::partition_image_boot;

const MIB: u64 = 1 << 20;
const DISK: u64 = 96 * MIB;
/// Emulated, on a busy host.
const LIMIT: Duration = Duration::from_secs(600);
const MODULES: [&str; 15] = [
    "virtio_pci",
    "virtio_blk",
    "virtio_scsi",
    "sd_mod",
    "ahci",
    "nvme",
    "raid1",
    "dm_mod",
    "dm_delay",
    "dm_flakey",
    "efivarfs",
    "ext4",
    "vfat",
    "nls_cp437",
    "nls_ascii",
];
/// What the machine prints for [`wear_out`].
const WEAR_OUT: &str = "FERRIC-VM-WEAR";
const KEPT_LABEL: &str = "Ferric kept";

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A disk as a distribution leaves it: an EFI system partition with a loader and the CSV file that names it.
fn deployed_disk(file: &Path) {
    run(Command::new("sgdisk").args(["-n", "1:1M:+40M", "-t", "1:ef00"]).arg(file));
    let directory = tempfile::tempdir().unwrap();
    let utf16: Vec<u8> = "\u{feff}shimx64.efi,Debian,,text\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(directory.path().join("BOOTX64.CSV"), utf16).unwrap();
    fs::write(directory.path().join("shimx64.efi"), "loader").unwrap();
    let partition = format!("{}@@1M", file.display());
    run(Command::new("mformat").args(["-i", &partition, "-T", "81920", "::"]));
    run(Command::new("mmd").args(["-i", &partition, "::/EFI", "::/EFI/debian"]));
    for name in ["BOOTX64.CSV", "shimx64.efi"] {
        let source = directory.path().join(name);
        run(Command::new("mcopy").args(["-i", &partition]).arg(source).arg("::/EFI/debian/"));
    }
}

#[test]
fn disks_arrays_and_boot_entries_of_a_uefi_machine() {
    let mut machine = Machine::new(&[&MODULES[..], &other_acts::MODULES].concat()).unwrap();
    machine.qemu(&["-device", "virtio-scsi-pci,id=scsi"]);
    let mut erased = Vec::new();
    for device in [
        "nvme,id=worn,serial=FERRIC-NVME",
        "nvme-ns,bus=shared,nsid=1,logical_block_size=4096,physical_block_size=4096",
        "nvme-ns,bus=shared,nsid=2",
        "scsi-hd,bus=scsi.0,serial=FERRIC-SCSI",
        "ide-hd,serial=FERRIC-ATA",
    ] {
        if erased.len() == 1 {
            machine.qemu(&["-device", "nvme,id=shared,serial=FERRIC-SHARED"]);
        }
        let file = machine.disk(device, DISK).unwrap();
        fs::write(&file, "former user's data. ".repeat((DISK / 20) as usize)).unwrap();
        fs::File::options().write(true).open(&file).unwrap().set_len(DISK).unwrap();
        erased.push(file);
    }
    let deployed = machine.disk("virtio-blk-pci", DISK).unwrap();
    deployed_disk(&deployed);
    failing_disk::prepare(&machine);
    other_acts::prepare(&machine);
    wear_out(&mut machine);
    slow_disks::prepare(&mut machine);
    partition_image_boot::prepare(&machine);
    let this = std::env::current_exe().unwrap();
    machine.program(&this).unwrap();
    machine.program(Path::new("/sbin/mdadm")).unwrap();
    machine.program(Path::new("/sbin/lvm")).unwrap();
    machine.program(Path::new("/usr/sbin/smartctl")).unwrap();
    let name = this.file_name().unwrap().to_str().unwrap();
    let command = format!("{name} --ignored --exact disk::virtual_machine::inside --nocapture --test-threads 1");
    let console = machine.run(&command, LIMIT).unwrap();
    assert!(console.contains("1 passed"), "{console}");
    console.lines().filter(|line| line.contains(slow_disks::MEASURED)).for_each(|line| println!("{line}"));
    for file in erased {
        assert!(fs::read(&file).unwrap().iter().all(|byte| *byte == 0), "{}", file.display());
    }
    partition_image_boot::verify(&deployed);
    let label: Vec<u8> = KEPT_LABEL.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let firmware = fs::read(machine.file("vars.fd")).unwrap();
    assert!(firmware.windows(label.len()).any(|window| window == label), "the entry is not in the firmware's flash");
}

fn step(node: Value) -> Step {
    let mut step = Step::new(Site::new(Host::host(), Options::default()));
    step.node = Arc::new(node);
    step
}

fn first_bytes(device: &str) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    fs::File::open(device).unwrap().read_exact_at(&mut bytes, 40 * MIB).unwrap();
    bytes
}

#[test]
#[ignore = "runs in the virtual machine that the test above boots"]
fn inside() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        failing_disk::inside().await;
        smartctl_agrees_about_health().await;
        a_disk_that_says_that_it_fails_does_not_stand_the_burn_in().await;
        a_member_of_an_array_that_nobody_assembled_is_not_formatted().await;
        nvme_erases_itself_and_the_others_are_overwritten().await;
        a_volume_group_of_a_former_user_goes_with_its_disks().await;
        an_array_is_made_left_alone_and_deleted().await;
        the_firmware_gets_and_loses_entries().await;
        partition_image_boot::deploy_in_the_machine().await;
        other_acts::inside().await;
        slow_disks::inside().await;
    });
}

/// The machine has no fio, so that Ferric burns the disks in by itself; smartctl has the last word on what is no NVMe device, and
/// judges what Ferric says of one that is.
async fn smartctl_agrees_about_health() {
    let smartctl = |arguments: &[&str]| {
        let output = Command::new("smartctl").args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let options = Options { allowed_devices: Some(vec!["/dev/sdb".into()]), ..Options::default() };
    let mut step = Step::new(Site::new(Host::host(), options));
    step.node = Arc::new(
        json!({"driver_info": {"agent_burnin_fio_disk_runtime": 1, "agent_burnin_fio_disk_smart_test": true}}),
    );
    assert!(smartctl(&["-l", "selftest", "/dev/sdb"]).contains("No self-tests have been logged"));
    let records = burnin::burnin_disk(&step).await.unwrap();
    assert_eq!(records["/dev/sdb"]["health"], "passed", "{records}");
    let tests = smartctl(&["-l", "selftest", "/dev/sdb"]);
    assert!(tests.contains("Extended offline") && tests.contains("Completed without error"), "{tests}");
    let health = smartctl(&["-H", "/dev/nvme0n1"]);
    assert!(health.contains("test result: PASSED"), "{health}");
}

/// Has QEMU let the first NVMe controller say that it has become unreliable, once the machine asks for that.
fn wear_out(machine: &mut Machine) {
    let warning = json!({"path": "/machine/peripheral/worn", "property": "smart_critical_warning", "value": 4});
    machine.when(WEAR_OUT, vec![json!({"execute": "qom-set", "arguments": warning})]);
}

async fn a_disk_that_says_that_it_fails_does_not_stand_the_burn_in() {
    let options = Options { allowed_devices: Some(vec!["/dev/nvme0n1".into()]), ..Options::default() };
    let mut step = Step::new(Site::new(Host::host(), options));
    step.node = Arc::new(json!({"driver_info": {"agent_burnin_fio_disk_runtime": 1}}));
    let records = burnin::burnin_disk(&step).await.unwrap();
    let record = &records["/dev/nvme0n1"];
    assert_eq!((&record["outcome"], &record["health"]), (&json!("passed"), &json!("passed")), "{record}");
    println!("{WEAR_OUT}");
    let since = std::time::Instant::now();
    let error = loop {
        match burnin::burnin_disk(&step).await {
            Ok(records) => assert!(since.elapsed() < LIMIT / 4, "{records}"),
            Err(error) => break error.chain(),
        }
    };
    assert!(error.contains("\"/dev/nvme0n1\": it has become unreliable"), "{error}");
    let judged = Command::new("smartctl").args(["-H", "/dev/nvme0n1"]).output().unwrap();
    let judged = String::from_utf8_lossy(&judged.stdout);
    assert!(judged.contains("FAILED") && judged.contains("reliability has been degraded"), "{judged}");
}

/// Express erase formats NVMe devices: not those that an array needs, and really the others.
async fn a_member_of_an_array_that_nobody_assembled_is_not_formatted() {
    let mdadm = |arguments: &[&str]| run(Command::new("mdadm").args(arguments));
    let others = ["vda", "sda", "sdb", "nvme1n1", "nvme1n2"].map(|name| json!({"name": format!("/dev/{name}")}));
    let step = step(json!({"uuid": "n", "properties": {"skip_block_devices": others}}));
    mdadm(&[
        "--create",
        "/dev/md9",
        "--run",
        "--name=data",
        "--level=1",
        "--raid-devices=2",
        "/dev/nvme0n1",
        "missing",
    ]);
    mdadm(&["--stop", "/dev/md9"]);
    express::erase_devices_express(&step).await.unwrap();
    let chosen = |volume: &str| {
        let skip = [json!({"name": "/dev/vda"}), json!({"volume_name": volume})];
        let node = json!({"properties": {"skip_block_devices": skip, "root_device": {"name": "/dev/nvme0n1"}}});
        root_device::look(&self::step(node)).is_ok()
    };
    assert!(chosen("other") && !chosen("data"), "a member of a kept array can be installed to");
    let data = first_bytes("/dev/nvme0n1");
    assert!(data.iter().any(|byte| *byte != 0), "a member was formatted");
    mdadm(&["--zero-superblock", "/dev/nvme0n1"]);
    assert_eq!(first_bytes("/dev/nvme0n1"), data);
    express::erase_devices_express(&step).await.unwrap();
    assert!(first_bytes("/dev/nvme0n1").iter().all(|byte| *byte == 0), "only its metadata is gone");
    fs::write("/dev/nvme0n1", "former user's data. ".repeat((DISK / 20) as usize)).unwrap();
}

async fn nvme_erases_itself_and_the_others_are_overwritten() {
    let node = |zeroize: bool| {
        json!({
            "properties": {"skip_block_devices": [{"name": "/dev/vda"}]},
            "driver_internal_info": {
                "agent_erase_devices_iterations": 0,
                "agent_erase_devices_zeroize": zeroize,
                "disk_erasure_concurrency": 3,
            },
        })
    };
    // Without any overwriting, only a disk that erased itself can have lost its data.
    let records = erase::erase_devices(&step(node(false))).await.unwrap();
    let devices: Vec<&String> = records.as_object().unwrap().keys().collect();
    assert_eq!(devices, ["/dev/nvme0n1", "/dev/nvme1n1", "/dev/nvme1n2", "/dev/sda", "/dev/sdb", "/dev/vda"]);
    for namespace in ["/dev/nvme0n1", "/dev/nvme1n1", "/dev/nvme1n2"] {
        let record = &records[namespace];
        assert!(record["method"].as_str().unwrap().starts_with("nvme-format-"), "{record}");
        assert_eq!((&record["outcome"], &record["verified"]["found"]), (&json!("erased"), &json!("no-old-data")));
        assert_eq!((&record["bytes"], record["model"].as_str()), (&json!(DISK), Some("QEMU NVMe Ctrl")));
        assert!(first_bytes(namespace).iter().all(|byte| *byte == 0), "{namespace}");
    }
    assert_eq!(records["/dev/vda"]["outcome"], "left");
    assert!(records["/dev/vda"]["reason"].as_str().unwrap().contains("skip_block_devices"), "{records}");
    for (disk, serial) in [("/dev/sda", "FERRIC-SCSI"), ("/dev/sdb", "FERRIC-ATA")] {
        let record = &records[disk];
        assert_eq!((&record["outcome"], &record["serial"]), (&json!("left"), &json!(serial)), "{record}");
        // What it lacks is named, command by command.
        let not_used: Vec<&str> =
            record["not_used"].as_array().unwrap().iter().map(|entry| entry["method"].as_str().unwrap()).collect();
        assert_eq!(not_used.len(), 5, "{record}");
        assert!(not_used.contains(&"ata-secure-erase") && not_used.contains(&"scsi-sanitize-block"), "{record}");
        assert!(
            first_bytes(disk).iter().any(|byte| *byte != 0),
            "{disk} has no command that erases it: nothing may have erased it"
        );
    }
    let records = erase::erase_devices(&step(node(true))).await.unwrap();
    for disk in ["/dev/sda", "/dev/sdb"] {
        let record = &records[disk];
        assert_eq!(
            (&record["method"], &record["verified"]["found"]),
            (&json!("overwrite"), &json!("zeros")),
            "{record}"
        );
        assert_eq!((&record["bytes"], &record["random_passes"]), (&json!(DISK), &json!(0)), "{record}");
        assert!(first_bytes(disk).iter().all(|byte| *byte == 0), "{disk}");
    }
}

async fn a_volume_group_of_a_former_user_goes_with_its_disks() {
    let lvm = |arguments: &[&str]| {
        let alone = ["--config", "activation { udev_sync=0 udev_rules=0 }"];
        run(Command::new("lvm").args(&arguments[..1]).args(alone).args(&arguments[1..]));
    };
    lvm(&["vgcreate", "former", "/dev/sda", "/dev/sdb"]);
    lvm(&["lvcreate", "--yes", "--extents", "100%FREE", "--name", "data", "former"]);
    let host = Host::host();
    assert_eq!(host.names("/sys/block/sda/holders"), ["dm-0"]);
    let node = |skip: Value| json!({"properties": {"skip_block_devices": skip}});

    // A volume that rests on a skipped disk too is not taken down; then the other disk cannot be erased.
    let half = step(node(json!([{"name": "/dev/vda"}, {"name": "/dev/nvme0n1"}, {"name": "/dev/sdb"}])));
    let failed = metadata::erase_devices_metadata(&half).await.unwrap_err().to_string();
    assert!(failed.contains("/dev/sda") && failed.contains("in use by /dev/dm-0"), "{failed}");

    // Nor is one that somebody has open.
    let rest = step(node(json!([{"name": "/dev/vda"}, {"name": "/dev/nvme0n1"}])));
    let open = fs::File::open("/dev/dm-0").unwrap();
    let failed = metadata::erase_devices_metadata(&rest).await.unwrap_err().to_string();
    assert!(failed.contains("/dev/sda") && failed.contains("/dev/sdb"), "{failed}");
    drop(open);

    // Choosing one of the disks to install to changes nothing; claiming it takes down what is on it.
    let root =
        json!({"properties": {"root_device": {"name": "/dev/sda"}, "skip_block_devices": [{"name": "/dev/vda"}]}});
    let root = step(root);
    assert_eq!(root_device::look(&root).unwrap().name, "/dev/sda");
    assert_eq!(host.names("/sys/block/sda/holders"), ["dm-0"]);
    assert_eq!(root_device::claim(&root).unwrap().name, "/dev/sda");
    assert!(host.names("/sys/block/sda/holders").is_empty());
    lvm(&["vgchange", "--activate", "y", "former"]);
    assert_eq!(host.names("/sys/block/sda/holders"), ["dm-0"]);

    metadata::erase_devices_metadata(&rest).await.unwrap();
    for disk in ["sda", "sdb"] {
        assert!(host.names(format!("/sys/block/{disk}/holders")).is_empty(), "{disk}");
        let mut start = vec![0; MIB as usize];
        fs::File::open(format!("/dev/{disk}")).unwrap().read_exact_at(&mut start, 0).unwrap();
        assert!(start.iter().all(|byte| *byte == 0), "{disk} still has its LVM label");
    }
}

async fn an_array_is_made_left_alone_and_deleted() {
    let wanted = json!({"logical_disks": [{
        "raid_level": "1", "size_gb": "MAX", "controller": "software", "volume_name": "root", "is_root_volume": true,
        "physical_disks": [{"name": "/dev/sda"}, {"name": "/dev/sdb"}],
    }]});
    let node = json!({
        "uuid": "n",
        "target_raid_config": wanted,
        "properties": {"capabilities": "boot_mode:bios", "skip_block_devices": [{"name": "/dev/vda"}],
                       "root_device": {"name": "/dev/nvme0n1"}},
    });
    let step = step(node);
    let host = Host::host();
    assert_eq!(root_device::look(&step).unwrap().name, "/dev/nvme0n1");
    assert_eq!(raid::create_configuration(&step).await.unwrap(), wanted);
    assert_eq!(host.read("/sys/block/md0/md/level").as_deref(), Some("raid1"));
    assert_eq!(host.names("/sys/block/md0/slaves"), ["sda1", "sdb1"]);
    assert_eq!(root_device::look(&step).unwrap().name, "/dev/md0", "the root volume comes before the hints");
    metadata::erase_devices_metadata(&step).await.unwrap();
    assert_eq!(host.read("/sys/block/md0/md/level").as_deref(), Some("raid1"), "members belong to the RAID steps");
    let twice = raid::create_configuration(&step).await;
    assert!(twice.as_ref().is_err_and(|error| error.kind == ErrorKind::SoftwareRaid), "{twice:?}");
    raid::delete_configuration(&step).await.unwrap();
    assert!(!host.exists("/sys/block/md0/md/level"));
    assert_eq!(root_device::look(&step).unwrap().name, "/dev/nvme0n1");
    assert!(!host.exists("/sys/class/block/sda1") && !host.exists("/sys/class/block/sdb1"));
    // Nothing is left that could be assembled; the host sees that the disks are zeros.
    metadata::erase_devices_metadata(&step).await.unwrap();
    let zeros = json!({"agent_erase_devices_iterations": 0});
    let node = json!({"driver_internal_info": zeros, "properties": {"skip_block_devices": [{"name": "/dev/vda"}]}});
    erase::erase_devices(&self::step(node)).await.unwrap();
}

async fn the_firmware_gets_and_loses_entries() {
    let step = step(json!({"properties": {"root_device": {"name": "/dev/vda"}}}));
    let firmware = BootVariables::of(&step.site.machine).unwrap();
    let before = firmware.entries().unwrap();
    assert!(!before.is_empty(), "OVMF has entries of its own");
    let labels = || firmware.entries().unwrap().into_iter().map(|entry| entry.option.label).collect::<Vec<_>>();
    // The firmware's own entry of the same name, which is no disk's, is not ours to replace.
    let mut network = vec![2, 1, 12, 0, 0xd0, 0x41, 0x03, 0x0a, 0, 0, 0, 0, 3, 24, 13, 0];
    network.extend(b"http://x/");
    network.extend([0x7f, 0xff, 4, 0]);
    let network = firmware.create(&LoadOption::new("Debian", DevicePath::from_bytes(&network))).unwrap();
    for _ in 0..2 {
        bootloader::install_bootloader(&step, InstallBootloader::default()).await.unwrap();
        // The second time the first entry is replaced.
        assert_eq!(labels().iter().filter(|label| *label == "Debian").count(), 2);
    }
    assert!(firmware.entries().unwrap().iter().any(|entry| entry.number == network));
    firmware.delete(network).unwrap();
    let first = firmware.order().unwrap()[0];
    let entry = firmware.entries().unwrap().into_iter().find(|entry| entry.number == first).unwrap();
    let path = entry.option.path.to_string();
    assert_eq!(entry.option.label, "Debian");
    assert!(path.starts_with("HD(1,GPT,") && path.ends_with(r"/File(\EFI\debian\shimx64.efi)"), "{path}");
    catalogue::execute(Kind::Clean, "clean_uefi_nvram", Arguments::new(), step).await.unwrap();
    assert!(!labels().contains(&"Debian".to_string()));
    assert!(!firmware.order().unwrap().contains(&first));
    assert!(labels().len() >= before.iter().filter(|entry| entry.option.path.to_string().starts_with("Fv")).count());
    // For the host to find in the flash.
    let drive = HardDrive { number: 1, start: Lba(2048), blocks: 2048, signature: Signature::Gpt(Default::default()) };
    let number = firmware.create(&LoadOption::new(KEPT_LABEL, DevicePath::file(drive, r"\x.efi"))).unwrap();
    firmware.set_next(number).unwrap();
    assert_eq!(firmware.next().unwrap(), Some(number));
}
