//! What devices are called, and which hints fit them: every name that udev gives is a good one.

use super::tree::Tree;
use ferric_hardware::block::hints::Hints;
use ferric_hardware::block::{BlockDevice, Listing};
use serde_json::{Value, json};

fn fits(listing: &Listing, hints: Value) -> bool {
    let device: &BlockDevice = &listing.eligible[0];
    Hints::parse(&hints).unwrap().fit(device).unwrap()
}

fn one_disk(udev: &[&str]) -> Listing {
    Tree::new().disk("sda", "8:0", "pci0/a1").udev("8:0", udev).list()
}

#[test]
fn every_serial_number_and_wwn_of_udev_fits() {
    let listing = Tree::new()
        .disk("sdb", "8:16", "pci0/h2")
        .mapping("dm-0", "253:0", "mpath-3600a0b80", "mpatha", &["sdb"])
        .udev(
            "253:0",
            &[
                "E:DM_SERIAL_SHORT=600a0b80",
                "E:DM_SERIAL=3600a0b80",
                "E:DM_WWN=0x600a",
                "E:DM_WWN_WITH_EXTENSION=0x600a0b80",
            ],
        )
        .list();
    for serial in ["600a0b80", "3600a0b80", "3600A0B80"] {
        assert!(fits(&listing, json!({"serial": serial})), "{serial}");
    }
    assert!(fits(&listing, json!({"wwn": "0x600a", "wwn_with_extension": "0x600a0b80"})));
    assert!(!fits(&listing, json!({"serial": "0b80"})));

    let listing = one_disk(&[
        "E:SCSI_IDENT_SERIAL=ident",
        "E:ID_SCSI_SERIAL=scsi",
        "E:ID_SERIAL_SHORT=short",
        "E:ID_SERIAL=long",
        "E:ID_WWN=0x5",
        "E:ID_WWN_WITH_EXTENSION=0x50",
        "E:ID_WWN_VENDOR_EXTENSION=0x0",
    ]);
    for serial in ["ident", "scsi", "short", "long"] {
        assert!(fits(&listing, json!({"serial": serial})), "{serial}");
    }
    for wwn in ["0x5", "0x50"] {
        assert!(fits(&listing, json!({"wwn": wwn})), "{wwn}");
    }
    // What the inventory shows is lsblk's choice.
    let disk = &listing.disks()[0];
    assert_eq!((disk.serial.as_deref(), disk.wwn.as_deref()), (Some("ident"), Some("0x50")));
    assert_eq!(disk.wwn_vendor_extension.as_deref(), Some("0x0"));
}

#[test]
fn every_place_of_a_disk_fits() {
    let listing = Tree::new()
        .disk("sda", "8:0", "pci0/a1")
        .udev("8:0", &["E:ID_PATH=pci-0000:00:1f.2-ata-1.0"])
        .by_path("pci-0000:00:1f.2-ata-1", "sda")
        .by_path("pci-0000:00:1f.2-ata-1.0", "sda")
        .by_path("pci-0000:00:1f.2-ata-2", "sdb")
        .list();
    let place = |end: &str| format!("/dev/disk/by-path/pci-0000:00:1f.2-ata-{end}");
    assert_eq!(listing.disks()[0].by_path, Some(place("1.0")));
    for (end, is_here) in [("1", true), ("1.0", true), ("2", false)] {
        assert_eq!(fits(&listing, json!({"by_path": place(end)})), is_here, "{end}");
        // A disk is not elsewhere because it has a second name.
        assert_eq!(fits(&listing, json!({"by_path": format!("s!= {}", place(end))})), !is_here, "{end}");
    }
    assert!(fits(&listing, json!({"by_path": format!("<or> {} <or> x", place("1"))})));
}

#[test]
fn without_udev_the_disk_s_own_pages_are_read() {
    let serial = [&[0, 0x80, 0, 12][..], b"  SN 0042   "].concat();
    let unit = [0x01, 0x03, 0, 16, 0x60, 0x05, 0x08, 0xb1, 0, 0x1c, 0x4d, 0x2a, 0x22, 0x3a, 0x8d, 0x1b, 0, 0, 0, 1];
    let tree = Tree::new()
        .disk("sda", "8:0", "pci0/a1")
        .file("sys/class/block/sda/device/vpd_pg80", serial)
        .file("sys/class/block/sda/device/vpd_pg83", [&[0, 0x83, 0, 20][..], &unit].concat());
    let listing = tree.list();
    let disk = &listing.disks()[0];
    assert_eq!(disk.serial.as_deref(), Some("SN 0042"));
    assert_eq!(disk.wwn.as_deref(), Some("0x600508b1001c4d2a223a8d1b00000001"));
    assert_eq!(disk.wwn_vendor_extension.as_deref(), Some("0x223a8d1b00000001"));
    for wwn in ["0x600508b1001c4d2a", "0x600508b1001c4d2a223a8d1b00000001"] {
        assert!(fits(&listing, json!({"wwn": wwn})), "{wwn}");
    }
}

#[test]
fn an_empty_value_is_none() {
    let tree = Tree::new().disk("sda", "8:0", "pci0/a1").udev("8:0", &["E:ID_SERIAL_SHORT=", "E:ID_SERIAL=long"]);
    let tree = tree.attributes("sda", &[("device/model", "  "), ("device/vendor", "")]);
    let listing = tree.list();
    let disk = &listing.disks()[0];
    assert_eq!((disk.serial.as_deref(), &disk.model, &disk.vendor), (Some("long"), &None, &None));
    assert!(!fits(&listing, json!({"serial": "none"})));
    assert!(fits(&listing, json!({"model": "none"})));
}

#[test]
fn what_a_disk_says_of_itself_is_printable() {
    let tree = Tree::new().disk("sda", "8:0", "pci0/a1");
    let listing = tree.attributes("sda", &[("device/model", "DI\u{1b}[2JSK\u{7}  "), ("device/vendor", "A\tC")]).list();
    let disk = &listing.disks()[0];
    assert_eq!((disk.model.as_deref(), disk.vendor.as_deref()), (Some("DI[2JSK"), Some("AC")));
}

#[test]
fn transports_are_lsblk_s() {
    let scsi = |driver: &str| {
        Tree::new()
            .disk("sda", "8:0", "pci0/host3/target3:0:0/3:0:0:0/block")
            .file("sys/class/block/sda/device/scsi_device/3:0:0:0/uevent", "")
            .file("sys/class/scsi_host/host3/proc_name", driver)
    };
    let transport = |tree: Tree| tree.list().disks()[0].tran.clone();
    assert_eq!(scsi("ahci\n").list().disks()[0].hctl.as_deref(), Some("3:0:0:0"));
    assert_eq!(transport(scsi("ahci\n")).as_deref(), Some("sata"));
    assert_eq!(transport(scsi("ata_piix\n")).as_deref(), Some("ata"));
    assert_eq!(transport(scsi("virtio_scsi\n")), None);
    for class in ["sas", "iscsi", "spi"] {
        assert_eq!(transport(scsi("x").file(&format!("sys/class/{class}_host/host3/x"), "")).as_deref(), Some(class));
    }
    let fc = |name: &str| scsi("x").file("sys/class/fc_host/host3/symbolic_name", name);
    assert_eq!(transport(fc("QLE2692")).as_deref(), Some("fc"));
    assert_eq!(transport(fc("bnx2fc over eth0")).as_deref(), Some("fcoe"));
    let usb = Tree::new().disk("sda", "8:0", "pci0/usb1/1-1/host3");
    assert_eq!(transport(usb).as_deref(), Some("usb"));
    for (name, expected) in
        [("vda", Some("virtio")), ("nvme0n1", Some("nvme")), ("mmcblk0", Some("mmc")), ("xvda", None)]
    {
        assert_eq!(transport(Tree::new().disk(name, "8:0", "pci0/x")).as_deref(), expected, "{name}");
    }
}
