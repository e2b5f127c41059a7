use super::*;

const BLOCKS: [BlockSize; 2] = [BlockSize(512), BlockSize(4096)];
const DISK: Bytes = Bytes::mib(64);

fn disk_of(size: Bytes) -> File {
    let file = tempfile::tempfile().unwrap();
    file.set_len(size.0).unwrap();
    file
}

/// A written table with one partition at 1 MiB, 8 MiB long.
fn written(disk: &File, block: BlockSize) -> Gpt {
    let mut table = Gpt::create(DISK, block, Uuid::from_u128(1)).unwrap();
    let mib = Bytes::mib(1).0 / u64::from(block.0);
    table.add(LINUX_FILE_SYSTEM, Uuid::from_u128(2), Lba(mib), Lba(9 * mib - 1)).unwrap();
    table.write(disk).unwrap();
    table
}

#[test]
fn a_written_table_reads_back_sound() {
    for block in BLOCKS {
        let disk = disk_of(DISK);
        let table = written(&disk, block);
        let read = Gpt::read(&disk, DISK, block).unwrap().unwrap();
        assert!(read.is_sound());
        assert_eq!(read.partitions(), table.partitions());
        assert_eq!(read.disk_guid(), Uuid::from_u128(1));
    }
}

#[test]
fn an_empty_disk_has_no_table() {
    assert_eq!(Gpt::read(&disk_of(DISK), DISK, BLOCKS[0]).unwrap(), None);
}

#[test]
fn the_backup_serves_when_the_primary_is_damaged() {
    for block in BLOCKS {
        let disk = disk_of(DISK);
        let table = written(&disk, block);
        disk.write_all_at(b"x", u64::from(block.0) + 60).unwrap();
        let read = Gpt::read(&disk, DISK, block).unwrap().unwrap();
        assert!(!read.is_sound());
        assert_eq!(read.partitions(), table.partitions());
        read.write(&disk).unwrap();
        assert!(Gpt::read(&disk, DISK, block).unwrap().unwrap().is_sound());
    }
}

#[test]
fn damage_to_both_copies_is_an_error() {
    let disk = disk_of(DISK);
    written(&disk, BLOCKS[0]);
    disk.write_all_at(b"x", 1024).unwrap();
    disk.write_all_at(b"x", DISK.0 - 33 * 512).unwrap();
    assert!(matches!(Gpt::read(&disk, DISK, BLOCKS[0]), Err(TableError::Damaged(_))));
}

#[test]
fn a_table_of_a_smaller_disk_is_fitted_to_the_larger_one() {
    for block in BLOCKS {
        let disk = disk_of(DISK);
        let before = written(&disk, block);
        let larger = Bytes(DISK.0 * 2);
        disk.set_len(larger.0).unwrap();
        let mut table = Gpt::read(&disk, larger, block).unwrap().unwrap();
        assert!(!table.is_sound());
        table.fit_to_disk().unwrap();
        table.write(&disk).unwrap();
        let read = Gpt::read(&disk, larger, block).unwrap().unwrap();
        assert!(read.is_sound());
        assert_eq!(read.partitions(), before.partitions());
        assert_eq!(read.disk_guid(), before.disk_guid());
        assert!(read.usable().1 > before.usable().1);
    }
}

#[test]
fn a_partition_at_the_end_starts_at_a_whole_mib_and_takes_the_first_free_number() {
    for block in BLOCKS {
        let disk = disk_of(DISK);
        let mut table = written(&disk, block);
        let added = table.add_at_end(LINUX_FILE_SYSTEM, Uuid::from_u128(3), Bytes::mib(10)).unwrap();
        assert_eq!(added.number, 2);
        assert_eq!(added.first.to_bytes(block).0 % (1 << 20), 0);
        assert_eq!(added.last, table.usable().1);
        assert!(Lba(added.blocks()).to_bytes(block) >= Bytes::mib(10));
    }
}

#[test]
fn a_partition_goes_where_it_first_fits_and_keeps_its_name() {
    for block in BLOCKS {
        let disk = disk_of(DISK);
        let mut table = written(&disk, block);
        let mut add = |mib: u64| {
            let added =
                table.add_where_it_fits(EFI_SYSTEM, Uuid::from_u128(mib.into()), Bytes::mib(mib), "uefi-holder-0");
            added.map(|added| (added.number, added.first.to_bytes(block)))
        };
        // Before the first one is only room for the table.
        assert_eq!(add(20).unwrap(), (2, Bytes::mib(9)));
        assert!(matches!(add(35), Err(TableError::NoSpace(size)) if size == Bytes::mib(35)));
        assert_eq!(add(34).unwrap(), (3, Bytes::mib(29)));
        table.remove(2);
        table.write(&disk).unwrap();
        let read = Gpt::read(&disk, DISK, block).unwrap().unwrap();
        let names: Vec<(u32, String)> = read.partitions().into_iter().map(|one| (one.number, one.name)).collect();
        assert_eq!(names, [(1, String::new()), (3, "uefi-holder-0".to_string())]);
    }
}

#[test]
fn partitions_do_not_overlap_nor_leave_the_usable_blocks() {
    let mut table = written(&disk_of(DISK), BLOCKS[0]);
    for (first, last) in [(2048, 4096), (1, 40), (100_000, 10_000_000), (20_000, 19_000)] {
        let added = table.add(LINUX_FILE_SYSTEM, Uuid::from_u128(4), Lba(first), Lba(last));
        assert!(matches!(added, Err(TableError::NoSpace(_))), "{first}..{last}");
    }
}

#[test]
fn claims_of_a_hostile_header_are_refused() {
    let disk = disk_of(DISK);
    let table = written(&disk, BLOCKS[0]);
    for (count, bytes) in [(u32::MAX, 128), (128, u32::MAX), (128, 0), (1 << 20, 128)] {
        let header =
            Header { entry_count: count, entry_bytes: bytes, alternate: Lba(u64::MAX), ..table.header.clone() };
        disk.write_all_at(&header.encode(&table.entries), 512).unwrap();
        disk.write_all_at(&[0; 512], DISK.0 - 512).unwrap();
        assert!(matches!(Gpt::read(&disk, DISK, BLOCKS[0]), Err(TableError::Damaged(_))), "{count} x {bytes}");
    }
}

#[test]
fn the_beginning_of_a_disk_shows_its_primary_table() {
    for block in BLOCKS {
        let disk = disk_of(DISK);
        let table = written(&disk, block);
        let mut head = vec![0; 64 << 10];
        disk.read_exact_at(&mut head, 0).unwrap();
        let shown = Gpt::primary(&head, block).unwrap().unwrap();
        assert_eq!(shown.partitions(), table.partitions());
        assert_eq!(shown.last_usable_on(DISK), table.usable().1);
        assert_eq!(Gpt::primary(&head[..3 * block.0 as usize], block).unwrap(), None, "its entries are not all there");
        assert_eq!(Gpt::primary(&[], block).unwrap(), None);
        let other = BLOCKS.into_iter().find(|other| *other != block).unwrap();
        assert_eq!(Gpt::primary(&head, other).unwrap(), None);
        head[2 * block.0 as usize] ^= 1;
        assert!(matches!(Gpt::primary(&head, block), Err(TableError::Damaged(_))));
    }
}
