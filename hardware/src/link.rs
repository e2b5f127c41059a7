//! Changing the network: interfaces, what they are made of, addresses and routes. Interfaces are named by the kernel's
//! index ([`index`]).
//!
//! Numbers of attributes that the C library does not name are those of linux/if_link.h.

use std::io;
use std::net::IpAddr;

use nix::libc;
use nix::net::if_::if_nametoindex;

use crate::netlink::{attribute, request};

/// A MAC address.
pub type MacAddress = [u8; 6];

/// A network: an address, and how many of its leading bits are the network's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// The address.
    pub address: IpAddr,
    /// Leading bits, at most 32 or 128.
    pub length: u8,
}

/// How the interfaces of a bond work together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bond {
    /// The kernel's number of the mode, 0 (round-robin) to 6.
    pub mode: u8,
    /// Milliseconds between looks at the links; 0 is never.
    pub miimon: u32,
    /// The kernel's number of what distributes packets over the interfaces.
    pub hash_policy: Option<u8>,
}

const IFLA_VLAN_ID: u16 = 1;
const IFLA_BOND_MODE: u16 = 1;
const IFLA_BOND_MIIMON: u16 = 3;
const IFLA_BOND_XMIT_HASH_POLICY: u16 = 14;
/// From linux/rtnetlink.h.
const RTNH_F_ONLINK: u32 = 4;

/// The kernel's index of an interface.
///
/// # Errors
/// There is none of that name.
pub fn index(name: &str) -> io::Result<u32> {
    Ok(if_nametoindex(name)?)
}

/// Creates the VLAN `id` on an interface, up.
///
/// # Errors
/// The kernel's: no such parent, the parent is down, the name is taken, no VLAN support.
pub fn create_vlan(parent: u32, name: &str, id: u16) -> io::Result<()> {
    let mut body = interface(0, UP, UP);
    body.extend(attribute(libc::IFLA_LINK, &parent.to_ne_bytes()));
    body.extend(named(name, "vlan", &attribute(IFLA_VLAN_ID, &id.to_ne_bytes())));
    request(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &body)
}

/// Creates a bond without interfaces, down.
///
/// # Errors
/// The kernel's: the name is taken, no such mode, no support of bonds.
pub fn create_bond(name: &str, bond: Bond) -> io::Result<()> {
    let mut options = attribute(IFLA_BOND_MODE, &[bond.mode]);
    options.extend(attribute(IFLA_BOND_MIIMON, &bond.miimon.to_ne_bytes()));
    options.extend(bond.hash_policy.iter().flat_map(|policy| attribute(IFLA_BOND_XMIT_HASH_POLICY, &[*policy])));
    let body = [interface(0, 0, 0), named(name, "bond", &options)].concat();
    request(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &body)
}

/// Makes an interface, which is taken down for that, part of a bond.
///
/// # Errors
/// The kernel's.
pub fn enslave(index: u32, bond: u32) -> io::Result<()> {
    request(libc::RTM_NEWLINK, 0, &interface(index, 0, UP))?;
    change(index, libc::IFLA_MASTER, &bond.to_ne_bytes())
}

/// Sets the greatest size of a packet.
///
/// # Errors
/// The kernel's: more or less than the driver can.
pub fn set_mtu(index: u32, bytes: u32) -> io::Result<()> {
    change(index, libc::IFLA_MTU, &bytes.to_ne_bytes())
}

/// Sets the MAC address.
///
/// # Errors
/// The kernel's.
pub fn set_mac_address(index: u32, address: MacAddress) -> io::Result<()> {
    change(index, libc::IFLA_ADDRESS, &address)
}

/// Switches an interface on.
///
/// # Errors
/// The kernel's.
pub fn set_up(index: u32) -> io::Result<()> {
    request(libc::RTM_NEWLINK, 0, &interface(index, UP, UP))
}

/// Gives an interface an address. It is of use at once: whether somebody else has it is not found out first.
///
/// # Errors
/// The kernel's.
pub fn add_address(index: u32, prefix: Prefix) -> io::Result<()> {
    let address = octets(prefix.address);
    // struct ifaddrmsg
    let mut body = vec![family(prefix.address), prefix.length, 0, libc::RT_SCOPE_UNIVERSE];
    body.extend(index.to_ne_bytes());
    body.extend(attribute(libc::IFA_LOCAL, &address));
    body.extend(attribute(libc::IFA_ADDRESS, &address));
    if let IpAddr::V4(address) = prefix.address
        && prefix.length < 31
    {
        let hosts = u32::MAX.checked_shr(prefix.length.into()).unwrap_or(0);
        body.extend(attribute(libc::IFA_BROADCAST, &(u32::from(address) | hosts).to_be_bytes()));
    }
    body.extend(attribute(libc::IFA_FLAGS, &(libc::IFA_F_PERMANENT | libc::IFA_F_NODAD).to_ne_bytes()));
    request(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &body)
}

/// Sends packets for a network to a gateway, which need not be of a network of the interface, or into the interface's
/// own link.
///
/// # Errors
/// The kernel's: the interface is down, the gateway is of another family, there is such a route already.
pub fn add_route(index: u32, destination: Prefix, gateway: Option<IpAddr>) -> io::Result<()> {
    let scope = if gateway.is_some() { libc::RT_SCOPE_UNIVERSE } else { libc::RT_SCOPE_LINK };
    // struct rtmsg
    let mut body = vec![family(destination.address), destination.length, 0, 0];
    body.extend([libc::RT_TABLE_MAIN, libc::RTPROT_STATIC, scope, libc::RTN_UNICAST]);
    let flags = if gateway.is_some() { RTNH_F_ONLINK } else { 0 };
    body.extend(flags.to_ne_bytes());
    body.extend(attribute(libc::RTA_OIF, &index.to_ne_bytes()));
    body.extend(attribute(libc::RTA_DST, &octets(network(destination))));
    body.extend(gateway.iter().flat_map(|gateway| attribute(libc::RTA_GATEWAY, &octets(*gateway))));
    request(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &body)
}

const UP: u32 = libc::IFF_UP as u32;

/// `struct ifinfomsg` of the interface `index` (0: one to be created) with these flags, of which `mask` are meant.
fn interface(index: u32, flags: u32, mask: u32) -> Vec<u8> {
    [[0; 4], index.to_ne_bytes(), flags.to_ne_bytes(), mask.to_ne_bytes()].concat()
}

fn named(name: &str, kind: &str, options: &[u8]) -> Vec<u8> {
    let kind = attribute(libc::IFLA_INFO_KIND, kind.as_bytes());
    let info = [kind, attribute(libc::IFLA_INFO_DATA, options)].concat();
    let name = attribute(libc::IFLA_IFNAME, &[name.as_bytes(), b"\0"].concat());
    [name, attribute(libc::IFLA_LINKINFO, &info)].concat()
}

fn change(index: u32, kind: u16, value: &[u8]) -> io::Result<()> {
    request(libc::RTM_NEWLINK, 0, &[interface(index, 0, 0), attribute(kind, value)].concat())
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { libc::AF_INET as u8 } else { libc::AF_INET6 as u8 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The address of the network itself; the kernel takes no other one as destination.
fn network(prefix: Prefix) -> IpAddr {
    match prefix.address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.length.min(32))).unwrap_or(0);
            IpAddr::V4((u32::from(address) & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.length.min(128))).unwrap_or(0);
            IpAddr::V6((u128::from(address) & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers_with_an_errno() {
        // A parent that cannot exist: whoever asks is refused, for one reason or the other, and nothing is created.
        let error = create_vlan(u32::MAX, "vlan-of-nothing", 5).unwrap_err();
        assert!(error.raw_os_error().is_some(), "{error}");
        assert!(index("no-such-nic").is_err());
    }

    #[test]
    fn destinations_of_routes_are_networks() {
        for (text, length, expected) in
            [("192.0.2.77", 24, "192.0.2.0"), ("192.0.2.77", 0, "0.0.0.0"), ("2001:db8::7", 64, "2001:db8::")]
        {
            let prefix = Prefix { address: text.parse().unwrap(), length };
            assert_eq!(network(prefix), expected.parse::<IpAddr>().unwrap());
        }
    }
}
