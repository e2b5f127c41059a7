//! The step `write_image` on real disks: partition tables, config drives, and what is left after a failure.

use std::path::{Path, PathBuf};
use std::process::Command;

use ferric_hardware::machine::Machine;
use ferric_hardware::units::Bytes;
use ferric_steps::options::Options;
use ferric_steps::site::Site;
use ferric_steps::step::{Kind, Step};
use ferric_steps::{ErrorKind, StepError, catalogue};
use ferric_tests::loop_device::LoopDevice;
use serde_json::{Value, json};

const MIB: usize = 1 << 20;

/// Runs a program that must succeed; returns what it printed.
pub(super) fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// An image of this size with partitions by `sgdisk` (GPT) or `sfdisk` (MBR).
pub(super) struct Image {
    directory: tempfile::TempDir,
}

impl Image {
    pub(super) fn empty(size_bytes: usize) -> Self {
        let image = Self { directory: tempfile::tempdir().unwrap() };
        std::fs::File::create(image.path()).unwrap().set_len(size_bytes as u64).unwrap();
        image
    }

    pub(super) fn gpt(arguments: &[&str]) -> Self {
        let image = Self::empty(16 * MIB);
        let path = image.path();
        tool("sgdisk", &[arguments, &[path.to_str().unwrap()]].concat());
        image
    }

    fn mbr(script: &str) -> Self {
        let image = Self::empty(16 * MIB);
        let script_path = image.directory.path().join("script");
        std::fs::write(&script_path, script).unwrap();
        let shell = format!("sfdisk -q {} < {}", image.path().display(), script_path.display());
        tool("sh", &["-c", &shell]);
        image
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.path().join("image.raw")
    }

    pub(super) fn info(&self) -> Value {
        let digest = tool("sha256sum", &[self.path().to_str().unwrap()]);
        json!({"id": "image", "urls": [format!("file://{}", self.path().display())], "disk_format": "raw",
               "os_hash_algo": "sha256", "os_hash_value": digest.split(' ').next().unwrap()})
    }
}

/// An ISO 9660 file system with the label of a config drive, and its form on the wire.
pub(super) fn config_drive() -> (Vec<u8>, String) {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree/openstack/latest");
    std::fs::create_dir_all(&tree).unwrap();
    std::fs::write(tree.join("meta_data.json"), "{\"uuid\": \"1\"}").unwrap();
    let iso = directory.path().join("drive.iso");
    let (iso_path, tree) = (iso.to_str().unwrap(), directory.path().join("tree"));
    tool("genisoimage", &["-quiet", "-J", "-r", "-V", "config-2", "-o", iso_path, tree.to_str().unwrap()]);
    let content = std::fs::read(&iso).unwrap();
    let text = tool("sh", &["-c", &format!("gzip -c {iso_path} | base64")]);
    (content, text)
}

pub(super) fn step(disk: &LoopDevice) -> Step {
    let options = Options {
        allowed_devices: Some(vec![disk.path().to_path_buf()]),
        host_root: "/nonexistent".into(),
        steps_dir: "/nonexistent".into(),
        ..Options::default()
    };
    Step::new(Site::new(Machine::host(), options))
}

pub(super) fn deploy_with(disk: &LoopDevice, info: Value, drive: Option<&str>) -> (Result<Value, StepError>, Step) {
    let step = step(disk);
    (deploy_in(&step, info, drive), step)
}

pub(super) fn deploy_in(step: &Step, info: Value, drive: Option<&str>) -> Result<Value, StepError> {
    let Value::Object(arguments) = json!({"image_info": info, "configdrive": drive}) else { unreachable!() };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(catalogue::execute(Kind::Deploy, "write_image", arguments, step.clone()))
}

fn deploy(disk: &LoopDevice, image: &Image, drive: Option<&str>) -> Result<Value, StepError> {
    deploy_with(disk, image.info(), drive).0
}

/// Start and size in bytes of partition `number`, as sfdisk sees them.
fn partition(disk: &LoopDevice, number: usize) -> (usize, usize) {
    let text = tool("sfdisk", &["--json", disk.path().to_str().unwrap()]);
    let table: Value = serde_json::from_str(&text).unwrap();
    let table = &table["partitiontable"];
    let sector = table["sectorsize"].as_u64().unwrap_or(512) as usize;
    let node = format!("{}p{number}", disk.path().display());
    let found = table["partitions"].as_array().unwrap().iter().find(|one| one["node"] == node.as_str()).unwrap();
    let field = |name: &str| found[name].as_u64().unwrap() as usize * sector;
    (field("start"), field("size"))
}

pub(super) fn assert_nothing_can_boot(disk: &LoopDevice) {
    let content = disk.read().unwrap();
    assert!(content[..MIB].iter().all(|byte| *byte == 0), "the first MiB is not empty");
    assert!(content[content.len() - MIB..].iter().all(|byte| *byte == 0), "the last MiB is not empty");
}

fn assert_kernel_sees(disk: &LoopDevice, partitions: usize) {
    let name = disk.path().file_name().unwrap().to_str().unwrap().to_string();
    let entries = std::fs::read_dir(Path::new("/sys/class/block").join(&name)).unwrap();
    let seen = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(&name)).count();
    assert_eq!(seen, partitions);
}

#[test]
fn a_gpt_is_moved_to_the_end_of_the_disk_and_gets_the_config_drive() {
    let disk = LoopDevice::new(256 << 20).unwrap();
    let image = Image::gpt(&["-n", "1:2048:0", "-t", "1:8300"]);
    let (content, text) = config_drive();
    let (result, step) = deploy_with(&disk, image.info(), Some(&text));
    let result = result.unwrap();
    let expected =
        format!("prepare_image: image (image) written to device {} root_uuid=0x00000000", disk.path().display());
    assert_eq!(result["result"], expected);
    assert!(result["summary"]["peak_memory_bytes"].as_u64().unwrap() > 0);
    assert_eq!(step.memory.partition_uuids(), json!({"root uuid": "0x00000000"}));
    let verdict = tool("sgdisk", &["-v", disk.path().to_str().unwrap()]);
    assert!(verdict.contains("No problems found"), "{verdict}");
    let (start, size) = partition(&disk, 2);
    assert!(start + size > (255 << 20) && size >= 64 * MIB, "{start} {size}");
    assert_eq!(&disk.read().unwrap()[start..start + content.len()], &content);
    assert_kernel_sees(&disk, 2);
}

#[test]
fn an_mbr_gets_the_config_drive_in_a_free_primary_partition() {
    let disk = LoopDevice::new(256 << 20).unwrap();
    let image = Image::mbr("label: dos\nlabel-id: 0x1234abcd\nstart=2048, size=20480, type=83, bootable\n");
    let (content, text) = config_drive();
    let (result, step) = deploy_with(&disk, image.info(), Some(&text));
    result.unwrap();
    assert_eq!(step.memory.partition_uuids(), json!({"root uuid": "0x1234abcd"}));
    let (start, size) = partition(&disk, 2);
    assert_eq!((start, size), (192 * MIB, 64 * MIB));
    assert_eq!(&disk.read().unwrap()[start..start + content.len()], &content);
}

#[test]
fn a_partition_that_has_the_label_is_used_again() {
    let disk = LoopDevice::new(64 << 20).unwrap();
    let image = Image::gpt(&["-n", "1:2048:+4M", "-n", "2:0:+4M"]);
    let vfat = image.directory.path().join("vfat");
    std::fs::File::create(&vfat).unwrap().set_len(4 << 20).unwrap();
    tool("mkfs.vfat", &["-n", "CONFIG-2", vfat.to_str().unwrap()]);
    let start = 5 * MIB;
    let seek = format!("seek={}", start / MIB);
    let (from, to) = (format!("if={}", vfat.display()), format!("of={}", image.path().display()));
    tool("dd", &[&from, &to, "bs=1M", &seek, "conv=notrunc", "status=none"]);
    let (content, text) = config_drive();
    deploy(&disk, &image, Some(&text)).unwrap();
    assert_eq!(&disk.read().unwrap()[start..start + content.len()], &content);
    assert_kernel_sees(&disk, 2);
}

/// Partition `number` of the disk is FAT for others as well (not every kernel of a test machine has it), with the files of
/// [`config_drive`].
fn assert_fat_config_drive(disk: &LoopDevice, number: usize) {
    let node = format!("{}p{number}", disk.path().display());
    let content = tool("mtype", &["-i", &node, "::/openstack/latest/meta_data.json"]);
    assert_eq!(content, "{\"uuid\": \"1\"}");
    assert_eq!(tool("blkid", &["-p", "-o", "value", "-s", "LABEL", &node]).trim(), "CONFIG-2");
}

#[test]
fn a_config_drive_that_linux_could_not_mount_becomes_fat_with_the_same_files() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    let made = LoopDevice::in_directory(directory.path(), 16 << 20, 4096).unwrap();
    tool("sgdisk", &["-n", "1:256:0", made.path().to_str().unwrap()]);
    std::fs::write(&image, made.read().unwrap()).unwrap();
    drop(made);
    let digest = tool("sha256sum", &[image.to_str().unwrap()]);
    let info = json!({"id": "image", "urls": [format!("file://{}", image.display())], "disk_format": "raw",
                      "os_hash_algo": "sha256", "os_hash_value": digest.split(' ').next().unwrap()});
    let disk = LoopDevice::in_directory(directory.path(), 256 << 20, 4096).unwrap();
    deploy_with(&disk, info, Some(&config_drive().1)).0.unwrap();
    assert_fat_config_drive(&disk, 2);
}

#[test]
fn a_config_drive_is_made_anew_when_an_option_says_so() {
    let disk = LoopDevice::new(256 << 20).unwrap();
    let mut step = step(&disk);
    let options = std::sync::Arc::make_mut(&mut step.site.options);
    (options.config_drive.rebuild, options.partitions.efi_system) = (true, Bytes::mib(40));
    let drive = config_drive().1;
    deploy_in(&step, Image::gpt(&["-n", "1:2048:0"]).info(), Some(&drive)).unwrap();
    assert_fat_config_drive(&disk, 2);
    // Also around the image of one file system, and in a partition of its own size that is there already.
    let root = Image::empty(16 * MIB);
    tool("mkfs.ext4", &["-q", root.path().to_str().unwrap()]);
    let mut info = root.info();
    info.as_object_mut().unwrap().extend(
        json!({"image_type": "partition", "root_mb": 32, "deploy_boot_mode": "uefi"}).as_object().unwrap().clone(),
    );
    deploy_in(&step, info, Some(&drive)).unwrap();
    assert_fat_config_drive(&disk, 2);
}

#[test]
fn four_primary_partitions_leave_no_room_for_a_config_drive_and_nothing_to_boot() {
    let disk = LoopDevice::new(256 << 20).unwrap();
    let image = Image::mbr("label: dos\nsize=2048\nsize=2048\nsize=2048\nsize=2048\n");
    let error = deploy(&disk, &image, Some(&config_drive().1)).unwrap_err();
    assert!(
        error.kind == ErrorKind::Deployment && error.chain().contains("already has 4 primary partitions"),
        "{error:?}"
    );
    assert_nothing_can_boot(&disk);
}

#[test]
fn an_image_without_partitions_is_refused_and_taken_off_again() {
    let disk = LoopDevice::new(64 << 20).unwrap();
    let error = deploy(&disk, &Image::empty(16 * MIB), None).unwrap_err();
    assert!(
        error.kind == ErrorKind::Deployment && error.chain().starts_with("Unable to find a valid partition table"),
        "{error:?}"
    );
    let image = Image::gpt(&["-o"]);
    let error = deploy(&disk, &image, None).unwrap_err();
    assert!(error.kind == ErrorKind::Deployment && error.chain().starts_with("No partitions found"), "{error:?}");
    assert_nothing_can_boot(&disk);
}

#[test]
fn a_bare_file_system_is_an_image_too() {
    let disk = LoopDevice::new(64 << 20).unwrap();
    let image = Image::empty(16 * MIB);
    tool("mkfs.ext4", &["-q", image.path().to_str().unwrap()]);
    deploy(&disk, &image, None).unwrap();
    let written = std::fs::read(image.path()).unwrap();
    assert_eq!(&disk.read().unwrap()[..written.len()], &written);
}

#[test]
fn a_wrong_checksum_leaves_nothing_to_boot() {
    let disk = LoopDevice::new(64 << 20).unwrap();
    let image = Image::gpt(&["-n", "1:2048:0"]);
    let mut info = image.info();
    info["os_hash_value"] = "0".repeat(64).into();
    let error = deploy_with(&disk, info, None).0.unwrap_err();
    assert_eq!(error.kind, ErrorKind::ImageChecksum);
    let text = error.chain();
    assert!(
        text.contains(&format!("image checksum: {}", "0".repeat(64))) && text.contains("image ID: image"),
        "{text}"
    );
    assert_nothing_can_boot(&disk);
}

#[test]
fn a_broken_config_drive_is_found_before_the_disk_is_touched() {
    let disk = LoopDevice::new(64 << 20).unwrap();
    let old = Image::gpt(&["-n", "1:2048:0"]);
    deploy(&disk, &old, None).unwrap();
    let before = disk.read().unwrap();
    let error = deploy(&disk, &Image::gpt(&["-n", "1:2048:0"]), Some("not base64!")).unwrap_err();
    assert!(error.kind == ErrorKind::Deployment && error.chain().contains("not base64 encoded"), "{error:?}");
    assert!(disk.read().unwrap() == before, "the disk was touched");
}
