//! `ferric-agent erase` on loop devices: what must be gone is gone, what must stay stays.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use ferric_tests::loop_device::LoopDevice;
use ferric_tests::process::program;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 64 * MIB;

fn erase(disk: &LoopDevice, options: &[&str]) -> Output {
    Command::new(program("ferric-agent"))
        .args(["erase", "--yes-destroy-data", "--allow-device"])
        .arg(disk.path())
        .arg("--device")
        .arg(disk.path())
        .args(options)
        .output()
        .expect("the agent starts")
}

fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn tool(name: &str, arguments: &[&str], device: &Path) -> String {
    let output = Command::new(name).args(arguments).arg(device).output().expect("the tool is installed");
    assert!(output.status.success(), "{name} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// All signatures and tables that wipefs sees.
fn signatures(device: &Path) -> String {
    tool("wipefs", &["--noheadings"], device)
}

/// A partitioned disk (2 partitions known to the kernel) with file systems on it.
fn used_disk(block_bytes: u32) -> LoopDevice {
    let disk = LoopDevice::with_block_size(SIZE, block_bytes).expect("a loop device");
    tool("sgdisk", &["-n", "1:1M:+20M", "-n", "2:0:+20M"], disk.path());
    tool("partx", &["-u"], disk.path());
    let name = disk.path().display();
    tool("mkfs.ext4", &["-q", "-F"], Path::new(&format!("{name}p1")));
    tool("mkswap", &["-q"], Path::new(&format!("{name}p2")));
    disk
}

#[test]
fn metadata_goes_from_partitions_and_both_ends_but_content_stays() {
    for block_bytes in [512, 4096] {
        let disk = used_disk(block_bytes);
        let content = [0xc7; 4096];
        File::options().write(true).open(disk.path()).unwrap().write_all_at(&content, SIZE / 2).unwrap();
        succeeds(&erase(&disk, &["--metadata"]));
        assert_eq!(signatures(disk.path()), "");
        let left = disk.read().unwrap();
        assert!(left[..MIB as usize].iter().all(|byte| *byte == 0), "start");
        assert!(left[(SIZE - MIB) as usize..].iter().all(|byte| *byte == 0), "end");
        let ext4_magic = (MIB + 1024 + 56) as usize;
        assert_eq!(left[ext4_magic..ext4_magic + 2], [0, 0]);
        assert_eq!(left[(SIZE / 2) as usize..][..4096], content);
        let partition = format!("{}p1", disk.path().display());
        assert!(!Path::new(&partition).exists(), "the kernel still knows {partition}");
    }
}

#[test]
fn every_copy_of_a_signature_goes() {
    // btrfs keeps a second superblock 64 MiB into the device; LVM, LUKS and md have their own places.
    let disk = LoopDevice::new(256 * MIB).unwrap();
    let device = File::options().write(true).open(disk.path()).unwrap();
    device.write_all_at(b"_BHRfS_M", 64 * MIB + 64).unwrap();
    device.write_all_at(b"LABELONE", 512).unwrap();
    // md 0.90: 64 KiB aligned, 64 to 128 KiB before the end; 1.0: 8 KiB before the end.
    let magic = [0xfc, 0x4e, 0x2b, 0xa9];
    device.write_all_at(&magic, 256 * MIB - 65536).unwrap();
    device.write_all_at(&magic, 256 * MIB - 8192).unwrap();
    drop(device);
    tool("mkfs.ext4", &["-q", "-F"], disk.path());
    succeeds(&erase(&disk, &["--metadata"]));
    assert_eq!(signatures(disk.path()), "");
    assert!(disk.read().unwrap()[(255 * MIB) as usize..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_full_erase_leaves_only_zeros() {
    for block_bytes in [512, 4096] {
        let disk = used_disk(block_bytes);
        File::options().write(true).open(disk.path()).unwrap().write_all_at(&[1; 4096], SIZE / 2).unwrap();
        for passes in ["0", "1"] {
            succeeds(&erase(&disk, &["--full", "--passes", passes]));
            assert!(disk.read().unwrap().iter().all(|byte| *byte == 0), "{passes} passes");
        }
        assert!(!Path::new(&format!("{}p1", disk.path().display())).exists());
    }
}

#[test]
fn an_unreadable_partition_fails_the_erase_and_the_rest_goes_all_the_same() {
    let disk = used_disk(512);
    // The second partition now lies behind the end of the disk.
    File::options().write(true).open(disk.file()).unwrap().set_len(24 * MIB).unwrap();
    tool("losetup", &["-c"], disk.path());
    let output = erase(&disk, &["--metadata"]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains(&format!("{}p2", disk.path().display())), "{message}");
    assert_eq!(signatures(disk.path()), "");
    let left = disk.read().unwrap();
    assert!(left[..(2 * MIB) as usize].iter().all(|byte| *byte == 0), "the table and the first partition's start");
}

#[test]
fn partitions_that_only_the_table_knows_do_not_come_back_with_it() {
    let disk = LoopDevice::new(SIZE).unwrap();
    let table = |disk: &LoopDevice| tool("sgdisk", &["-n", "1:1M:+20M", "-n", "2:0:+20M"], disk.path());
    table(&disk);
    tool("partx", &["-u"], disk.path());
    let name = disk.path().display().to_string();
    tool("mkfs.ext4", &["-q", "-F"], Path::new(&format!("{name}p1")));
    tool("mkswap", &["-q"], Path::new(&format!("{name}p2")));
    tool("partx", &["-d"], disk.path());
    succeeds(&erase(&disk, &["--metadata"]));
    table(&disk);
    tool("partx", &["-u"], disk.path());
    for number in [1, 2] {
        assert_eq!(signatures(Path::new(&format!("{name}p{number}"))), "");
    }
}

#[test]
fn a_mounted_disk_is_not_erased() {
    let disk = LoopDevice::new(SIZE).unwrap();
    tool("mkfs.ext4", &["-q", "-F"], disk.path());
    let directory = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount").arg(disk.path()).arg(directory.path()).status().unwrap();
    assert!(mounted.success());
    let output = erase(&disk, &["--full"]);
    Command::new("umount").arg(directory.path()).status().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("mounted") && message.contains(&disk.path().display().to_string()), "{message}");
    assert!(signatures(disk.path()).contains("ext4"));
}

#[test]
fn a_disk_of_a_shared_file_system_is_not_erased() {
    let disk = LoopDevice::new(SIZE).unwrap();
    // A VMFS partition by its type, as the kernel of another host would leave it.
    tool("sgdisk", &["-n", "1:1M:+8M", "-t", "1:AA31E02A-400F-11DB-9590-000C2911D1B8"], disk.path());
    let before = disk.read().unwrap();
    let output = erase(&disk, &["--metadata"]);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("VMware VMFS Partition (GPT)"), "{message}");
    assert!(disk.read().unwrap() == before);
}

#[test]
fn a_member_of_a_software_raid_is_left_to_the_raid_steps() {
    let disk = LoopDevice::new(SIZE).unwrap();
    let mut superblock = [0; 256];
    superblock[..4].copy_from_slice(&[0xfc, 0x4e, 0x2b, 0xa9]);
    superblock[4] = 1;
    // Where it says it is: version 1.2, 8 sectors in.
    superblock[144] = 8;
    File::options().write(true).open(disk.path()).unwrap().write_all_at(&superblock, 4096).unwrap();
    let output = erase(&disk, &["--metadata"]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("software RAID"), "{message}");
    assert_eq!(disk.read().unwrap()[4096..4100], superblock[..4]);
}

#[test]
fn nothing_is_erased_without_permission() {
    let disk = LoopDevice::new(SIZE).unwrap();
    tool("mkfs.ext4", &["-q", "-F"], disk.path());
    let agent = program("ferric-agent");
    let arguments = |extra: &[&str]| {
        let output = Command::new(&agent).args(["erase", "--device"]).arg(disk.path()).args(extra).output().unwrap();
        output.status.code()
    };
    assert_eq!(arguments(&["--metadata", "--allow-device", "/dev/null"]), Some(2), "--yes-destroy-data is missing");
    assert_eq!(arguments(&["--metadata", "--yes-destroy-data"]), Some(1), "a loop device needs --allow-device");
    assert!(signatures(disk.path()).contains("ext4"));
}

#[test]
fn the_record_is_printed_and_kept() {
    let disk = used_disk(512);
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let kept = || serde_json::from_slice::<Value>(&std::fs::read(&report).unwrap()).unwrap();
    let at = report.to_str().unwrap();
    let output = erase(&disk, &["--full", "--passes", "2", "--verify", "100", "--json", "--report", at]);
    succeeds(&output);
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(record, kept());
    let expected = json!({
        "device": disk.path(), "size_bytes": SIZE, "requested": "full", "method": "overwrite", "random_passes": 2,
        "bytes": 3 * SIZE, "verified": {"samples": SIZE / MIB, "bytes": SIZE, "found": "zeros"}, "outcome": "erased",
        "reason": null,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(record[key], *value, "{key}");
    }

    tool("mkfs.ext4", &["-q", "-F"], disk.path());
    succeeds(&erase(&disk, &["--metadata", "--report", at]));
    assert_eq!((&kept()["method"], &kept()["bytes"]), (&json!("metadata"), &json!(2 * MIB)));

    // A device that is left alone has a record as well.
    let mut superblock = [0; 256];
    superblock[..5].copy_from_slice(&[0xfc, 0x4e, 0x2b, 0xa9, 1]);
    superblock[144] = 8;
    File::options().write(true).open(disk.path()).unwrap().write_all_at(&superblock, 4096).unwrap();
    assert_eq!(erase(&disk, &["--full", "--report", at]).status.code(), Some(1));
    assert_eq!((&kept()["outcome"], &kept()["method"]), (&json!("left"), &Value::Null));
}

#[test]
fn an_erase_that_is_interrupted_says_that_the_disk_is_half_erased() {
    let disk = LoopDevice::new(SIZE).unwrap();
    let mut command = Command::new(program("ferric-agent"));
    command.args([
        "erase",
        "--yes-destroy-data",
        "--full",
        "--passes",
        "1000000",
        "--progress",
        "json",
        "--allow-device",
    ]);
    command.arg(disk.path()).arg("--device").arg(disk.path());
    let mut running = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(running.stderr.take().unwrap()).lines();
    // The first line shows that it is at work.
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(first["devices"][0]["device"], json!(disk.path()));
    let pid = Pid::from_raw(running.id() as i32);
    nix::sys::signal::kill(pid, Signal::SIGINT).unwrap();
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    assert_eq!(running.wait().unwrap().code(), Some(1));
    assert!(rest.iter().any(|line| line.contains("half erased")), "{rest:?}");
}
