//! The disk that was deployed boots: UEFI firmware, in an emulated machine, from the disk's own bytes.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use conductor_stub::boot_image::BootImage;
use ferric_tests::loop_device::LoopDevice;
use ferric_tests::process::Process;

use ferric_tests::deployment;

const FIRMWARE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/// The EFI system partition is one that dosfstools has nothing against.
fn assert_sound(disk: &Path, work: &Path) {
    const MIB: u64 = 1 << 20;
    let mut disk = File::open(disk).unwrap();
    disk.seek(SeekFrom::Start(MIB)).unwrap();
    let partition = work.join("esp");
    std::io::copy(&mut disk.take(64 * MIB), &mut File::create(&partition).unwrap()).unwrap();
    let checked = Command::new("fsck.vfat").arg("-n").arg(&partition).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[test]
fn the_deployed_disk_boots() {
    let image = BootImage::get(&deployment::programs().cache).unwrap();
    let disk = LoopDevice::new(2 << 30).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(deployment::deploy(disk.path(), &image)).unwrap();
    let flushed = Command::new("blockdev").arg("--flushbufs").arg(disk.path()).status().unwrap();
    assert!(flushed.success());

    let work = tempfile::tempdir().unwrap();
    assert_sound(&disk.file(), work.path());
    let variables = work.path().join("vars.fd");
    std::fs::copy(VARIABLES, &variables).unwrap();
    let mut machine = Command::new("qemu-system-x86_64");
    machine.args(["-accel", "tcg", "-machine", "q35", "-cpu", "max", "-smp", "1", "-m", "1024"]);
    machine.args(["-nographic", "-no-reboot", "-nic", "none", "-device", "virtio-rng-pci"]);
    machine.args(["-drive", &format!("if=pflash,format=raw,readonly=on,file={FIRMWARE}")]);
    machine.args(["-drive", &format!("if=pflash,format=raw,file={}", variables.display())]);
    machine.args(["-drive", &format!("if=virtio,format=raw,snapshot=on,file={}", disk.file().display())]);
    let mut machine = Process::start(&mut machine).unwrap();
    machine.wait_for(&image.line, Duration::from_secs(180)).unwrap();
}
