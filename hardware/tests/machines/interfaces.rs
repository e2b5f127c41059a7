//! Which network interfaces the inventory has.

use ferric_hardware::nic::{self, LeftOut};

use super::tree::Tree;

/// A machine with one interface per address and driver.
fn machine(interfaces: &[(&str, &str, &str)]) -> Tree {
    interfaces.iter().fold(Tree::new(), |tree, (name, address, driver)| {
        let place = format!("sys/devices/pci0/{name}");
        tree.file(&format!("{place}/net/{name}/address"), format!("{address}\n"))
            .link(&format!("{place}/net/{name}/device"), &format!("../../../{name}"))
            .link(&format!("{place}/driver"), &format!("../../../bus/pci/drivers/{driver}"))
            .link(&format!("sys/class/net/{name}"), &format!("../../devices/pci0/{name}/net/{name}"))
    })
}

#[test]
fn interfaces_that_are_of_no_use_are_left_out_with_the_reason() {
    let tree = machine(&[
        ("eno1", "02:00:00:00:00:01", "e1000e"),
        ("wwan0", "", "qmi_wwan"),
        ("can0", "", "m_can"),
        ("eno9", "00:00:00:00:00:00", "igb"),
        ("usb0", "FA:16:3e:00:00:01", "cdc_ether"),
        ("usb1", "02:00:00:00:00:02", "cdc_ncm"),
    ])
    .file("sys/class/net/lo/address", "00:00:00:00:00:00");
    let found = nic::sort_out(&tree.machine(), &["cdc_ether".into(), "cdc_ncm".into()]);
    assert_eq!(found.shown.iter().map(|shown| shown.name.as_str()).collect::<Vec<_>>(), ["eno1"]);
    let expected = [
        ("can0", LeftOut::NoAddress),
        ("eno9", LeftOut::NoAddress),
        ("usb0", LeftOut::BmcAddress("fa:16:3e:00:00:01".into())),
        ("usb1", LeftOut::Driver("cdc_ncm".into())),
        ("wwan0", LeftOut::NoAddress),
    ];
    assert_eq!(found.left_out, expected.map(|(name, reason)| (name.to_string(), reason)));
    assert_eq!(nic::read(&tree.machine()).len(), 2, "no driver is unwanted by itself");
}
