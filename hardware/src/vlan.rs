//! VLAN interfaces that are wanted, by name or because the switch says so, and creating them.

use std::io;

use tracing::{info, warn};

use crate::link;
use crate::nic::Interface;

/// LLDP type of organisationally specific TLVs, and the start (hex) of one that names a VLAN: IEEE 802.1, subtype 3.
const VLAN_NAME: (u8, &str) = (127, "0080c203");
/// VLAN ids that IEEE 802.1Q leaves to users.
const IDS: std::ops::RangeInclusive<u16> = 1..=4094;

/// A VLAN on top of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vlan {
    /// Name of the interface below.
    pub parent: String,
    /// 1 to 4094.
    pub id: u16,
}

impl Vlan {
    /// Name of the VLAN's own interface, `eth0.100`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.parent, self.id)
    }
}

/// The VLANs that `list` (the option `enable_vlan_interfaces`) asks for and that are not there yet: `INTERFACE.ID`,
/// `MAC.ID`, or an `INTERFACE` or `all` with the VLANs that the switch names by LLDP. What fits nothing is logged.
pub fn wanted(list: &[String], interfaces: &[Interface]) -> Vec<Vlan> {
    let mut wanted: Vec<Vlan> = Vec::new();
    for item in list {
        let found = match item.rsplit_once('.') {
            Some((parent, id)) => explicit(parent, id, interfaces).into_iter().collect(),
            None => announced(item, interfaces),
        };
        if found.is_empty() {
            warn!(item, "no VLAN interface comes of it: no such interface, no such id, or no VLAN was heard by LLDP");
        }
        for vlan in found {
            if !wanted.contains(&vlan) && interfaces.iter().all(|interface| interface.name != vlan.name()) {
                wanted.push(vlan);
            }
        }
    }
    wanted
}

fn explicit(parent: &str, id: &str, interfaces: &[Interface]) -> Option<Vlan> {
    let fits = |interface: &&Interface| interface.name == parent || interface.mac_address.eq_ignore_ascii_case(parent);
    let id = id.parse().ok().filter(|id| IDS.contains(id))?;
    Some(Vlan { parent: interfaces.iter().find(fits)?.name.clone(), id })
}

fn announced(item: &str, interfaces: &[Interface]) -> Vec<Vlan> {
    let listening = interfaces.iter().filter(|interface| item == "all" || interface.name == item);
    let vlans = listening.flat_map(|interface| {
        let tlvs = interface.lldp.iter().flatten().filter(|tlv| tlv.0 == VLAN_NAME.0);
        let ids = tlvs.filter_map(|tlv| u16::from_str_radix(tlv.1.strip_prefix(VLAN_NAME.1)?.get(..4)?, 16).ok());
        ids.filter(|id| IDS.contains(id)).map(|id| Vlan { parent: interface.name.clone(), id })
    });
    vlans.collect()
}

/// Creates the VLANs, up, and returns the names of those that are there now. A failure is logged: the others count.
pub fn create_all(vlans: &[Vlan]) -> Vec<String> {
    let created = |vlan: &&Vlan| match create(vlan) {
        Ok(()) => {
            info!(interface = vlan.name(), "VLAN interface created");
            true
        }
        Err(error) => {
            warn!(interface = vlan.name(), %error, "cannot create the VLAN interface");
            false
        }
    };
    vlans.iter().filter(created).map(Vlan::name).collect()
}

/// Creates one VLAN, up.
///
/// # Errors
/// The kernel's: no such parent, the parent is down, the name is taken, no VLAN support.
pub fn create(vlan: &Vlan) -> io::Result<()> {
    link::create_vlan(link::index(&vlan.parent)?, &vlan.name(), vlan.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lldp::Tlv;

    fn interfaces() -> Vec<Interface> {
        let interface = |name: &str, mac: &str, tlvs: &[(u8, &str)]| Interface {
            name: name.into(),
            mac_address: mac.into(),
            lldp: Some(tlvs.iter().map(|(kind, value)| Tlv(*kind, value.to_string())).collect()),
            ..Interface::default()
        };
        vec![
            // VLAN 100 by name, another subtype, VLAN 0x0065, an id of priority tags, a TLV that is cut short
            interface(
                "eth0",
                "52:54:00:00:00:01",
                &[
                    (127, "0080c2030064046e616d65"),
                    (127, "0080c2010001"),
                    (127, "0080c2030065"),
                    (127, "0080c2030000"),
                    (127, "0080c20300"),
                ],
            ),
            interface("eth1", "52:54:00:00:00:02", &[(127, "0080c2030064"), (5, "0080c2030066")]),
            interface("eth1.7", "52:54:00:00:00:02", &[]),
        ]
    }

    fn names(list: &[&str]) -> Vec<String> {
        let list: Vec<String> = list.iter().map(ToString::to_string).collect();
        wanted(&list, &interfaces()).iter().map(Vlan::name).collect()
    }

    #[test]
    fn vlans_are_named_by_interface_or_mac_address() {
        assert_eq!(names(&["eth0.5", "52:54:00:00:00:02.6", "eth1.8"]), ["eth0.5", "eth1.6", "eth1.8"]);
        // what is there, what is named twice, what is no VLAN, what has no parent
        assert!(names(&["eth1.7"]).is_empty());
        assert_eq!(names(&["eth0.5", "52:54:00:00:00:01.5"]), ["eth0.5"]);
        assert!(names(&["eth0.0", "eth0.4095", "eth0.x", "eth9.5"]).is_empty());
    }

    #[test]
    fn vlans_are_taken_from_what_the_switch_says() {
        assert_eq!(names(&["all"]), ["eth0.100", "eth0.101", "eth1.100"]);
        assert_eq!(names(&["eth1"]), ["eth1.100"]);
        assert!(names(&["eth1.7", "eth5"]).is_empty());
    }
}
