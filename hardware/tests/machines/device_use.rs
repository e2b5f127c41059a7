//! What keeps a disk from being touched: mounts of all sorts, swap, holders, and the skip list.

use super::tree::{Tree, eligible, reason};
use ferric_hardware::block::{DevicePolicy, volumes_on};
use serde_json::{Value, json};

fn three_disks() -> Tree {
    Tree::new().disk("sda", "8:0", "pci0/a1").disk("sdb", "8:16", "pci0/a2").disk("sdc", "8:32", "pci0/a3")
}

fn mounts(lines: &str) -> Tree {
    three_disks().file("proc/1/mountinfo", lines)
}

#[test]
fn a_mount_counts_by_number_and_by_source() {
    let listing = mounts(
        "1 1 8:0 / / rw,relatime shared:1 - ext4 /dev/root rw\n\
         2 1 0:40 / /srv/a\\040b rw - fuse.x /dev/disk/by-id/b rw",
    )
    .link("dev/disk/by-id/b", "../../sdb")
    .list();
    assert_eq!(reason(&listing, "sda"), "/dev/sda is mounted at /");
    assert_eq!(reason(&listing, "sdb"), "/dev/sdb is mounted at /srv/a b");
    assert_eq!(eligible(&listing), ["sdc"]);
}

#[test]
fn btrfs_holds_all_its_devices() {
    const MOUNT: &str = "9 1 0:33 / /data rw - btrfs /dev/sda rw,space_cache=v2";
    // By what the kernel shows of the open file system.
    let listing = mounts(MOUNT)
        .link("sys/fs/btrfs/1e8b/devices/sda", "x")
        .link("sys/fs/btrfs/1e8b/devices/sdb", "x")
        .file("sys/fs/btrfs/features/raid56", "0")
        .list();
    assert_eq!(reason(&listing, "sdb"), "/dev/sdb is mounted at /data");
    assert_eq!(eligible(&listing), ["sdc"]);
    // By what udev found on the disks.
    let member = ["E:ID_FS_TYPE=btrfs", "E:ID_FS_UUID=1e8b"];
    let other = ["E:ID_FS_TYPE=btrfs", "E:ID_FS_UUID=77aa"];
    let listing = mounts(MOUNT).udev("8:0", &member).udev("8:16", &member).udev("8:32", &other).list();
    assert_eq!(reason(&listing, "sdb"), "/dev/sdb is mounted at /data");
    assert_eq!(eligible(&listing), ["sdc"]);
    // Mounted where no mount table shows it.
    let listing = three_disks().link("sys/fs/btrfs/1e8b/devices/sdb", "x").list();
    assert_eq!(reason(&listing, "sdb"), "/dev/sdb belongs to a file system in use, btrfs 1e8b");
    // The same identifier on two copies of a disk is no file system of two devices.
    let copy = ["E:ID_FS_TYPE=ext4", "E:ID_FS_UUID=1e8b"];
    let listing = mounts("9 1 8:0 / /data rw - ext4 /dev/sda rw").udev("8:0", &copy).udev("8:16", &copy).list();
    assert_eq!(eligible(&listing), ["sdb", "sdc"]);
}

#[test]
fn bcachefs_holds_all_its_devices() {
    let listing = mounts("9 1 0:33 / /data rw - bcachefs /dev/sda:/dev/sdb rw").list();
    assert_eq!(reason(&listing, "sda"), "/dev/sda is mounted at /data");
    assert_eq!(reason(&listing, "sdb"), "/dev/sdb is mounted at /data");
    assert_eq!(eligible(&listing), ["sdc"]);
    let listing = three_disks()
        .link("sys/fs/bcachefs/5c0d/dev-0/block", "../../../../devices/pci0/a1/sda")
        .link("sys/fs/bcachefs/5c0d/dev-1/block", "../../../../devices/pci0/a2/sdb")
        .list();
    assert_eq!(reason(&listing, "sda"), "/dev/sda belongs to a file system in use, bcachefs 5c0d");
    assert_eq!(eligible(&listing), ["sdc"]);
}

#[test]
fn a_zfs_pool_holds_its_devices() {
    let listing = mounts("9 1 0:33 / /tank/home rw - zfs tank/home rw,xattr")
        .udev("8:0", &["E:ID_FS_TYPE=zfs_member", "E:ID_FS_LABEL=tank"])
        .udev("8:16", &["E:ID_FS_TYPE=zfs_member", "E:ID_FS_LABEL=other"])
        .list();
    assert_eq!(reason(&listing, "sda"), "/dev/sda is mounted at /tank/home");
    assert_eq!(eligible(&listing), ["sdb", "sdc"]);
}

#[test]
fn journals_on_other_devices_belong_to_the_mount() {
    let listing = mounts("9 1 8:0 / /data rw - xfs /dev/sda rw,attr2,logdev=/dev/sdb,rtdev=/dev/sdc").list();
    assert_eq!(reason(&listing, "sdb"), "/dev/sdb is mounted at /data");
    assert_eq!(eligible(&listing), [""; 0]);
}

#[test]
fn swap_and_partitions_in_use_hold_their_disk() {
    let listing = three_disks()
        .partition("sda", "sda1", "8:1")
        .partition("sdb", "sdb1", "8:17")
        .file("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/sda1 partition 8 0 -2\n")
        .mapping("dm-0", "253:0", "CRYPT-LUKS2-x", "secret", &["sdb1"])
        .list();
    assert_eq!(reason(&listing, "sda"), "/dev/sda1 is swap space in use");
    assert_eq!(reason(&listing, "sdb"), "in use by /dev/dm-0");
    assert_eq!(eligible(&listing), ["sdc"]);
}

#[test]
fn a_skipped_disk_is_skipped_whatever_else_it_is() {
    let tree = mounts("9 1 8:0 / /data rw - ext4 /dev/sda rw").attributes("sdb", &[("ro", "1")]);
    let skipped = "skip_block_devices names it: {\"name\":\"/dev/sd";
    let listing = tree.list_skipping(json!([{"name": "/dev/sda"}, {"name": "/dev/sdb"}]));
    assert!(reason(&listing, "sda").starts_with(skipped));
    assert!(reason(&listing, "sdb").starts_with(skipped));
    assert_eq!(eligible(&listing), ["sdc"]);
}

#[test]
fn a_skipped_array_keeps_its_disks_and_a_skipped_partition_its_disk() {
    let tree = three_disks()
        .partition("sda", "sda1", "8:1")
        .disk("md0", "9:0", "virtual/block")
        .attributes("md0", &[("md/level", "raid1")])
        .built_on("md0", "sdb")
        .udev("8:1", &["E:ID_PATH=pci-1"])
        .by_path("pci-1-part1", "sda1");
    for entry in [json!({"name": "/dev/sda1"}), json!({"by_path": "/dev/disk/by-path/pci-1-part1"})] {
        let listing = tree.list_skipping(json!([entry]));
        assert!(reason(&listing, "sda").starts_with("skip_block_devices"), "{entry}");
    }
    // All partitions lack a vendor; that is not what was meant.
    let listing = tree.list_skipping(json!([{"vendor": "none", "size": "< 1"}]));
    assert_eq!(reason(&listing, "sda"), "");
    let listing = tree.list_skipping(json!([{"name": "/dev/md0"}]));
    assert!(reason(&listing, "sdb").starts_with("skip_block_devices"));
    assert_eq!(eligible(&listing), ["sda", "sdc"]);
}

#[test]
fn read_only_and_virtual_media_are_named() {
    let tree = three_disks().attributes("sda", &[("ro", "1")]).link("dev/disk/by-label/ir-vfd-dev", "../../sdb");
    let listing = tree.list();
    assert_eq!(reason(&listing, "sda"), "read-only");
    assert_eq!(reason(&listing, "sdb"), "virtual media of the BMC");
    assert_eq!(listing.disks().len(), 3);
    let machine = tree.machine();
    let error = listing.find(&machine, "/dev/sda").unwrap_err();
    assert_eq!(error.to_string(), "/dev/sda: read-only");
    assert_eq!(listing.find(&machine, "/dev/nope").unwrap_err().to_string(), "/dev/nope: no such block device");
    assert_eq!(listing.find(&machine, "/dev/sdc").unwrap().name, "/dev/sdc");
}

#[test]
fn idle_volumes_of_a_former_system_may_be_looked_beneath() {
    let volumes = |mounts: &str, uuid: &str| {
        three_disks()
            .file("proc/1/mountinfo", format!("1 1 0:2 / / rw - rootfs rootfs rw\n{mounts}"))
            .mapping("dm-0", "253:0", "CRYPT-LUKS2-abc", "secret", &["sda"])
            .mapping("dm-1", "253:1", uuid, "vg-data", &["dm-0", "sdb"])
    };
    let idle = volumes("", "LVM-abc");
    assert_eq!(eligible(&idle.list()), ["sdc"]);
    assert_eq!(eligible(&idle.list_beneath_leftovers(json!([]))), ["sda", "sdb", "sdc"]);
    // What rests on a skipped disk too stays, and so does what holds the other one.
    assert_eq!(eligible(&idle.list_beneath_leftovers(json!([{"name": "/dev/sdb"}]))), ["sdc"]);
    let mounted = volumes("2 1 253:1 / /data rw - ext4 /dev/dm-1 rw", "LVM-abc");
    assert_eq!(eligible(&mounted.list_beneath_leftovers(json!([]))), ["sdc"]);
    let of_a_program = volumes("", "mine-abc");
    assert_eq!(eligible(&of_a_program.list_beneath_leftovers(json!([]))), ["sdc"]);
}

#[test]
fn volumes_are_offered_when_everything_below_them_may_be_touched() {
    let volumes = |mounts: &str| {
        three_disks()
            .file("proc/1/mountinfo", format!("1 1 0:2 / / rw - rootfs rootfs rw\n{mounts}"))
            .partition("sdc", "sdc1", "8:33")
            .mapping("dm-0", "253:0", "LVM-abc", "vg-one", &["sdc1"])
            .mapping("dm-1", "253:1", "LVM-def", "vg-two", &["sda", "sdb"])
            .mapping("dm-2", "253:2", "mine-abc", "mine", &["sdb"])
    };
    let offered = |tree: &Tree, skip: Value, but: &str| -> Vec<String> {
        let mut listing = tree.list_beneath_leftovers(skip.clone());
        listing.eligible.retain(|device| device.name != but);
        let policy = DevicePolicy { allowed: None, skip: skip.as_array().unwrap().clone() };
        volumes_on(&tree.machine(), &policy, &listing.eligible).iter().map(|volume| volume.name.clone()).collect()
    };
    let idle = volumes("");
    // What no program of a distribution made is held for good, and so is its disk.
    assert_eq!(offered(&idle, json!([]), ""), ["/dev/dm-0"]);
    let idle = three_disks()
        .partition("sdc", "sdc1", "8:33")
        .mapping("dm-0", "253:0", "LVM-abc", "vg-one", &["sdc1"])
        .mapping("dm-1", "253:1", "LVM-def", "vg-two", &["sda", "sdb"]);
    assert_eq!(offered(&idle, json!([]), ""), ["/dev/dm-0", "/dev/dm-1"]);
    // One of two disks is to be left alone: by the skip list, or by whoever asks.
    assert_eq!(offered(&idle, json!([{"name": "/dev/sdb"}]), ""), ["/dev/dm-0"]);
    assert_eq!(offered(&idle, json!([]), "/dev/sdb"), ["/dev/dm-0"]);
    assert_eq!(offered(&volumes("2 1 253:0 / /data rw - ext4 /dev/dm-0 rw"), json!([]), ""), [""; 0]);
}
