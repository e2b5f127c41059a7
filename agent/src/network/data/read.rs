//! From the document's texts to what they mean.

use std::net::IpAddr;

use ferric_hardware::link::{Bond, MacAddress, Prefix};

use super::{Addressing, DataError, Kind, Link, Network, NetworkData, Route, document};

impl NetworkData {
    /// Reads a document.
    ///
    /// # Errors
    /// [`DataError`]
    pub fn parse(text: &str) -> Result<Self, DataError> {
        let document: document::NetworkData = serde_json::from_str(text)?;
        let links = document.links.into_iter().map(link).collect::<Result<_, _>>()?;
        let mut name_servers = Vec::new();
        let mut networks = Vec::new();
        collect_name_servers(&document.services, "services", &mut name_servers)?;
        for network in document.networks {
            collect_name_servers(&network.services, &network.id, &mut name_servers)?;
            for text in &network.dns_nameservers {
                push_once(&mut name_servers, address(text, "name server", &network.id)?);
            }
            for route in &network.routes {
                collect_name_servers(&route.services, &network.id, &mut name_servers)?;
            }
            networks.push(self::network(network)?);
        }
        Ok(Self { links, networks, name_servers })
    }
}

/// The names of bonding modes, and of what distributes packets, by the kernel's numbers.
const BOND_MODES: [&str; 7] =
    ["balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"];
const HASH_POLICIES: [&str; 6] = ["layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac"];
/// Milliseconds, where the document does not say how often a bond looks at its links.
const MIIMON: u32 = 100;

fn link(link: document::Link) -> Result<Link, DataError> {
    let id = link.id;
    let kind = match link.kind.as_str() {
        "bond" => Kind::Bond {
            links: link.bond_links,
            options: Bond {
                mode: number(&BOND_MODES, link.bond_mode.as_deref().unwrap_or(BOND_MODES[0]), "bond mode", &id)?,
                miimon: link.bond_miimon.unwrap_or(MIIMON),
                hash_policy: match link.bond_xmit_hash_policy {
                    Some(policy) => Some(number(&HASH_POLICIES, &policy, "hash policy", &id)?),
                    None => None,
                },
            },
        },
        "vlan" => {
            let vlan = link.vlan_id.filter(|vlan| (1..=4094).contains(vlan));
            let wrong = || value("VLAN", &format!("{:?}", link.vlan_id), &id);
            Kind::Vlan { link: link.vlan_link.unwrap_or_default(), id: vlan.ok_or_else(wrong)? }
        }
        _ => Kind::Device,
    };
    let mac = link.vlan_mac_address.or(link.ethernet_mac_address);
    let mac_address = mac.map(|text| mac_address(&text).ok_or_else(|| value("MAC address", &text, &id))).transpose()?;
    Ok(Link { id, kind, mac_address, mtu: link.mtu })
}

fn network(network: document::Network) -> Result<Network, DataError> {
    let id = network.id;
    let addressing = match network.kind.as_str() {
        "ipv4" | "ipv6" => {
            let text = network.ip_address.unwrap_or_default();
            Addressing::Static(prefix(&text, network.netmask.as_ref(), "address", &id)?)
        }
        "ipv4_dhcp" => Addressing::DynamicIpv4,
        kind if kind.starts_with("ipv6_") => Addressing::DynamicIpv6,
        other => return Err(value("type", other, &id)),
    };
    let mut routes = Vec::new();
    if let Some(gateway) = network.gateway.filter(|gateway| !gateway.is_empty()) {
        let gateway = address(&gateway, "gateway", &id)?;
        let any = prefix(if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" }, None, "network", &id)?;
        routes.push(Route { destination: any, gateway });
    }
    for route in network.routes {
        let destination = prefix(&route.network, route.netmask.as_ref(), "network", &id)?;
        let gateway = address(&route.gateway, "gateway", &id)?;
        if destination.address.is_ipv4() != gateway.is_ipv4() {
            return Err(value("gateway", &route.gateway, &id));
        }
        routes.push(Route { destination, gateway });
    }
    Ok(Network { link: network.link, addressing, routes })
}

fn collect_name_servers(services: &[document::Service], of: &str, found: &mut Vec<IpAddr>) -> Result<(), DataError> {
    for service in services.iter().filter(|service| service.kind == "dns") {
        push_once(found, address(&service.address, "name server", of)?);
    }
    Ok(())
}

fn push_once(addresses: &mut Vec<IpAddr>, address: IpAddr) {
    if !addresses.contains(&address) {
        addresses.push(address);
    }
}

fn value(what: &'static str, value: &str, of: &str) -> DataError {
    DataError::Value { what, value: value.to_string(), of: of.to_string() }
}

fn number(names: &[&str], name: &str, what: &'static str, of: &str) -> Result<u8, DataError> {
    let position = names.iter().position(|known| *known == name);
    position.and_then(|position| u8::try_from(position).ok()).ok_or_else(|| value(what, name, of))
}

fn mac_address(text: &str) -> Option<MacAddress> {
    let bytes: Option<Vec<u8>> = text
        .split([':', '-'])
        .map(|byte| if byte.len() == 2 { u8::from_str_radix(byte, 16).ok() } else { None })
        .collect();
    bytes?.try_into().ok()
}

/// An address; the interface behind the `%` of a link-local one is known anyway.
fn address(text: &str, what: &'static str, of: &str) -> Result<IpAddr, DataError> {
    text.split('%').next().unwrap_or_default().parse().map_err(|_| value(what, text, of))
}

/// An address with its network's length: behind a slash, or from a mask, which may be a length as well.
fn prefix(text: &str, mask: Option<&document::Mask>, what: &'static str, of: &str) -> Result<Prefix, DataError> {
    let (number, behind_slash) = text.split_once('/').map_or((text, None), |(number, length)| (number, Some(length)));
    let address = address(number, what, of)?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let length = match (behind_slash, mask) {
        (Some(length), _) => length.parse().ok(),
        (None, Some(document::Mask::Length(length))) => Some(*length),
        (None, Some(document::Mask::Text(mask))) => mask.parse().ok().or_else(|| mask_length(mask)),
        (None, None) => Some(bits),
    };
    match length.filter(|length| *length <= bits) {
        Some(length) => Ok(Prefix { address, length }),
        None => Err(value("network mask", &mask.map_or(text.to_string(), |mask| format!("{mask:?}")), of)),
    }
}

/// The number of leading ones of a mask that has no others.
fn mask_length(mask: &str) -> Option<u8> {
    let (bits, width) = match mask.parse().ok()? {
        IpAddr::V4(mask) => (u128::from(u32::from(mask)) << 96, 32),
        IpAddr::V6(mask) => (u128::from(mask), 128),
    };
    let length = bits.leading_ones();
    (bits.count_ones() == length && length <= width).then_some(length as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(address: &str, length: u8) -> Prefix {
        Prefix { address: address.parse().unwrap(), length }
    }

    #[test]
    fn a_document_of_every_kind() {
        let text = r#"{
            "links": [
                {"id": "eth0", "type": "phy", "ethernet_mac_address": "52:54:00:AA:00:01", "mtu": 9000},
                {"id": "eth1", "type": "vif", "ethernet_mac_address": "52-54-00-aa-00-02", "mtu": null},
                {"id": "bond0", "type": "bond", "bond_links": ["eth0", "eth1"], "bond_mode": "802.3ad",
                 "bond_xmit_hash_policy": "layer3+4", "ethernet_mac_address": "52:54:00:aa:00:01"},
                {"id": "vlan5", "type": "vlan", "vlan_link": "bond0", "vlan_id": 5,
                 "vlan_mac_address": "52:54:00:aa:00:05"}],
            "networks": [
                {"id": "n0", "type": "ipv4", "link": "vlan5", "network_id": "x", "ip_address": "192.0.2.5",
                 "netmask": "255.255.252.0", "routes": [
                    {"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "192.0.2.1",
                     "services": [{"type": "dns", "address": "192.0.2.54"}]}]},
                {"id": "n1", "type": "ipv6", "link": "vlan5", "ip_address": "2001:db8::5/64", "gateway": "fe80::1%eth0",
                 "dns_nameservers": ["2001:db8::53"]},
                {"id": "n2", "type": "ipv6", "link": "eth1", "ip_address": "2001:db8:1::5", "netmask": "ffff:ffff::"},
                {"id": "n3", "type": "ipv4_dhcp", "link": "eth1"},
                {"id": "n4", "type": "ipv6_dhcpv6-stateful", "link": "eth1"}],
            "services": [{"type": "dns", "address": "192.0.2.53"}, {"type": "dns", "address": "192.0.2.54"}]}"#;
        let data = NetworkData::parse(text).unwrap();
        assert_eq!(data.links[0].mac_address, Some([0x52, 0x54, 0, 0xaa, 0, 1]));
        assert_eq!((data.links[0].mtu, data.links[1].mtu), (Some(9000), None));
        let options = Bond { mode: 4, miimon: 100, hash_policy: Some(1) };
        assert_eq!(data.links[2].kind, Kind::Bond { links: vec!["eth0".into(), "eth1".into()], options });
        assert_eq!(data.links[3].kind, Kind::Vlan { link: "bond0".into(), id: 5 });
        assert_eq!(data.links[3].mac_address, Some([0x52, 0x54, 0, 0xaa, 0, 5]));

        let addressing: Vec<&Addressing> = data.networks.iter().map(|network| &network.addressing).collect();
        let expected = [
            Addressing::Static(prefix("192.0.2.5", 22)),
            Addressing::Static(prefix("2001:db8::5", 64)),
            Addressing::Static(prefix("2001:db8:1::5", 32)),
            Addressing::DynamicIpv4,
            Addressing::DynamicIpv6,
        ];
        assert_eq!(addressing, expected.iter().collect::<Vec<_>>());
        let way_out =
            |address, gateway: &str| Route { destination: prefix(address, 0), gateway: gateway.parse().unwrap() };
        assert_eq!(data.networks[0].routes, [way_out("0.0.0.0", "192.0.2.1")]);
        assert_eq!(data.networks[1].routes, [way_out("::", "fe80::1")]);
        let servers: Vec<String> = data.name_servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.53", "192.0.2.54", "2001:db8::53"]);
    }

    #[test]
    fn masks_come_in_three_spellings() {
        for mask in [r#""255.255.255.0""#, "24", r#""24""#] {
            let text = format!(
                r#"{{"networks": [{{"type": "ipv4", "link": "a", "ip_address": "192.0.2.5", "netmask": {mask}}}]}}"#
            );
            let data = NetworkData::parse(&text).unwrap();
            assert_eq!(data.networks[0].addressing, Addressing::Static(prefix("192.0.2.5", 24)), "{mask}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let network = |fields: &str| format!(r#"{{"networks": [{{"id": "n7", "link": "a", {fields}}}]}}"#);
        let link = |fields: &str| format!(r#"{{"links": [{{"id": "n7", {fields}}}]}}"#);
        for (text, expected) in [
            (network(r#""type": "ipv4", "ip_address": "192.0.2.300""#), "address \"192.0.2.300\""),
            (network(r#""type": "ipv4""#), "address \"\""),
            (network(r#""type": "ipv4", "ip_address": "192.0.2.3", "netmask": "255.0.255.0""#), "network mask"),
            (network(r#""type": "ipv4", "ip_address": "192.0.2.3", "netmask": 33"#), "network mask"),
            (network(r#""type": "ipx""#), "type \"ipx\""),
            (
                network(r#""type": "ipv4_dhcp", "routes": [{"network": "::", "netmask": 0, "gateway": "192.0.2.1"}]"#),
                "gateway \"192.0.2.1\"",
            ),
            (link(r#""type": "vlan", "vlan_link": "a", "vlan_id": 4095"#), "VLAN"),
            (link(r#""type": "bond", "bond_mode": "magic""#), "bond mode \"magic\""),
            (link(r#""type": "phy", "ethernet_mac_address": "52:54:00:aa:00""#), "MAC address"),
        ] {
            let error = NetworkData::parse(&text).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("n7"), "{error}");
        }
        assert!(matches!(NetworkData::parse("17"), Err(DataError::Format(_))));
    }
}
