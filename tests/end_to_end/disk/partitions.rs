//! Partition tables on loop devices, with gdisk and the kernel as judges.

use std::path::{Path, PathBuf};
use std::process::Command;

use ferric_hardware::block::{self, DevicePolicy, EligibleDevice};
use ferric_hardware::gpt::{self, Gpt};
use ferric_hardware::machine::Machine;
use ferric_hardware::mbr::{self, Mbr};
use ferric_hardware::open_device::{Access, OpenDevice};
use ferric_hardware::partitions;
use ferric_hardware::units::{Bytes, Lba};
use ferric_tests::loop_device::LoopDevice;

const SIZE: Bytes = Bytes::mib(64);

fn eligible(path: &Path) -> EligibleDevice {
    let policy = DevicePolicy { allowed: Some(vec![path.to_path_buf()]), skip: Vec::new() };
    block::list(&Machine::host(), &policy).eligible.remove(0)
}

fn sgdisk(arguments: &[&str], file: &Path) -> String {
    let output = Command::new("sgdisk").args(arguments).arg(file).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_table_of_ours_is_without_fault_for_gdisk_and_known_to_the_kernel() {
    for block_bytes in [512, 4096] {
        let disk = LoopDevice::with_block_size(SIZE.0, block_bytes).unwrap();
        let device = eligible(disk.path());
        let open = OpenDevice::open(&Machine::host(), &device, Access::Write).unwrap();
        let mut table =
            Gpt::create(open.size(), open.block_size(), "0c0ffee0-0000-4000-8000-000000000001".parse().unwrap())
                .unwrap();
        let mib = (1 << 20) / u64::from(block_bytes);
        table
            .add(gpt::EFI_SYSTEM, "0c0ffee0-0000-4000-8000-000000000002".parse().unwrap(), Lba(mib), Lba(9 * mib - 1))
            .unwrap();
        table
            .add_at_end(gpt::LINUX_FILE_SYSTEM, "0c0ffee0-0000-4000-8000-000000000003".parse().unwrap(), Bytes::mib(10))
            .unwrap();
        table.write(open.file()).unwrap();
        let known = partitions::reread(&Machine::host(), &device, &open).unwrap();
        assert_eq!(known.iter().map(|partition| partition.number).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((known[0].start, known[0].size), (Bytes::mib(1), Bytes::mib(8)));
        assert!(known.iter().all(|partition| PathBuf::from(&partition.name).exists()));
        drop(open);
        let verdict = sgdisk(&["-v"], disk.path());
        assert!(verdict.contains("No problems found"), "{verdict}");
        assert!(sgdisk(&["-i", "1"], disk.path()).contains("EFI system partition"));
    }
}

#[test]
fn a_table_of_a_smaller_disk_is_mended_as_gdisk_would() {
    let disk = LoopDevice::new(SIZE.0).unwrap();
    let image = tempfile::NamedTempFile::new().unwrap();
    image.as_file().set_len(Bytes::mib(32).0).unwrap();
    sgdisk(&["-n", "1:1M:+8M", "-n", "2:0:0"], image.path());
    std::fs::write(disk.path(), std::fs::read(image.path()).unwrap()).unwrap();
    assert!(sgdisk(&["-v"], disk.path()).contains("doesn't reside"), "gdisk sees the fault");
    let device = eligible(disk.path());
    let open = OpenDevice::open(&Machine::host(), &device, Access::Write).unwrap();
    let mut table = Gpt::read(open.file(), open.size(), open.block_size()).unwrap().unwrap();
    let before = table.partitions();
    table.fit_to_disk().unwrap();
    table.write(open.file()).unwrap();
    drop(open);
    assert!(sgdisk(&["-v"], disk.path()).contains("No problems found"));
    let open = OpenDevice::open(&Machine::host(), &device, Access::Read).unwrap();
    let mended = Gpt::read(open.file(), open.size(), open.block_size()).unwrap().unwrap();
    assert!(mended.is_sound());
    assert_eq!(mended.partitions(), before);
}

#[test]
fn the_kernel_follows_each_change_of_the_table() {
    let disk = LoopDevice::new(SIZE.0).unwrap();
    let machine = Machine::host();
    let device = eligible(disk.path());
    let open = OpenDevice::open(&machine, &device, Access::Write).unwrap();
    let block = open.block_size();
    let mut table = Mbr::create(0x0bad_cafe);
    for first in [2048, 6144] {
        table.add(mbr::LINUX, Lba(first), 2048, block).unwrap();
    }
    table.write(open.file()).unwrap();
    assert_eq!(partitions::reread(&machine, &device, &open).unwrap().len(), 2);
    table.remove(1);
    table.add(mbr::LINUX, Lba(10_240), 4096, block).unwrap();
    table.write(open.file()).unwrap();
    let known = partitions::reread(&machine, &device, &open).unwrap();
    assert_eq!(known.iter().map(|p| (p.number, p.start.0 / 512)).collect::<Vec<_>>(), [(1, 10_240), (2, 6144)]);
    partitions::forget(&machine, &device, &open).unwrap();
    assert_eq!(partitions::list(&machine, &device), []);
}
