use super::*;
use crate::units::Lba;

/// A firmware with `BootOrder` alone, in a directory of its own.
fn firmware() -> (tempfile::TempDir, BootVariables) {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("sys/firmware/efi/efivars");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(format!("BootOrder-{GLOBAL}")), [7, 0, 0, 0]).unwrap();
    let variables = BootVariables::of(&Machine::at(root.path())).unwrap();
    (root, variables)
}

fn option(label: &str) -> LoadOption {
    let guid = "6f1dcd2c-1b2e-4a52-9f2b-0f2a3b4c5d6e".parse().unwrap();
    let drive = HardDrive { number: 1, start: Lba(2048), blocks: 4096, signature: Signature::Gpt(guid) };
    LoadOption::new(label, DevicePath::file(drive, r"\EFI\BOOT\BOOTX64.EFI"))
}

#[test]
fn a_machine_without_variables_says_so() {
    let root = tempfile::tempdir().unwrap();
    assert!(matches!(BootVariables::of(&Machine::at(root.path())), Err(EfiError::Absent)));
}

#[test]
fn a_new_entry_is_first_and_reads_back() {
    let (_root, variables) = firmware();
    assert_eq!(variables.create(&option("one")).unwrap(), 0);
    assert_eq!(variables.create(&option("two")).unwrap(), 1);
    assert_eq!(variables.order().unwrap(), [1, 0]);
    let entries = variables.entries().unwrap();
    assert_eq!(entries[1], BootEntry { number: 1, option: option("two") });
}

#[test]
fn a_deleted_entry_leaves_the_order_and_frees_its_number() {
    let (_root, variables) = firmware();
    for label in ["one", "two", "three"] {
        variables.create(&option(label)).unwrap();
    }
    variables.delete(1).unwrap();
    assert_eq!(variables.order().unwrap(), [2, 0]);
    assert_eq!(variables.create(&option("four")).unwrap(), 1);
    variables.set_next(2).unwrap();
    assert_eq!(variables.next().unwrap(), Some(2));
}

#[test]
fn paths_read_as_the_specification_writes_them() {
    assert_eq!(
        option("x").path.to_string(),
        r"HD(1,GPT,6f1dcd2c-1b2e-4a52-9f2b-0f2a3b4c5d6e,0x800,0x1000)/File(\EFI\BOOT\BOOTX64.EFI)"
    );
    // As OVMF writes it for a network card: PCI root, function 0 of device 2, a MAC address, an URI.
    let mut bytes = vec![2, 1, 12, 0, 0xd0, 0x41, 0x03, 0x0a, 0, 0, 0, 0, 1, 1, 6, 0, 0, 2];
    bytes.extend([3, 24, 13, 0]);
    bytes.extend(b"http://x/");
    bytes.extend([0x7f, 0xff, 4, 0]);
    assert_eq!(DevicePath::from_bytes(&bytes).to_string(), "PciRoot(0x0)/Pci(0x2,0x0)/Uri(http://x/)");
    assert!(option("x").path.is_on_disk() && !DevicePath::from_bytes(&bytes).is_on_disk());
}

#[test]
fn damaged_entries_are_no_danger() {
    let encoded = option("label").encode();
    for length in 0..encoded.len() {
        if let Some(parsed) = LoadOption::parse(&encoded[..length]) {
            parsed.path.to_string();
        }
    }
    for bytes in [&[4, 1, 0, 0][..], &[4, 1, 3, 0], &[4, 4, 255, 255, 0], &[9, 9, 5, 0, 1]] {
        assert!(DevicePath::from_bytes(bytes).to_string().len() < 32);
    }
}
