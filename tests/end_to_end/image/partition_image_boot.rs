//! `install_bootloader` after a partition image: what the image brings along makes the disk boot.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use ferric_hardware::efi::BootVariables;
use ferric_hardware::machine::Machine;
use ferric_hardware::units::Bytes;
use ferric_steps::arguments::FromArguments;
use ferric_steps::deploy::bootloader::{self, InstallBootloader};
use ferric_steps::image::{Algorithm, Digest};
use ferric_steps::options::Options;
use ferric_steps::site::Site;
use ferric_steps::step::{Kind, Step};
use ferric_steps::{ErrorKind, StepError, catalogue};
use ferric_tests::image::Packing;
use ferric_tests::loop_device::LoopDevice;
use ferric_tests::vm::Machine as VirtualMachine;
use serde_json::{Value, json};

use super::partition_image::{BIOS, booting, info, mounted, used_disk, which};
use super::write_image::{Image, deploy_in, tool};

const MIB: usize = 1 << 20;
const LABEL: &str = "Ferric image";
const LOADER: &[u8] = b"loader ";
/// Files in the virtual machine.
const IMAGE: &str = "/image.raw.gz";
const IMAGE_DIGEST: &str = "/image.sha256";

/// An ext4 file system with these files.
fn file_system(files: &[(&str, &[u8])]) -> Image {
    let image = Image::empty(24 * MIB);
    let tree = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = tree.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    tool("mkfs.ext4", &["-q", "-d", tree.path().to_str().unwrap(), image.path().to_str().unwrap()]);
    image
}

/// Deploys the image and then asks for its boot loader, as the conductor does.
fn install(step: &Step, image: &Image, more: Value) -> Result<Value, StepError> {
    deploy_in(step, info(image), None).unwrap();
    let wanted = boot_arguments(step, more);
    tokio::runtime::Runtime::new().unwrap().block_on(bootloader::install_bootloader(step, wanted))
}

fn boot_arguments(step: &Step, more: Value) -> InstallBootloader {
    let uuids = step.memory.partition_uuids();
    let mut arguments =
        json!({"root_uuid": uuids["root uuid"], "efi_system_part_uuid": uuids["efi system partition uuid"]});
    let arguments = arguments.as_object_mut().unwrap();
    arguments.extend(more.as_object().unwrap().clone());
    InstallBootloader::from_arguments(arguments, step).unwrap()
}

/// What the virtual machine needs for [`deploy_in_the_machine`].
pub(crate) fn prepare(machine: &VirtualMachine) {
    let csv: Vec<u8> =
        format!("\u{feff}shimx64.efi,{LABEL},,text\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let image = file_system(&[
        ("boot/efi/EFI/debian/shimx64.efi", &LOADER.repeat(100_000)),
        ("boot/efi/EFI/debian/BOOTX64.CSV", &csv),
        ("boot/efi/EFI/BOOT/grub.cfg", b"its own"),
        ("boot/grub2/grub.cfg", b"for all"),
        ("etc/fstab", b"LABEL=root / ext4 defaults 0 1\n"),
    ]);
    let packed = Packing::Gzip.pack(&std::fs::read(image.path()).unwrap()).unwrap();
    let digest = Digest::of(Algorithm::Sha256, &packed).hex();
    std::fs::write(image.path(), packed).unwrap();
    machine.place(&image.path(), IMAGE).unwrap();
    std::fs::write(image.path(), digest).unwrap();
    machine.place(&image.path(), IMAGE_DIGEST).unwrap();
    for program in ["mkfs.vfat", "mkfs.ext4", "mkswap"] {
        machine.program(&which(program)).unwrap();
    }
}

/// Deploys a partition image to `/dev/vda` and has the firmware boot it.
pub(crate) async fn deploy_in_the_machine() {
    let mut options = Options::default();
    options.partitions.efi_system = Bytes::mib(34);
    let mut step = Step::new(Site::new(Machine::host(), options));
    step.node = Arc::new(json!({"properties": {"root_device": {"name": "/dev/vda"}}}));
    let digest = std::fs::read_to_string(IMAGE_DIGEST).unwrap();
    let info = json!({"id": "image", "urls": [format!("file://{IMAGE}")], "disk_format": "raw", "os_hash_algo": "sha256",
        "os_hash_value": digest, "image_type": "partition", "root_mb": 32, "swap_mb": 4, "ephemeral_mb": 8});
    let Value::Object(arguments) = json!({"image_info": info}) else { unreachable!() };
    catalogue::execute(Kind::Deploy, "write_image", arguments, step.clone()).await.unwrap();
    bootloader::install_bootloader(&step, boot_arguments(&step, json!({}))).await.unwrap();
    let variables = BootVariables::of(&step.site.machine).unwrap();
    let entries = variables.entries().unwrap();
    let entry = entries.iter().find(|entry| entry.option.label == LABEL).unwrap();
    assert!(entry.option.path.to_string().contains(r"\EFI\debian\shimx64.efi"), "{}", entry.option.path);
    assert_eq!(variables.order().unwrap()[0], entry.number);
}

/// What [`deploy_in_the_machine`] left on the disk, seen from outside.
pub(crate) fn verify(disk: &Path) {
    let verdict = tool("sgdisk", &["-v", disk.to_str().unwrap()]);
    assert!(verdict.contains("No problems found"), "{verdict}");
    let volume = format!("{}@@1M", disk.display());
    let content = |path: &str| tool("mtype", &["-i", &volume, &format!("::/EFI/{path}")]);
    assert!(content("debian/shimx64.efi").as_bytes() == LOADER.repeat(100_000), "the loader is not whole");
    assert_eq!((content("debian/grub.cfg"), content("BOOT/grub.cfg")), ("for all".to_string(), "its own".to_string()));
    let of_volume = ["-p", "-o", "value", "-s", "UUID", "-O", "1048576", disk.to_str().unwrap()];
    let efi = tool("blkid", &of_volume);
    let root = format!("{}?offset={}", disk.display(), 47 * MIB);
    let fstab = tool("debugfs", &["-R", "cat /etc/fstab", &root]);
    assert_eq!(
        fstab,
        format!("LABEL=root / ext4 defaults 0 1\nUUID={}\t/boot/efi\tvfat\tumask=0077\t0\t1\n", efi.trim())
    );
}

/// An image with GRUB's programs, which say how they were called.
fn image_with_grub(installer: &str) -> Image {
    let shell = std::fs::read("/bin/busybox").unwrap();
    let configurator = "#!/bin/sh\necho \"$GRUB_DISABLE_OS_PROBER $*\" > /configured\n\
        for link in /dev/disk/by-uuid/*; do if test -b \"$link\"; then echo \"$link\"; fi; done > /links\n";
    file_system(&[
        ("bin/sh", &shell),
        ("usr/sbin/grub-install", installer.as_bytes()),
        ("usr/sbin/grub-mkconfig", configurator.as_bytes()),
    ])
}

fn permitting(disk: &LoopDevice) -> Step {
    let mut step = booting(disk, BIOS);
    Arc::make_mut(&mut step.site.options).boot.install_for_bios = true;
    step
}

#[test]
fn grub_of_the_image_is_installed_when_that_is_permitted() {
    let image = image_with_grub("#!/bin/sh\ntest -b \"$1\" && test -e /proc/self && echo \"$*\" > /installed\n");
    let disk = used_disk();
    let step = permitting(&disk);
    install(&step, &image, json!({})).unwrap();
    let [installed, configured, links] = mounted(&disk, 3, "ro", |root| {
        ["installed", "configured", "links"].map(|file| std::fs::read_to_string(root.join(file)).unwrap())
    });
    assert_eq!(installed, format!("{}\n", disk.path().display()));
    assert_eq!(configured, "true -o /boot/grub/grub.cfg\n");
    let uuids = step.memory.partition_uuids();
    let link = format!("/dev/disk/by-uuid/{}", uuids["root uuid"].as_str().unwrap());
    assert!(links.lines().any(|line| line == link), "{link}: {links}");
    assert!(!Path::new(&link).exists(), "{link} is left");
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(disk.path().to_str().unwrap()), "{mounts}");
}

#[test]
fn a_disk_that_would_need_grub_is_an_error_unless_that_is_to_be_ignored() {
    let image = image_with_grub("#!/bin/sh\necho 'no room for grub' >&2; exit 1\n");
    let disk = used_disk();
    let error = install(&booting(&disk, BIOS), &image, json!({})).unwrap_err();
    assert!(error.kind == ErrorKind::InvalidImage && error.chain().contains("CVE-2026-43003"), "{error:?}");
    let error = install(&permitting(&disk), &image, json!({})).unwrap_err();
    assert!(error.kind == ErrorKind::Execution && error.chain().contains("no room for grub"), "{error:?}");
    install(&permitting(&disk), &image, json!({"ignore_bootloader_failure": true})).unwrap();
}
