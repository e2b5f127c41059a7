//! Which devices are disks, partitions of what, or something else that holds a disk.

use super::tree::{Tree, eligible, is_held_by, reason};
use ferric_hardware::block::HeldDisk;
use ferric_hardware::block::hints::Hints;
use ferric_hardware::block::root_device::choose;
use serde_json::json;

/// A disk with two paths, and its multipath map.
fn multipath() -> Tree {
    Tree::new().disk("sdb", "8:16", "pci0/h2").disk("sdc", "8:32", "pci0/h3").mapping(
        "dm-0",
        "253:0",
        "mpath-3600a0b80000f0000",
        "mpatha",
        &["sdb", "sdc"],
    )
}

#[test]
fn a_multipath_disk_is_a_disk_also_with_partitions() {
    assert_eq!(eligible(&multipath().list()), ["dm-0"]);
    let tree = multipath().mapping("dm-1", "253:1", "part1-mpath-3600a0b80000f0000", "mpatha1", &["dm-0"]);
    let listing = tree.list();
    assert_eq!(eligible(&listing), ["dm-0"]);
    assert_eq!(listing.eligible[0].partitions()[0].name, "/dev/dm-1");
    assert_eq!(reason(&listing, "dm-1"), "a partition of /dev/dm-0");
    assert_eq!(reason(&listing, "sdb"), "a path of the multipath device /dev/dm-0");
    assert_eq!(choose(&listing, None).unwrap().name, "/dev/dm-0");
}

#[test]
fn what_is_on_a_mapped_partition_holds_its_disk() {
    let partition = || multipath().mapping("dm-1", "253:1", "part1-mpath-x", "mpatha1", &["dm-0"]);
    let mounted = partition().file("proc/1/mountinfo", "1 1 253:1 / /mnt rw - ext4 /dev/dm-1 rw").list();
    assert_eq!(reason(&mounted, "dm-0"), "/dev/dm-1 is mounted at /mnt");
    let volume = partition().mapping("dm-2", "253:2", "LVM-abc", "vg-root", &["dm-1"]).list();
    assert!(is_held_by(&volume, "dm-0", &["dm-2"]));
    assert_eq!(eligible(&volume), [""; 0]);
}

#[test]
fn firmware_raid_is_a_disk_whichever_program_set_it_up() {
    let raid = |uuid: &str| {
        Tree::new().disk("sda", "8:0", "pci0/a1").disk("sdb", "8:16", "pci0/a2").mapping(
            "dm-0",
            "253:0",
            uuid,
            "isw_x_Volume0",
            &["sda", "sdb"],
        )
    };
    for uuid in ["DMRAID-isw_x_Volume0", "dmraid-isw_x_Volume0"] {
        let listing = raid(uuid).list();
        assert_eq!(eligible(&listing), ["dm-0"], "{uuid}");
        assert!(is_held_by(&listing, "sda", &["dm-0"]));
        assert_eq!(listing.disks().len(), 3);
    }
    // dmraid maps partitions itself, kpartx and dmraid name them differently.
    for (uuid, name) in [
        ("DMRAID-isw_x_Volume0p1", "isw_x_Volume0p1"),
        ("DMRAID-isw_x_Volume01", "isw_x_Volume01"),
        ("part1-DMRAID-isw_x_Volume0", "isw_x_Volume0p1"),
    ] {
        let listing = raid("DMRAID-isw_x_Volume0").mapping("dm-1", "253:1", uuid, name, &["dm-0"]).list();
        assert_eq!(eligible(&listing), ["dm-0"], "{uuid}");
        assert_eq!(reason(&listing, "dm-1"), "a partition of /dev/dm-0");
    }
    // RAID 1+0 is an array of arrays.
    let nested = raid("DMRAID-isw_x_Volume0-0")
        .attributes("dm-0", &[("dm/name", "isw_x_Volume0-0")])
        .mapping("dm-1", "253:1", "DMRAID-isw_x_Volume0", "isw_x_Volume0", &["dm-0"])
        .list();
    assert_eq!(eligible(&nested), ["dm-1"]);
    assert!(is_held_by(&nested, "dm-0", &["dm-1"]));
}

#[test]
fn only_an_array_of_the_kernel_has_disks_of_its_own_below() {
    for (metadata, disks) in [("1.2", vec!["/dev/sda", "/dev/sdb"]), ("external:/md127/0", vec![])] {
        let tree = Tree::new()
            .disk("sda", "8:0", "pci0/a1")
            .disk("sdb", "8:16", "pci0/a2")
            .disk("md126", "9:126", "virtual/block")
            .attributes("md126", &[("md/level", "raid1"), ("md/metadata_version", metadata)])
            .built_on("md126", "sda")
            .built_on("md126", "sdb");
        let listing = tree.list();
        assert_eq!(eligible(&listing), ["md126"]);
        let below = HeldDisk::below(&tree.machine(), &listing.eligible[0]);
        assert_eq!(below.iter().map(HeldDisk::name).collect::<Vec<_>>(), disks, "{metadata}");
    }
}

#[test]
fn other_mappings_are_no_disks_and_hold_theirs() {
    for (uuid, kind) in [
        ("LVM-abcdef", "lvm"),
        ("CRYPT-LUKS2-abc-luks", "crypt"),
        ("stratis-1-private-abc", "stratis"),
        ("VDO-abc", "vdo"),
        ("", "dm"),
        ("unprefixed", "dm"),
    ] {
        let listing =
            Tree::new().disk("sda", "8:0", "pci0/a1").mapping("dm-0", "253:0", uuid, "foreign", &["sda"]).list();
        assert_eq!(eligible(&listing), [""; 0], "{uuid}");
        assert!(is_held_by(&listing, "sda", &["dm-0"]), "{uuid}");
        assert_eq!(reason(&listing, "dm-0"), format!("a device mapper target ({kind})"));
    }
}

#[test]
fn what_drivers_make_of_disks_is_no_disk_and_holds_them() {
    for (name, driver) in [("bcache0", "bcache"), ("drbd1", "drbd")] {
        let listing =
            Tree::new().disk("sda", "8:0", "pci0/a1").disk(name, "252:0", "virtual/block").built_on(name, "sda").list();
        assert_eq!(eligible(&listing), [""; 0]);
        assert!(is_held_by(&listing, "sda", &[name]));
        assert_eq!(reason(&listing, name), format!("a device that {driver} makes of others"));
        assert_eq!(listing.disks().len(), 1, "{name} is no hardware");
    }
    // A cache that no disk uses yet has no holder.
    let listing = Tree::new().disk("sda", "8:0", "pci0/a1").attributes("sda", &[("bcache/name", "x")]).list();
    assert_eq!(reason(&listing, "sda"), "/dev/sda is registered with bcache");
}

#[test]
fn a_loop_device_holds_the_disk_it_shows_again() {
    let tree = |file: &str| {
        Tree::new()
            .disk("sda", "8:0", "pci0/a1")
            .disk("loop0", "7:0", "virtual/block")
            .attributes("loop0", &[("loop/backing_file", file)])
    };
    assert!(is_held_by(&tree("/dev/sda").list(), "sda", &["loop0"]));
    let named = tree("/dev/mapper/disk").link("dev/mapper/disk", "../sda");
    assert!(is_held_by(&named.list(), "sda", &["loop0"]));
    assert_eq!(eligible(&tree("/var/images/sda").list()), ["sda"]);
}

#[test]
fn places_of_firmware_are_no_disks() {
    let tree = Tree::new()
        .disk("mmcblk0", "179:0", "mmc0")
        .partition("mmcblk0", "mmcblk0p1", "179:1")
        .disk("mmcblk0boot0", "179:8", "mmc0/mmcblk0")
        .disk("mmcblk0boot1", "179:16", "mmc0/mmcblk0")
        .disk("mmcblk0rpmb", "179:24", "mmc0/mmcblk0")
        .disk("mmcblk0gp0", "179:32", "mmc0/mmcblk0")
        .disk("mtdblock0", "31:0", "virtual/mtd/mtd0")
        .disk("ubiblock0_1", "250:0", "virtual/block")
        .disk("sda", "8:0", "ufs/0:0:0:0")
        .disk("sdb", "8:16", "ufs/0:0:0:1")
        .attributes("mmcblk0boot0", &[("ro", "1")])
        .attributes("sda", &[("device/unit_descriptor/boot_lun_id", "0x00")])
        .attributes("sdb", &[("device/unit_descriptor/boot_lun_id", "0x01")]);
    let listing = tree.list();
    // General purpose areas of an eMMC hold data.
    assert_eq!(eligible(&listing), ["sda", "mmcblk0", "mmcblk0gp0"]);
    assert_eq!(reason(&listing, "mmcblk0boot0"), "an eMMC boot area: firmware lives there");
    assert_eq!(reason(&listing, "mtdblock0"), "a flash chip: firmware lives there");
    assert_eq!(reason(&listing, "sdb"), "a UFS boot area: firmware lives there");
    assert_eq!(listing.disks().len(), 3);
}

#[test]
fn memory_that_forgets_is_no_disk() {
    let region = |mappings: &str| {
        Tree::new()
            .disk("pmem0", "259:0", "ndbus0/region0/namespace0.0/block")
            .file("sys/devices/ndbus0/region0/mappings", format!("{mappings}\n"))
    };
    // No module behind it: the firmware left an image there, or the kernel was told so.
    assert_eq!(reason(&region("0").list(), "pmem0"), "a RAM disk");
    assert_eq!(eligible(&region("2").list()), ["pmem0"]);
    assert_eq!(eligible(&Tree::new().disk("pmem0", "259:0", "ndbus0").list()), ["pmem0"]);
    let tree = Tree::new().disk("ram0", "1:0", "virtual/block").disk("zram0", "251:0", "virtual/block");
    assert_eq!(eligible(&tree.list()), [""; 0]);
}

#[test]
fn hidden_paths_of_nvme_namespaces_do_not_exist() {
    let tree = Tree::new()
        .disk("nvme0n1", "259:1", "virtual/nvme-subsystem/nvme-subsys0")
        .disk("nvme0c0n1", "259:2", "pci0/nvme/nvme0")
        .attributes("nvme0c0n1", &[("hidden", "1")]);
    let listing = tree.list();
    assert_eq!(eligible(&listing), ["nvme0n1"]);
    assert!(listing.rejected.is_empty());
}

#[test]
fn devices_of_the_scsi_layer_say_themselves_what_they_are() {
    let tree = |kind: &str| Tree::new().disk("sda", "8:0", "pci0/a1").attributes("sda", &[("device/type", kind)]);
    assert_eq!(eligible(&tree("0").list()), ["sda"]);
    // Host-managed zoned disks.
    assert_eq!(eligible(&tree("20").list()), ["sda"]);
    for (kind, name) in
        [("1", "tape"), ("4", "worm"), ("5", "rom"), ("7", "mo-disk"), ("12", "raid controller"), ("14", "rbc")]
    {
        assert_eq!(reason(&tree(kind).list(), "sda"), format!("not a disk: {name}"));
    }
}

#[test]
fn names_with_a_directory_are_followed() {
    let tree = Tree::new()
        .disk("cciss!c0d0", "104:0", "pci0/cciss0")
        .partition("cciss!c0d0", "cciss!c0d0p1", "104:1")
        .by_path("pci-0-c0d0", "cciss/c0d0")
        .file("proc/1/mountinfo", "1 1 104:1 / /srv rw - ext4 /dev/cciss/c0d0p1 rw");
    let listing = tree.list();
    assert_eq!(reason(&listing, "cciss/c0d0"), "/dev/cciss/c0d0p1 is mounted at /srv");
    let hints = Hints::parse(&json!({"by_path": "/dev/disk/by-path/pci-0-c0d0"})).unwrap();
    assert!(hints.fit(&listing.rejected[0].device).unwrap());
}
