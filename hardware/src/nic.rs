//! Network interfaces that belong to hardware, bonds or VLANs.

use std::collections::HashMap;
use std::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

use crate::ethtool::Ethtool;
use crate::lldp::tlv::Tlv;
use crate::machine::Machine;

/// One network interface.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// Kernel name, `eno1`.
    pub name: String,
    /// Permanent MAC address, lower-case.
    pub mac_address: String,
    /// First IPv4 address.
    pub ipv4_address: Option<String>,
    /// First IPv6 address; a link-local one carries `%interface`.
    pub ipv6_address: Option<String>,
    /// Whether a cable with a partner is plugged in.
    pub has_carrier: bool,
    /// Received LLDP TLVs; null when none were collected.
    pub lldp: Option<Vec<Tlv>>,
    /// PCI vendor, `0x8086`.
    pub vendor: Option<String>,
    /// PCI device, `0x10d3`.
    pub product: Option<String>,
    /// DHCP client id of a Mellanox InfiniBand interface.
    pub client_id: Option<String>,
    /// Name by the firmware's numbering; not determined.
    pub biosdevname: Option<String>,
    /// Highest supported speed in Mbit/s.
    pub speed_mbps: Option<u64>,
    /// Bus address of the device, `0000:00:08.0`.
    pub pci_address: Option<String>,
    /// Kernel driver.
    pub driver: Option<String>,
}

const NET: &str = "/sys/class/net";
const MELLANOX: &str = "0x15b3";
/// Characters of an InfiniBand hardware address, 20 bytes.
const INFINIBAND_CHARACTERS: usize = 59;

/// Names of the interfaces that the inventory shows: with hardware behind them, bonds, and VLANs (`eth0.100`).
pub fn names(machine: &Machine) -> Vec<String> {
    let is_vlan = |name: &str| {
        let id = name.split_once('.').map(|(_, id)| id).unwrap_or_default();
        !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit())
    };
    let wanted = |name: &String| {
        machine.exists(format!("{NET}/{name}/device"))
            || machine.exists(format!("{NET}/{name}/bonding"))
            || is_vlan(name)
    };
    machine.names(NET).into_iter().filter(wanted).collect()
}

/// Name of the interface with this MAC address (lower-case): the permanent one of a device, else one that some interface
/// has now.
pub fn by_mac_address(machine: &Machine, address: &str) -> Option<String> {
    let kernel = Kernel::ask(machine);
    let names = machine.names(NET);
    let permanent = |name: &String| permanent_address(machine, &kernel, name) == address;
    let current = |name: &String| machine.read(format!("{NET}/{name}/address")).is_some_and(|found| found == address);
    let devices: Vec<&String> = names.iter().filter(|name| machine.exists(format!("{NET}/{name}/device"))).collect();
    let find = |fits: &dyn Fn(&String) -> bool| devices.iter().find(|name| fits(name)).copied();
    find(&permanent).or_else(|| find(&current)).or_else(|| names.iter().find(|name| current(name))).cloned()
}

/// Why an interface is no part of the inventory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeftOut {
    /// It has no address that could tell it from others: a modem, a CAN controller, a tunnel, a card without its EEPROM.
    #[error("it has no hardware address")]
    NoAddress,
    /// Its address says that it leads to the BMC.
    #[error("its address {0} is one that BMCs give to the machine's side of their link")]
    BmcAddress(String),
    /// Its driver is not wanted.
    #[error("its driver is {0}")]
    Driver(String),
}

/// The interfaces, and those that are left out, each with its reason.
#[derive(Debug, Default)]
pub struct Interfaces {
    /// Those of the inventory.
    pub shown: Vec<Interface>,
    /// Names of the others.
    pub left_out: Vec<(String, LeftOut)>,
}

/// Describes the interfaces of the inventory; nothing is logged about the others.
pub fn read(machine: &Machine) -> Vec<Interface> {
    sort_out(machine, &[]).shown
}

/// Describes the interfaces and leaves out what is of no use to a conductor, and those with one of these drivers.
pub fn sort_out(machine: &Machine, ignored_drivers: &[String]) -> Interfaces {
    let kernel = Kernel::ask(machine);
    let mut interfaces = Interfaces::default();
    for name in names(machine) {
        let interface = describe(machine, &kernel, &name);
        match objection(&interface, ignored_drivers) {
            Some(reason) => interfaces.left_out.push((name, reason)),
            None => interfaces.shown.push(interface),
        }
    }
    interfaces
}

fn objection(interface: &Interface, ignored_drivers: &[String]) -> Option<LeftOut> {
    let address = &interface.mac_address;
    if address.bytes().all(|byte| byte == b'0' || byte == b':') {
        return Some(LeftOut::NoAddress);
    }
    if address.starts_with("fa:") {
        return Some(LeftOut::BmcAddress(address.clone()));
    }
    let driver = interface.driver.as_ref().filter(|driver| ignored_drivers.contains(driver));
    driver.map(|driver| LeftOut::Driver(driver.clone()))
}

fn describe(machine: &Machine, kernel: &Kernel, name: &str) -> Interface {
    let sys = format!("{NET}/{name}");
    let address = permanent_address(machine, kernel, name);
    let addresses = kernel.addresses.get(name);
    let common = Interface {
        name: name.to_string(),
        ipv4_address: addresses.and_then(|a| a.v4.clone()),
        has_carrier: machine.read(format!("{sys}/carrier")).as_deref() == Some("1"),
        vendor: machine.read(format!("{sys}/device/vendor")),
        product: machine.read(format!("{sys}/device/device")),
        ..Interface::default()
    };
    match infiniband(&address).filter(|_| common.vendor.as_deref() == Some(MELLANOX)) {
        Some((mac_address, client_id)) => Interface { mac_address, client_id: Some(client_id), ..common },
        None => Interface {
            mac_address: address,
            ipv6_address: addresses.and_then(|a| a.v6.clone()),
            speed_mbps: kernel.ethtool.as_ref().and_then(|e| e.highest_speed_mbps(name)),
            pci_address: machine.link_name(format!("{sys}/device")),
            driver: machine.link_name(format!("{sys}/device/driver")),
            ..common
        },
    }
}

/// The address that the device came with, else the one that the interface has.
fn permanent_address(machine: &Machine, kernel: &Kernel, name: &str) -> String {
    let permanent = kernel.ethtool.as_ref().and_then(|ethtool| ethtool.permanent_address(name));
    let current = || machine.read(format!("{NET}/{name}/address"));
    permanent.map(|bytes| colons(&bytes)).or_else(current).unwrap_or_default().to_lowercase()
}

/// The MAC address and the DHCP client id that belong to an InfiniBand hardware address, whose end is the GUID.
fn infiniband(address: &str) -> Option<(String, String)> {
    if address.len() != INFINIBAND_CHARACTERS || !address.is_ascii() {
        return None;
    }
    let guid = &address[36..];
    Some((format!("{}{}", &guid[..9], &guid[15..]), format!("ff:00:00:00:00:00:02:00:00:02:c9:00:{guid}")))
}

fn colons(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// What only the running kernel can tell.
#[derive(Debug, Default)]
struct Kernel {
    ethtool: Option<Ethtool>,
    addresses: HashMap<String, Addresses>,
}

#[derive(Debug, Default)]
struct Addresses {
    v4: Option<String>,
    v6: Option<String>,
}

impl Kernel {
    fn ask(machine: &Machine) -> Self {
        if !machine.is_host() {
            return Self::default();
        }
        let mut addresses: HashMap<String, Addresses> = HashMap::new();
        for entry in nix::ifaddrs::getifaddrs().into_iter().flatten() {
            let Some(address) = entry.address else { continue };
            let of_interface = addresses.entry(entry.interface_name.clone()).or_default();
            if let Some(v4) = address.as_sockaddr_in() {
                of_interface.v4.get_or_insert_with(|| v4.ip().to_string());
            } else if let Some(v6) = address.as_sockaddr_in6() {
                of_interface.v6.get_or_insert_with(|| with_scope(v6.ip(), v6.scope_id(), &entry.interface_name));
            }
        }
        Self { ethtool: Ethtool::open().ok(), addresses }
    }
}

fn with_scope(address: Ipv6Addr, scope: u32, interface: &str) -> String {
    if scope == 0 { address.to_string() } else { format!("{address}%{interface}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infiniband_addresses_become_mac_addresses() {
        let (mac, client) = infiniband("a0:00:00:27:fe:80:00:00:00:00:00:00:7c:fe:90:03:00:29:26:52").unwrap();
        assert_eq!(mac, "7c:fe:90:29:26:52");
        assert_eq!(client, "ff:00:00:00:00:00:02:00:00:02:c9:00:7c:fe:90:03:00:29:26:52");
        assert_eq!(infiniband("52:54:00:aa:00:01"), None);
    }
}
