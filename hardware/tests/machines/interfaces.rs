//! Which network interfaces the inventory has.

use ferric_hardware::collect::{CollectOptions, Collector};
use ferric_hardware::nic::{self, LeftOut};
use ferric_hardware::tool::Tools;

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

/// An Intel 82599 with its seven virtual functions, as the README of the package `sriovmng` (pypi.org) lists one; links and
/// attributes are those that the kernel documents (Documentation/ABI/testing/sysfs-bus-pci). VF 1 is left to no driver, as
/// for a guest.
#[test]
fn virtual_functions_are_interfaces_of_their_own_as_for_the_python_agent() {
    const PHYSICAL: &str = "0000:05:00.0";
    let function = |tree: Tree, address: &str, device: &str| {
        let place = format!("sys/devices/pci0000:00/0000:00:03.0/{address}");
        tree.file(&format!("{place}/vendor"), "0x8086\n")
            .file(&format!("{place}/device"), format!("{device}\n"))
            .file(&format!("{place}/class"), "0x020000\n")
            .file(&format!("{place}/numa_node"), "0\n")
            .link(&format!("sys/bus/pci/devices/{address}"), &format!("../../../../{place}"))
    };
    let interface = |tree: Tree, address: &str, name: &str, mac: &str, driver: &str| {
        let place = format!("sys/devices/pci0000:00/0000:00:03.0/{address}");
        tree.file(&format!("{place}/net/{name}/address"), format!("{mac}\n"))
            .link(&format!("{place}/net/{name}/device"), &format!("../../../{address}"))
            .link(&format!("{place}/driver"), &format!("../../../../bus/pci/drivers/{driver}"))
            .link(&format!("sys/class/net/{name}"), &format!("../../../{place}/net/{name}"))
    };
    let physical = format!("sys/devices/pci0000:00/0000:00:03.0/{PHYSICAL}");
    let mut tree = function(Tree::new(), PHYSICAL, "0x10fb")
        .file(&format!("{physical}/sriov_totalvfs"), "63\n")
        .file(&format!("{physical}/sriov_numvfs"), "7\n");
    tree = interface(tree, PHYSICAL, "p2p1", "a0:36:9f:00:00:01", "ixgbe");
    let virtual_functions = ["10.0", "10.2", "10.4", "10.6", "11.0", "11.2", "11.4"];
    for (number, address) in virtual_functions.into_iter().enumerate() {
        let address = format!("0000:05:{address}");
        tree = function(tree, &address, "0x10ed")
            .link(&format!("{physical}/virtfn{number}"), &format!("../{address}"))
            .link(&format!("sys/devices/pci0000:00/0000:00:03.0/{address}/physfn"), &format!("../{PHYSICAL}"));
        if number != 1 {
            let (name, mac) = (format!("p2p1_{number}"), format!("02:09:c0:00:00:0{number}"));
            tree = interface(tree, &address, &name, &mac, "ixgbevf");
        }
    }
    let machine = tree.machine();
    let found = nic::sort_out(&machine, &[]);
    let described: Vec<_> = found
        .shown
        .iter()
        .map(|it| (it.name.as_str(), it.product.as_deref(), it.pci_address.as_deref(), it.driver.as_deref()))
        .collect();
    assert_eq!(described.len(), 7, "{described:?}");
    assert_eq!(described[0], ("p2p1", Some("0x10fb"), Some(PHYSICAL), Some("ixgbe")));
    assert_eq!(described[2], ("p2p1_2", Some("0x10ed"), Some("0000:05:10.4"), Some("ixgbevf")));
    let options = CollectOptions { lldp: None, benchmarks: None, tools: Tools::in_directories([], None) };
    let functions = Collector::PciDevices.collect(&machine, &options).unwrap().unwrap();
    let ids: Vec<_> =
        functions.as_array().unwrap().iter().map(|it| (it["bus"].as_str(), it["product_id"].as_str())).collect();
    assert_eq!(ids.len(), 8, "{ids:?}");
    assert_eq!((ids[0], ids[7]), ((Some(PHYSICAL), Some("10fb")), (Some("0000:05:11.4"), Some("10ed"))));
}
