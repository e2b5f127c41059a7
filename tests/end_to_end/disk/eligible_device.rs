//! Which loop devices may be touched, and that an eligible one is opened by nobody else.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;

use ferric_hardware::block::{DevicePolicy, Reason, list};
use ferric_hardware::machine::Machine;
use ferric_tests::loop_device::LoopDevice;

const SIZE_BYTES: u64 = 64 << 20;

fn allowing(disks: &[&LoopDevice]) -> DevicePolicy {
    DevicePolicy { allowed: Some(disks.iter().map(|d| d.path().to_path_buf()).collect()), skip: Vec::new() }
}

fn name(disk: &LoopDevice) -> String {
    disk.path().display().to_string()
}

#[test]
fn the_disk_of_the_running_system_is_never_eligible() {
    let machine = Machine::host();
    let root = Command::new("findmnt").args(["-no", "SOURCE", "/"]).output().unwrap();
    let root = PathBuf::from(String::from_utf8(root.stdout).unwrap().trim());
    if !root.starts_with("/dev") {
        // A root file system on no block device cannot be destroyed this way.
        return;
    }
    let everything = DevicePolicy { allowed: Some(vec![root.clone()]), skip: Vec::new() };
    for policy in [DevicePolicy::default(), everything] {
        let listing = list(&machine, &policy);
        let refused = listing.find(&machine, root.to_str().unwrap()).unwrap_err();
        let reason = refused.reason.unwrap();
        assert!(matches!(*reason, Reason::Mounted { .. } | Reason::Partition(_) | Reason::Mapped(_)), "{reason}");
    }
}

#[test]
fn a_loop_device_exists_only_when_it_is_allowed() {
    let (machine, disk) = (Machine::host(), LoopDevice::with_block_size(SIZE_BYTES, 4096).unwrap());
    let refused = list(&machine, &DevicePolicy::default()).find(&machine, &name(&disk)).unwrap_err();
    assert_eq!(refused.reason.as_deref(), Some(&Reason::Loop));

    let listing = list(&machine, &allowing(&[&disk]));
    let names: Vec<&str> = listing.eligible.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(names, [name(&disk)]);
    let device = listing.find(&machine, &name(&disk)).unwrap();
    assert_eq!((device.size_bytes, device.logical_sectors), (SIZE_BYTES, Some(4096)));
    // Its own device is allowed, but it is not a root device by IPA's minimum; the operator's choice counts.
    assert_eq!(ferric_hardware::block::root_device::choose(&listing, None).unwrap().name, name(&disk));
}

#[test]
fn a_mounted_disk_is_rejected_wherever_the_file_system_is() {
    let (machine, disk) = (Machine::host(), LoopDevice::new(SIZE_BYTES).unwrap());
    assert!(Command::new("mkfs.ext4").arg("-q").arg(disk.path()).status().unwrap().success());
    let before = list(&machine, &allowing(&[&disk])).eligible.remove(0);
    let point = tempfile::tempdir().unwrap();
    assert!(Command::new("mount").arg(disk.path()).arg(point.path()).status().unwrap().success());
    let reason = list(&machine, &allowing(&[&disk])).find(&machine, &name(&disk)).err().and_then(|r| r.reason);
    // A listing that is older than the mount does not help: opening is exclusive.
    let opened = before.open_exclusive(0).map(drop).map_err(|error| error.kind());
    assert!(Command::new("umount").arg(point.path()).status().unwrap().success());

    let at = point.path().display().to_string();
    assert_eq!(reason.as_deref(), Some(&Reason::Mounted { device: name(&disk), at }));
    assert_eq!(opened, Err(ErrorKind::ResourceBusy));
}

#[test]
fn an_eligible_device_is_opened_once() {
    let (machine, disk) = (Machine::host(), LoopDevice::new(SIZE_BYTES).unwrap());
    let device = list(&machine, &allowing(&[&disk])).eligible.remove(0);
    let first = device.open_exclusive(0).unwrap();
    assert_eq!(device.open_exclusive(0).map(drop).map_err(|error| error.kind()), Err(ErrorKind::ResourceBusy));
    drop(first);
    assert!(device.open_exclusive(libc::O_DIRECT).is_ok());
}

#[test]
fn another_disk_under_the_old_name_is_refused() {
    let (machine, disk) = (Machine::host(), LoopDevice::new(SIZE_BYTES).unwrap());
    let device = list(&machine, &allowing(&[&disk])).eligible.remove(0);
    // The name stays, the disk behind it changes.
    assert!(Command::new("losetup").arg("--detach").arg(disk.path()).status().unwrap().success());
    assert!(Command::new("losetup").arg(disk.path()).arg(disk.file()).status().unwrap().success());
    let refused = device.open_exclusive(0).map(drop).map_err(|error| error.kind());
    assert_eq!(refused, Err(ErrorKind::NotFound));
}

#[test]
fn a_device_that_somebody_has_open_exclusively_is_rejected() {
    let (machine, disk) = (Machine::host(), LoopDevice::new(SIZE_BYTES).unwrap());
    let held = list(&machine, &allowing(&[&disk])).eligible.remove(0).open_exclusive(0).unwrap();
    let refused = list(&machine, &allowing(&[&disk])).find(&machine, &name(&disk)).unwrap_err();
    assert_eq!(refused.reason.as_deref(), Some(&Reason::OpenExclusively));
    drop(held);
    assert!(list(&machine, &allowing(&[&disk])).find(&machine, &name(&disk)).is_ok());
}
