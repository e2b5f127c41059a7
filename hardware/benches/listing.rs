//! How long listing takes on machines with many disks. Prints the median; nothing is asserted.
#![expect(clippy::unwrap_used, reason = "a benchmark that meets an error stops at it")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use ferric_hardware::block::{DevicePolicy, list};
use ferric_hardware::machine::Machine;
use nix::sys::time::TimeValLike;

const ROUNDS: usize = 9;

/// Adds a SAS disk as kernel and udev show one.
fn add_disk(root: &Path, number: usize) {
    let name = format!("sd{number}");
    let place = format!("sys/devices/pci0000:00/0000:00:0{}.0/host0/0:0:{number}:0", number % 8);
    let block = root.join(&place).join("block").join(&name);
    for directory in ["queue", "holders", "slaves"] {
        fs::create_dir_all(block.join(directory)).unwrap();
    }
    let (major, minor) = (8 + number / 256, number % 256);
    for (attribute, value) in [
        ("dev", format!("{major}:{minor}")),
        ("size", "419430400".into()),
        ("ro", "0".into()),
        ("removable", "0".into()),
        ("hidden", "0".into()),
        ("diskseq", number.to_string()),
        ("queue/rotational", "0".into()),
        ("queue/logical_block_size", "512".into()),
        ("queue/physical_block_size", "4096".into()),
        ("../../vendor", "ACME".into()),
        ("../../model", "DISK".into()),
        ("../../type", "0".into()),
    ] {
        fs::write(block.join(attribute), value + "\n").unwrap();
    }
    fs::create_dir_all(root.join(&place).join(format!("scsi_device/0:0:{number}:0"))).unwrap();
    symlink("../..", block.join("device")).unwrap();
    symlink(format!("../../../{place}/block/{name}"), root.join("sys/class/block").join(&name)).unwrap();
    fs::write(
        root.join(format!("run/udev/data/b{major}:{minor}")),
        format!(
            "S:disk/by-path/pci-lun-{number}\nE:ID_PATH=pci-lun-{number}\nE:ID_MODEL=DISK\nE:ID_SERIAL={number}\n\
             E:ID_SERIAL_SHORT={number}\nE:ID_WWN=0x5000c500{number:08x}\n"
        ),
    )
    .unwrap();
    fs::write(root.join("dev").join(&name), "").unwrap();
    symlink(format!("../../{name}"), root.join(format!("dev/disk/by-path/pci-lun-{number}"))).unwrap();
}

/// Processor time of this process so far.
fn cpu_time() -> Duration {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).unwrap();
    let time = usage.user_time() + usage.system_time();
    Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap())
}

fn main() {
    let root = tempfile::tempdir().unwrap();
    for directory in ["sys/class/block", "run/udev/data", "dev/disk/by-path", "proc/1"] {
        fs::create_dir_all(root.path().join(directory)).unwrap();
    }
    fs::write(root.path().join("proc/1/mountinfo"), "1 1 0:2 / / rw - rootfs rootfs rw\n").unwrap();
    let machine = Machine::at(root.path());
    let mut disks = 0;
    for wanted in [500, 1000, 2000] {
        while disks < wanted {
            add_disk(root.path(), disks);
            disks += 1;
        }
        let cpu = cpu_time();
        let mut times: Vec<Duration> = (0..ROUNDS)
            .map(|_| {
                let start = Instant::now();
                assert_eq!(list(&machine, &DevicePolicy::default()).eligible.len(), disks);
                start.elapsed()
            })
            .collect();
        times.sort();
        let [wall, cpu] =
            [times[ROUNDS / 2], (cpu_time() - cpu) / ROUNDS as u32].map(|time| time.as_secs_f64() * 1000.0);
        println!("{disks} disks: {wall:.1} ms, {cpu:.1} ms of processor time");
    }
}
