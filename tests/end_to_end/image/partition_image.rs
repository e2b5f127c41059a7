//! Partition images on real disks: what the agent makes around them, judged by parted, sgdisk, blkid and mount; and what
//! is left when something fails.

use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferric_hardware::tool::Tools;
use ferric_hardware::units::Bytes;
use ferric_steps::ErrorKind;
use ferric_steps::step::Step;
use ferric_tests::fault_server::{Behaviour, Fault, FaultServer};
use ferric_tests::image::{Packing, fill_with_old};
use ferric_tests::loop_device::LoopDevice;
use serde_json::{Value, json};

use super::write_image::{Image, assert_nothing_can_boot, config_drive, deploy_in, step, tool};

const MIB: usize = 1 << 20;
const ROOT_MIB: usize = 48;
pub(super) const BIOS: &str = "boot_mode:bios";
const UEFI: &str = "boot_mode:uefi";

/// An ext4 file system that is smaller than its partition will be, with one file in it.
fn file_system() -> Image {
    let image = Image::empty(24 * MIB);
    let tree = image.path().parent().unwrap().join("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("hello"), "root file system").unwrap();
    tool("mkfs.ext4", &["-q", "-L", "cloud", "-d", tree.to_str().unwrap(), image.path().to_str().unwrap()]);
    image
}

/// What a conductor says about it.
pub(super) fn info(image: &Image) -> Value {
    let mut info = image.info();
    let partitions = json!({"image_type": "partition", "root_gb": "1", "root_mb": ROOT_MIB, "swap_mb": 8,
        "ephemeral_mb": 16, "ephemeral_format": "ext4", "preserve_ephemeral": false, "kernel": null, "ramdisk": null});
    info.as_object_mut().unwrap().extend(partitions.as_object().unwrap().clone());
    info
}

/// A step for a node that boots in this way.
pub(super) fn booting(disk: &LoopDevice, capabilities: &str) -> Step {
    let mut step = step(disk);
    step.node = Arc::new(json!({"properties": {"capabilities": capabilities}}));
    Arc::make_mut(&mut step.site.options).partitions.efi_system = Bytes::mib(40);
    step
}

/// A new disk full of an older installation.
pub(super) fn used_disk() -> LoopDevice {
    let disk = LoopDevice::new(192 << 20).unwrap();
    fill_with_old(&disk).unwrap();
    disk
}

/// Start, size (in sectors), type and boot flag of every partition.
fn table(path: &Path) -> (Value, Vec<(u64, u64, String, bool)>) {
    let table: Value = serde_json::from_str(&tool("sfdisk", &["--json", path.to_str().unwrap()])).unwrap();
    let table = &table["partitiontable"];
    let number = |value: &Value| value.as_u64().unwrap();
    let partitions = table["partitions"].as_array().unwrap().iter().map(|one| {
        let kind = one["type"].as_str().unwrap().to_string();
        (number(&one["start"]), number(&one["size"]), kind, one["bootable"].as_bool().unwrap_or(false))
    });
    (table["label"].clone(), partitions.collect())
}

/// What parted makes of the arguments that the Python agent gives it.
fn by_parted(arguments: &str) -> (Value, Vec<(u64, u64, String, bool)>) {
    let file = Image::empty(192 * MIB);
    let path = file.path();
    let fixed = ["-a", "optimal", "-s", path.to_str().unwrap(), "--", "unit", "MiB"];
    tool("parted", &[&fixed[..], &arguments.split(' ').collect::<Vec<_>>()].concat());
    table(&path)
}

fn node(disk: &LoopDevice, number: usize) -> String {
    format!("{}p{number}", disk.path().display())
}

fn blkid(disk: &LoopDevice, number: usize, tag: &str) -> String {
    tool("blkid", &["-p", "-o", "value", "-s", tag, &node(disk, number)]).trim().to_string()
}

/// Mounts partition `number` for as long as `look` looks.
pub(super) fn mounted<T>(disk: &LoopDevice, number: usize, options: &str, look: impl FnOnce(&Path) -> T) -> T {
    let point = tempfile::tempdir().unwrap();
    tool("mount", &["-o", options, &node(disk, number), point.path().to_str().unwrap()]);
    let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| look(point.path())));
    tool("umount", &[point.path().to_str().unwrap()]);
    seen.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn hello(disk: &LoopDevice, number: usize) -> String {
    mounted(disk, number, "ro", |root| std::fs::read_to_string(root.join("hello")).unwrap())
}

#[test]
fn uefi_gets_a_gpt_with_a_system_partition_and_the_root_partition_last() {
    let (disk, image) = (used_disk(), file_system());
    let (drive, text) = config_drive();
    let step = booting(&disk, UEFI);
    let mut info = info(&image);
    info["deploy_boot_mode"] = "uefi".into();
    let result = deploy_in(&step, info, Some(&text)).unwrap();

    let verdict = tool("sgdisk", &["-v", disk.path().to_str().unwrap()]);
    assert!(verdict.contains("No problems found"), "{verdict}");
    let as_python_agent = "mklabel gpt mkpart primary fat32 1 41 set 1 boot on mkpart primary  41 57 mkpart primary \
                           linux-swap 57 65 mkpart primary  65 66 mkpart primary  66 114";
    assert_eq!(table(disk.path()), by_parted(as_python_agent));
    let contents: Vec<_> =
        [1, 2, 3, 4, 5].map(|number| [blkid(&disk, number, "TYPE"), blkid(&disk, number, "LABEL")]).into();
    let expected =
        [["vfat", "efi-part"], ["ext4", "ephemeral0"], ["swap", "swap1"], ["iso9660", "config-2"], ["ext4", "cloud"]];
    assert_eq!(contents, expected);
    assert_eq!(hello(&disk, 5), "root file system");
    assert_eq!(&disk.read().unwrap()[65 * MIB..][..drive.len()], &drive);

    let (root, efi) = (blkid(&disk, 5, "UUID"), blkid(&disk, 1, "UUID"));
    let path = disk.path().display();
    let message = format!("image (image) written to device {path} root_uuid={root} efi_system_partition_uuid={efi}");
    assert_eq!(result["result"], format!("prepare_image: {message}"));
    let partitions = json!({"efi system partition": node(&disk, 1), "ephemeral": node(&disk, 2), "swap": node(&disk, 3),
        "configdrive": node(&disk, 4), "root": node(&disk, 5)});
    let expected = json!({"partitions": partitions, "root uuid": root, "efi system partition uuid": efi});
    assert_eq!(step.memory.partition_uuids(), expected);
}

#[test]
fn bios_gets_the_table_that_the_node_wants() {
    let image = file_system();
    for (capabilities, arguments, root) in [
        (
            "boot_mode:bios,disk_label:gpt",
            "mklabel gpt mkpart primary  1 2 set 1 bios_grub on mkpart primary  2 18 mkpart primary linux-swap 18 26 \
             mkpart primary  26 74",
            4,
        ),
        (
            BIOS,
            "mklabel msdos mkpart primary  1 17 mkpart primary linux-swap 17 25 mkpart primary  25 73 set 3 boot on",
            3,
        ),
    ] {
        let disk = used_disk();
        let step = booting(&disk, capabilities);
        deploy_in(&step, info(&image), None).unwrap();
        assert_eq!(table(disk.path()), by_parted(arguments), "{capabilities}");
        assert_eq!(hello(&disk, root), "root file system");
        let uuids = step.memory.partition_uuids();
        assert_eq!(uuids["root uuid"], blkid(&disk, root, "UUID").as_str());
        assert_eq!(
            (&uuids["efi system partition uuid"], &uuids["partitions"]["root"]),
            (&Value::Null, &node(&disk, root).into())
        );
    }
}

#[test]
fn a_root_partition_without_uuid_is_named_by_its_entry_in_the_table() {
    let image = Image::empty(4 * MIB);
    std::fs::write(image.path(), [0xa5; 80 << 10]).unwrap();
    for (capabilities, root) in [(UEFI, 2), (BIOS, 1)] {
        let disk = used_disk();
        let step = booting(&disk, capabilities);
        let mut info = info(&image);
        (info["swap_mb"], info["ephemeral_mb"]) = (0.into(), Value::Null);
        deploy_in(&step, info, None).unwrap();
        let by_blkid = tool("blkid", &["-p", "-o", "value", "-s", "PART_ENTRY_UUID", &node(&disk, root)]);
        assert_eq!(step.memory.partition_uuids()["root uuid"], by_blkid.trim(), "{capabilities}");
    }
}

#[test]
fn every_packing_ends_up_in_the_root_partition_and_what_is_behind_it_is_not_touched() {
    let image = file_system();
    let content = std::fs::read(image.path()).unwrap();
    for packing in Packing::ALL {
        let disk = used_disk();
        let file = packing.pack(&content).unwrap();
        std::fs::write(image.path(), &file).unwrap();
        let mut info = info(&image);
        info["disk_format"] = if file.starts_with(b"QFI\xfb") { "qcow2" } else { "raw" }.into();
        deploy_in(&booting(&disk, BIOS), info, None).unwrap();
        assert_eq!(hello(&disk, 3), "root file system", "{packing:?}");
        let now = disk.read().unwrap();
        assert!(now[25 * MIB..].starts_with(&content), "{packing:?}");
        // Between the root partition and the last MiB, where a backup of a table could be.
        assert!(now[(25 + ROOT_MIB) * MIB..191 * MIB].iter().all(|byte| *byte == 0xa5), "{packing:?}");
    }
}

/// A server that serves the image with one wrong bit.
fn damaging(image: &Image) -> FaultServer {
    FaultServer::start(std::fs::read(image.path()).unwrap(), Behaviour::default(), vec![Fault::Flip(20 * MIB)]).unwrap()
}

#[test]
fn wrong_bytes_leave_a_disk_without_partitions() {
    let image = file_system();
    for capabilities in [UEFI, BIOS] {
        let disk = used_disk();
        let mut info = info(&image);
        let server = damaging(&image);
        info["urls"] = json!([server.url("/image")]);
        let error = deploy_in(&booting(&disk, capabilities), info, None).unwrap_err();
        assert!(error.kind == ErrorKind::ImageChecksum, "{error:?}");
        assert_nothing_can_boot(&disk);
        let start = if capabilities == UEFI { 65 } else { 25 };
        let now = disk.read().unwrap();
        assert!(now[start * MIB..(start + 1) * MIB].iter().all(|byte| *byte == 0), "the file system can be mounted");
        assert!(!Path::new(&node(&disk, 1)).exists());
    }
}

#[test]
fn what_cannot_be_done_is_found_before_the_disk_is_touched() {
    let image = file_system();
    let disk = used_disk();
    let before = disk.read().unwrap();
    let change = |field: &str, value: Value| {
        let mut info = info(&image);
        info[field] = value;
        info
    };
    let mut without_tools = booting(&disk, UEFI);
    without_tools.site.tools = Tools::default();
    for (step, info, expected) in [
        (
            booting(&disk, BIOS),
            change("root_mb", 23.into()),
            "InvalidParameters: Root partition is too small for requested image. Image virtual size: 24 MB, Root size: 23 MB",
        ),
        (booting(&disk, BIOS), change("root_mb", 168.into()), "ImageWrite: "),
        (booting(&disk, UEFI), change("root_mb", 127.into()), "ImageWrite: "),
        (booting(&disk, BIOS), change("ephemeral_format", "../sh".into()), "InvalidParameters: "),
        (booting(&disk, BIOS), change("ephemeral_format", "nofs".into()), "Execution: mkfs.nofs is not installed"),
        (without_tools, info(&image), "Execution: mkfs.vfat is not installed"),
        (booting(&disk, BIOS), change("preserve_ephemeral", true.into()), "Deployment: "),
    ] {
        let error = deploy_in(&step, info, None).unwrap_err();
        let error = format!("{:?}: {}", error.kind, error.chain());
        assert!(error.starts_with(expected), "{expected}: {error}");
        assert!(disk.read().unwrap() == before, "{expected}: the disk was touched");
    }
}

/// A directory with `mkswap`, which is this script, and the other programs.
fn tools_with_mkswap(script: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mkswap = directory.path().join("mkswap");
    std::fs::write(&mkswap, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&mkswap, PermissionsExt::from_mode(0o755)).unwrap();
    directory
}

fn with_tools(mut step: Step, first: &Path) -> Step {
    let path = std::env::var_os("PATH").unwrap();
    step.site.tools =
        Tools::in_directories([first.to_path_buf()].into_iter().chain(std::env::split_paths(&path)), None);
    step
}

#[test]
fn the_table_comes_after_everything_else() {
    let (disk, image) = (used_disk(), file_system());
    let seen = tempfile::tempdir().unwrap();
    let ends = seen.path().join("ends");
    let script = format!(
        "dd if={0} bs=1M count=1 iflag=direct of={1}.first && dd if={0} bs=1M skip=191 iflag=direct of={1}.last && exec {2} \"$@\"",
        disk.path().display(),
        ends.display(),
        which("mkswap").display()
    );
    let tools = tools_with_mkswap(&script);
    deploy_in(&with_tools(booting(&disk, UEFI), tools.path()), info(&image), None).unwrap();
    for end in ["first", "last"] {
        let content = std::fs::read(ends.with_extension(end)).unwrap();
        assert!(
            content.len() == MIB && content.iter().all(|byte| *byte == 0),
            "there was a table before the end ({end})"
        );
    }
    assert_eq!(hello(&disk, 4), "root file system");
}

/// Where a program is.
pub(super) fn which(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|path| path.exists()).unwrap()
}

#[test]
fn a_file_system_that_cannot_be_made_leaves_a_disk_without_partitions() {
    let (disk, image) = (used_disk(), file_system());
    let tools = tools_with_mkswap("echo 'no swap today' >&2; exit 1");
    let error = deploy_in(&with_tools(booting(&disk, UEFI), tools.path()), info(&image), None).unwrap_err();
    assert!(error.kind == ErrorKind::Deployment && error.chain().contains("no swap today"), "{error:?}");
    assert_nothing_can_boot(&disk);
    assert!(!Path::new(&node(&disk, 1)).exists());
}

#[test]
fn an_ephemeral_partition_is_preserved_with_its_table_and_without_boot_code() {
    let (disk, image) = (used_disk(), file_system());
    for capabilities in [BIOS, "boot_mode:bios,disk_label:gpt"] {
        deploy_in(&booting(&disk, capabilities), info(&image), None).unwrap();
        let (before, ephemeral) = (table(disk.path()), if capabilities == BIOS { 1 } else { 2 });
        mounted(&disk, ephemeral, "rw", |root| std::fs::write(root.join("kept"), "by the user").unwrap());
        std::fs::OpenOptions::new().write(true).open(disk.path()).unwrap().write_all_at(&[0x90; 440], 0).unwrap();

        let mut again = info(&image);
        again["preserve_ephemeral"] = true.into();
        let server = damaging(&image);
        let mut bad = again.clone();
        bad["urls"] = json!([server.url("/image")]);
        let error = deploy_in(&booting(&disk, capabilities), bad, None).unwrap_err();
        assert!(error.kind == ErrorKind::ImageChecksum, "{error:?}");
        let now = disk.read().unwrap();
        assert!(now[..440].iter().all(|byte| *byte == 0), "boot code is left");
        let root = ephemeral + 2;
        let start = before.1[root - 1].0 as usize * 512;
        assert!(now[start..start + MIB].iter().all(|byte| *byte == 0), "the file system can be mounted");

        deploy_in(&booting(&disk, capabilities), again, None).unwrap();
        assert_eq!(table(disk.path()), before);
        assert_eq!(hello(&disk, root), "root file system");
        let kept = mounted(&disk, ephemeral, "ro", |root| std::fs::read_to_string(root.join("kept")).unwrap());
        assert_eq!(kept, "by the user");
    }
}
