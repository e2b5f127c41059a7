//! The ground the other tests stand on: a loop device is a disk of its own and leaves nothing behind.

use std::io::Write;
use std::process::Command;

use ferric_tests::loop_device::LoopDevice;

#[test]
fn a_disk_holds_what_is_written_and_is_gone_afterwards() {
    let disk = LoopDevice::new(8 << 20).unwrap();
    let path = disk.path().to_path_buf();
    let file = disk.file();
    let mut device = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    device.write_all(b"ferric").unwrap();
    device.sync_all().unwrap();
    drop(device);
    assert_eq!(&disk.read().unwrap()[..6], b"ferric");
    drop(disk);
    let listed = Command::new("losetup").arg("--list").output().unwrap();
    assert!(!String::from_utf8_lossy(&listed.stdout).contains(file.to_str().unwrap()));
}
