//! Every vector that was run with the real implementation, and properties that hold for any text.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::root_device::choose_among;
use super::*;

/// Outcome of a vector: the hints' normalized form (nothing when parsing fails) and the devices that fit (nothing
/// when comparing fails).
struct Vector(&'static str, Option<&'static str>, Option<&'static str>);

fn devices() -> Vec<BlockDevice> {
    const G: u64 = 1 << 30;
    let by_path = |tail: &str| format!("/dev/disk/by-path/{tail}");
    serde_json::from_value(json!([
        {"name": "/dev/sda", "model": "ATA Samsung SSD 870", "size": 1000204886016u64, "rotational": false,
         "wwn": "0x5002538f31a0b1c2", "serial": "S5Y1NJ0R100001", "vendor": "ATA", "hctl": "0:0:0:0",
         "by_path": by_path("pci-0000:00:1f.2-ata-1"), "tran": "sata"},
        {"name": "/dev/sdb", "model": "PERC H730 Mini", "size": 60 * G, "rotational": true,
         "wwn": "0x6d09466069a20000", "serial": "6d09466069a20000223a8d1b0bbcd8e5", "vendor": "DELL",
         "wwn_vendor_extension": "0x223a8d1b0bbcd8e5", "hctl": "0:2:0:0",
         "by_path": by_path("pci-0000:18:00.0-scsi-0:2:0:0")},
        {"name": "/dev/sdc", "model": "PERC H730 Mini", "size": 64023257088u64, "rotational": true,
         "wwn": "0x6d09466069a20001", "serial": "6d09466069a20001223a8d1b0bbcd8e5", "vendor": "DELL",
         "wwn_vendor_extension": "0x223a8d1b0bbcd8e6", "hctl": "0:2:1:0",
         "by_path": by_path("pci-0000:18:00.0-scsi-0:2:1:0")},
        {"name": "/dev/nvme0n1", "model": "INTEL SSDPE2KX010T8", "size": 1000204886016u64, "rotational": false,
         "wwn": "eui.01000000010000005cd2e4abcdef0001", "serial": "PHLJ0000000A1P0FGN",
         "by_path": by_path("pci-0000:5e:00.0-nvme-1"), "tran": "nvme"},
        {"name": "/dev/md0", "size": 40 * G, "rotational": false},
        {"name": "/dev/sdd", "model": "Flash Disk", "size": 4 * G - 512, "rotational": true,
         "serial": ["", "USB-0042"], "vendor": "Generic", "hctl": "6:0:0:0",
         "by_path": by_path("pci-0000:00:14.0-usb-0:3:1.0-scsi-0:0:0:0"), "tran": "usb"},
    ]))
    .unwrap()
}

const VECTORS: [Vector; 45] = [
    Vector(r#"{"size": 60}"#, Some(r#"{"size": "== 60"}"#), Some("sdb")),
    Vector(r#"{"size": 59}"#, Some(r#"{"size": "== 59"}"#), Some("")),
    Vector(r#"{"size": ">= 59"}"#, Some(r#"{"size": ">= 59"}"#), Some("sda sdb sdc nvme0n1")),
    Vector(r#"{"size": "= 50"}"#, Some(r#"{"size": "= 50"}"#), Some("sda sdb sdc nvme0n1")),
    Vector(r#"{"size": "< 60"}"#, Some(r#"{"size": "< 60"}"#), Some("sdc md0 sdd")),
    Vector(r#"{"size": "!= 60"}"#, Some(r#"{"size": "!= 60"}"#), Some("sda sdc nvme0n1 md0 sdd")),
    Vector(r#"{"size": "s== 60"}"#, Some(r#"{"size": "s== 60"}"#), Some("")),
    Vector(r#"{"size": "s!= 60"}"#, Some(r#"{"size": "s!= 60"}"#), Some("sda sdb sdc nvme0n1 md0 sdd")),
    Vector(r#"{"size": "<or> 60 <or> 40"}"#, Some(r#"{"size": "<or> 60 <or> 40"}"#), Some("")),
    Vector(r#"{"size": "<in> 6"}"#, Some(r#"{"size": "<in> 6"}"#), None),
    Vector(r#"{"size": 0}"#, None, None),
    Vector(r#"{"size": "60.0"}"#, None, None),
    Vector(r#"{"size": true}"#, None, None),
    Vector(r#"{"size": ">= 59 <= 61"}"#, None, None),
    Vector(r#"{"size": "<range-in> [ 10 70 ]"}"#, None, None),
    Vector(r#"{"model": "perc h730 mini"}"#, Some(r#"{"model": "s== perc%20h730%20mini"}"#), Some("sdb sdc")),
    Vector(r#"{"model": "s== PERC H730 Mini"}"#, Some(r#"{"model": "s== perc%20h730%20mini"}"#), Some("sdb sdc")),
    Vector(r#"{"model": "<in> SSD"}"#, Some(r#"{"model": "<in> ssd"}"#), Some("sda nvme0n1")),
    Vector(r#"{"model": "<in> ssd 870"}"#, Some(r#"{"model": "<in> ssd%20870"}"#), Some("sda")),
    Vector(r#"{"model": "<or> flash disk <or> x"}"#, Some(r#"{"model": "<or> flash%20disk <or> x"}"#), Some("sdd")),
    Vector(r#"{"model": "<or>flash disk<or>x"}"#, Some(r#"{"model": "<or> flash%20disk <or> x"}"#), Some("sdd")),
    Vector(r#"{"model": "x <or> flash disk"}"#, Some(r#"{"model": "s== x%20%3Cor%3E%20flash%20disk"}"#), Some("")),
    Vector(r#"{"model": "none"}"#, Some(r#"{"model": "s== none"}"#), Some("md0")),
    Vector(r#"{"model": "== perc"}"#, Some(r#"{"model": "== perc"}"#), None),
    Vector(r#"{"model": "<all-in> perc mini"}"#, Some(r#"{"model": "<all-in> perc%20mini"}"#), None),
    Vector(r#"{"model": "<in> perc <in> zzz"}"#, Some(r#"{"model": "<in> perc <in> zzz"}"#), Some("sdb sdc")),
    Vector(r#"{"model": ""}"#, None, None),
    Vector(r#"{"model": null}"#, None, None),
    Vector(r#"{"serial": 12345}"#, None, None),
    Vector(r#"{"rotational": "yes"}"#, Some(r#"{"rotational": true}"#), Some("sdb sdc sdd")),
    Vector(r#"{"rotational": 0}"#, Some(r#"{"rotational": false}"#), Some("sda nvme0n1 md0")),
    Vector(r#"{"rotational": "maybe"}"#, None, None),
    Vector(
        r#"{"rotational": "F", "size": "> 100"}"#,
        Some(r#"{"rotational": false, "size": "> 100"}"#),
        Some("sda nvme0n1"),
    ),
    Vector(r#"{"wwn": "0X5002538F31A0B1C2"}"#, Some(r#"{"wwn": "s== 0x5002538f31a0b1c2"}"#), Some("sda")),
    Vector(
        r#"{"wwn_vendor_extension": "0x223a8d1b0bbcd8e6"}"#,
        Some(r#"{"wwn_vendor_extension": "s== 0x223a8d1b0bbcd8e6"}"#),
        Some("sdc"),
    ),
    Vector(r#"{"serial": "usb-0042"}"#, Some(r#"{"serial": "s== usb-0042"}"#), Some("sdd")),
    Vector(
        r#"{"serial": "s!= usb-0042", "tran": "usb"}"#,
        Some(r#"{"serial": "s!= usb-0042", "tran": "s== usb"}"#),
        Some(""),
    ),
    Vector(r#"{"hctl": "0:2:1:0"}"#, Some(r#"{"hctl": "s== 0%3A2%3A1%3A0"}"#), Some("sdc")),
    Vector(
        r#"{"by_path": "/dev/disk/by-path/pci-0000:5e:00.0-nvme-1"}"#,
        Some(r#"{"by_path": "s== /dev/disk/by-path/pci-0000%3A5e%3A00.0-nvme-1"}"#),
        Some("nvme0n1"),
    ),
    Vector(
        r#"{"name": "/dev/disk/by-path/pci-0000:5e:00.0-nvme-1"}"#,
        Some(r#"{"name": "s== /dev/disk/by-path/pci-0000%3A5e%3A00.0-nvme-1"}"#),
        Some(""),
    ),
    Vector(r#"{"name": "s> /dev/sda"}"#, Some(r#"{"name": "s> /dev/sda"}"#), Some("sdb sdc sdd")),
    Vector(
        r#"{"tran": "s!= sata", "model": "s!= perc h730 mini", "rotational": false}"#,
        Some(r#"{"tran": "s!= sata", "model": "s!= perc%20h730%20mini", "rotational": false}"#),
        Some("nvme0n1 md0"),
    ),
    Vector(r#"{"vendor": "dell", "size": ">= 60"}"#, Some(r#"{"vendor": "s== dell", "size": ">= 60"}"#), Some("sdb")),
    Vector(r#"{"foo": "bar"}"#, None, None),
    Vector(r#"{}"#, None, None),
];

#[test]
fn every_vector_of_the_reference_comes_out_the_same() {
    let devices = devices();
    for (number, Vector(hints, parsed, fitting)) in (1..).zip(VECTORS) {
        let Ok(parsed_hints) = Hints::parse(&serde_json::from_str(hints).unwrap()) else {
            assert!(parsed.is_none(), "vector {number}: {hints} was refused");
            continue;
        };
        let parsed: Value = serde_json::from_str(parsed.unwrap_or_else(|| panic!("{hints} was accepted"))).unwrap();
        assert_eq!(Value::Object(parsed_hints.normalized()), parsed, "vector {number}");

        let found: Result<Vec<&str>, HintError> = devices
            .iter()
            .filter_map(|d| {
                parsed_hints.fit(d).map(|fits| fits.then(|| d.name.trim_start_matches("/dev/"))).transpose()
            })
            .collect();
        assert_eq!(found.ok().map(|names| names.join(" ")).as_deref(), fitting, "vector {number}: {hints}");
        let first = fitting.and_then(|names| names.split(' ').find(|n| !n.is_empty()));
        let chosen = choose_among(&devices, Some(&parsed_hints)).ok();
        assert_eq!(chosen.map(|d| d.name.trim_start_matches("/dev/")), first, "vector {number}");
    }
}

#[test]
fn an_operator_without_its_operand_is_refused() {
    for hint in ["=", "s== <x", "== =5"] {
        assert!(Hints::parse(&json!({"model": hint})).is_err(), "{hint}");
    }
    // Read as `<` with the operand `or>`, which no device's model can be compared with.
    let hints = Hints::parse(&json!({"model": "<or>"})).unwrap();
    assert!(hints.fit(&devices()[0]).is_err());
}

#[test]
fn without_hints_the_smallest_disk_that_is_large_enough_is_taken() {
    let devices = devices();
    assert_eq!(choose_among(&devices, None).unwrap().name, "/dev/md0");
    let size = |name: &str, size_bytes| BlockDevice { name: name.into(), size_bytes, ..BlockDevice::default() };
    let equal = [size("/dev/nvme2n1", 4 << 30), size("/dev/nvme10n1", 4 << 30), size("/dev/sda", (4 << 30) - 1)];
    assert_eq!(choose_among(&equal, None).unwrap().name, "/dev/nvme10n1");
    let refused = choose_among(&equal[2..], None).unwrap_err();
    assert_eq!(refused.reasons, [("/dev/sda".to_string(), "4294967295 bytes are too few".to_string())]);
}

#[test]
fn every_device_gets_a_reason_when_none_fits() {
    let hints = Hints::parse(&json!({"rotational": true, "serial": "nobody"})).unwrap();
    let refused = choose_among(&devices(), Some(&hints)).unwrap_err();
    assert_eq!(refused.reasons.len(), 6);
    assert_eq!(refused.reasons[0].1, "rotational is false, wanted true");
    assert_eq!(refused.reasons[5].1, r#"serial is ["", "USB-0042"], wanted s== nobody"#);
}

#[test]
fn a_device_without_any_serial_number_fits_no_hint_on_it() {
    let alternatives = [("serial".to_string(), Vec::new())].into();
    let listed = BlockDevice { alternatives, ..BlockDevice::default() };
    assert!(!Hints::parse(&json!({"serial": "s!= x"})).unwrap().fit(&listed).unwrap());
}

/// Texts rich in what the grammar cares for.
fn expressions() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("<or>".to_string()),
        Just("<in>".to_string()),
        Just("<all-in>".to_string()),
        Just("<range-in>".to_string()),
        "[s<>=! ]{1,3}",
        "[a-z0-9_.:/ ]{0,5}",
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_parsed_and_compared_without_panic(hint in expressions(), value in expressions()) {
        let device = BlockDevice { model: Some(value), ..BlockDevice::default() };
        for key in ["model", "size", "rotational"] {
            if let Ok(hints) = Hints::parse(&json!({key: hint})) {
                let _ = hints.fit(&device);
            }
        }
    }

    #[test]
    fn a_plain_value_fits_itself_in_any_case(value in "[A-Za-z0-9][A-Za-z0-9 _.:+-]{0,20}") {
        let device = BlockDevice { serial: Some(value.clone()), ..BlockDevice::default() };
        let hints = Hints::parse(&json!({"serial": value.to_uppercase()})).unwrap();
        prop_assert!(hints.fit(&device).unwrap());
        let other = Hints::parse(&json!({"serial": format!("s!= {value}")})).unwrap();
        prop_assert!(!other.fit(&device).unwrap());
    }

    #[test]
    fn sizes_are_compared_as_numbers(gib in 1u64..5000, wanted in 1u64..5000) {
        let device = BlockDevice { size_bytes: gib << 30, ..BlockDevice::default() };
        let fits = |operator: &str| {
            Hints::parse(&json!({"size": format!("{operator}{wanted}")})).unwrap().fit(&device).unwrap()
        };
        prop_assert_eq!(fits(""), gib == wanted);
        prop_assert_eq!(fits("="), gib >= wanted);
        prop_assert_eq!(fits("<"), gib < wanted);
        prop_assert_eq!(fits("!="), gib != wanted);
    }
}
