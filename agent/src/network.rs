//! Network configuration of a machine whose network says nothing of itself: [`data`] brings links, addresses and routes,
//! and they are put into effect here, by the kernel's own interface.

pub mod data;

use std::collections::BTreeMap;
use std::fs;
use std::io;

use data::{Addressing, Kind, Link, NetworkData};
use ferric_hardware::link;
use ferric_hardware::machine::Machine;
use ferric_hardware::nic;
use ferric_hardware::vlan::Vlan;
use tracing::{info, warn};

/// Name servers, as a DHCP client that runs besides puts them in front of its own, and as everybody reads them.
const NAME_SERVERS: [&str; 2] = ["/etc/resolv.conf.head", "/etc/resolv.conf"];

/// An interface that gets addresses from its network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dynamic {
    /// By DHCP.
    pub ipv4: bool,
    /// By router advertisements and DHCPv6.
    pub ipv6: bool,
}

/// Puts `data` into effect and returns the interfaces that are left to the network, by name. What cannot be done is logged
/// and the rest is done.
pub fn apply(machine: &Machine, data: &NetworkData) -> BTreeMap<String, Dynamic> {
    let interfaces = interfaces(machine, &data.links);
    let mut dynamic: BTreeMap<String, Dynamic> = BTreeMap::new();
    for network in &data.networks {
        let Some(interface) = interfaces.get(network.link.as_str()) else {
            warn!(link = network.link, "this network has no interface");
            continue;
        };
        match network.addressing {
            Addressing::DynamicIpv4 => dynamic.entry(interface.clone()).or_default().ipv4 = true,
            Addressing::DynamicIpv6 => dynamic.entry(interface.clone()).or_default().ipv6 = true,
            Addressing::Static(prefix) => {
                let (address, length) = (prefix.address, prefix.length);
                let added = with(interface, |index| link::add_address(index, prefix));
                report(interface, &format!("address {address}/{length}"), added);
            }
        }
        for route in &network.routes {
            let added = with(interface, |index| link::add_route(index, route.destination, Some(route.gateway)));
            let destination = format!("{}/{}", route.destination.address, route.destination.length);
            report(interface, &format!("route to {destination} by {}", route.gateway), added);
        }
    }
    if !data.name_servers.is_empty() {
        let text: String = data.name_servers.iter().map(|server| format!("nameserver {server}\n")).collect();
        for file in NAME_SERVERS {
            if let Err(error) = fs::write(machine.path(file), &text) {
                warn!(file, %error, "cannot write the name servers");
            }
        }
    }
    dynamic
}

/// Makes the links and switches them on; returns the interface of each by the link's id.
fn interfaces<'a>(machine: &Machine, links: &'a [Link]) -> BTreeMap<&'a str, String> {
    let mut interfaces: BTreeMap<&str, String> = BTreeMap::new();
    let mut waiting: Vec<&Link> = links.iter().collect();
    // A link can be made once those below it are: until nothing more can.
    loop {
        let before = waiting.len();
        waiting.retain(|link| {
            let Some(made) = make(machine, link, &interfaces) else { return true };
            match made {
                Ok(interface) => {
                    info!(link = link.id, interface, "interface is up");
                    interfaces.insert(&link.id, interface);
                }
                Err(error) => warn!(link = link.id, %error, "cannot make this interface"),
            }
            false
        });
        if waiting.len() == before {
            break;
        }
    }
    for link in waiting {
        warn!(link = link.id, "a link that this one needs is missing");
    }
    interfaces
}

/// The interface of a link, up; nothing as long as one below it is missing.
fn make(machine: &Machine, link: &Link, made: &BTreeMap<&str, String>) -> Option<io::Result<String>> {
    match &link.kind {
        Kind::Device => Some(device(machine, link)),
        Kind::Vlan { link: parent, id } => made.get(parent.as_str()).map(|parent| {
            let vlan = Vlan { parent: parent.clone(), id: *id };
            ferric_hardware::vlan::create(&vlan)?;
            prepare(link, &vlan.name(), link.mac_address)
        }),
        Kind::Bond { links, options } => {
            let members: Option<Vec<&String>> = links.iter().map(|id| made.get(id.as_str())).collect();
            members.map(|members| {
                let name = bond_name(machine, &link.id);
                link::create_bond(&name, *options)?;
                let bond = link::index(&name)?;
                for member in members {
                    link::enslave(link::index(member)?, bond)?;
                }
                prepare(link, &name, link.mac_address)
            })
        }
    }
}

fn device(machine: &Machine, link: &Link) -> io::Result<String> {
    let address = link.mac_address.ok_or_else(|| io::Error::other("it has no MAC address"))?;
    let address = address.map(|byte| format!("{byte:02x}")).join(":");
    let missing = || io::Error::other(format!("no interface has the MAC address {address}"));
    let name = nic::by_mac_address(machine, &address).ok_or_else(missing)?;
    prepare(link, &name, None)
}

fn prepare(link: &Link, interface: &str, mac_address: Option<link::MacAddress>) -> io::Result<String> {
    let index = link::index(interface)?;
    if let Some(address) = mac_address {
        link::set_mac_address(index, address)?;
    }
    if let Some(bytes) = link.mtu {
        link::set_mtu(index, bytes)?;
    }
    link::set_up(index)?;
    Ok(interface.to_string())
}

/// The document's own name when an interface can be called so, else the first free one of the usual kind.
fn bond_name(machine: &Machine, id: &str) -> String {
    let is_free = |name: &String| !machine.exists(format!("/sys/class/net/{name}"));
    let is_name = |name: &str| !name.is_empty() && name.len() <= 15 && name.bytes().all(|b| b.is_ascii_alphanumeric());
    let usual = (0..).map(|number| format!("bond{number}"));
    is_name(id).then(|| id.to_string()).into_iter().chain(usual).find(is_free).unwrap_or_default()
}

fn with(interface: &str, change: impl Fn(u32) -> io::Result<()>) -> io::Result<()> {
    change(link::index(interface)?)
}

fn report(interface: &str, what: &str, done: io::Result<()>) {
    match done {
        Ok(()) => info!(interface, what, "configured"),
        Err(error) => warn!(interface, what, %error, "cannot be configured"),
    }
}
