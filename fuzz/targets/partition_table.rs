//! The start of a disk that somebody else wrote: its partition table, without panic and without end.
#![no_main]

use std::fs::File;
use std::os::unix::fs::FileExt;

use ferric_hardware::partition_table::PartitionTable;
use ferric_hardware::units::{BlockSize, Bytes};
use libfuzzer_sys::fuzz_target;
use nix::sys::memfd::{MFdFlags, memfd_create};

const DISK_BYTES: u64 = 1 << 20;

fuzz_target!(|start: &[u8]| {
    let disk = memfd_create(c"disk", MFdFlags::MFD_CLOEXEC).map(File::from).expect("a memory file");
    disk.set_len(DISK_BYTES).expect("a sparse file");
    disk.write_all_at(&start[..start.len().min(DISK_BYTES as usize)], 0).expect("room for the start");
    for block in [BlockSize(512), BlockSize(4096)] {
        if let Ok(Some(table)) = PartitionTable::read(&disk, Bytes(DISK_BYTES), block) {
            let _ = table.entries(&disk, block);
        }
    }
});
