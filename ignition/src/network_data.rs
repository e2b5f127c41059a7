//! `network_data.json` of a config drive, as OpenStack and Metal3 write it, as keyfiles of NetworkManager
//! (<https://docs.openstack.org/nova/latest/user/metadata.html>, <https://networkmanager.dev/docs/api/latest/nm-settings-keyfile.html>).

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;
use thiserror::Error;

use crate::keyfile::{Keyfile, KeyfileError};

/// The kernel's limit of an interface's name (`IFNAMSIZ`).
const INTERFACE_BYTES: usize = 15;

/// What no keyfile can be made of.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NetworkDataError {
    /// A value that is missing or is something else.
    #[error("{place} is {value}, which is no {expected}")]
    Value {
        /// Where, `links[0].ethernet_mac_address`.
        place: String,
        /// What is there.
        value: Value,
        /// What should be there.
        expected: &'static str,
    },
    /// A link that is spoken of and not there.
    #[error("{place} names the link {id:?}, which is not there")]
    NoLink {
        /// Where.
        place: String,
        /// The link.
        id: String,
    },
    /// The file that came of it.
    #[error(transparent)]
    Keyfile(#[from] KeyfileError),
}

/// One keyfile for every link that has a network, or belongs to another link.
///
/// # Errors
/// With the place of what cannot be understood; nothing is left out silently.
pub fn keyfiles(network_data: &Value) -> Result<Vec<Keyfile>, NetworkDataError> {
    let links = list(network_data, "links");
    let mut keyfiles: Vec<Keyfile> = Vec::new();
    for (index, link) in links.iter().enumerate() {
        let place = format!("links[{index}]");
        let name = format!("{}.nmconnection", file_stem(link, index));
        let text = connection(network_data, link, &place)?;
        let name = match keyfiles.iter().any(|other| other.name() == name) {
            true => format!("link-{index}.nmconnection"),
            false => name,
        };
        keyfiles.extend(text.map(|text| Keyfile::new(name, text)).transpose()?);
    }
    Ok(keyfiles)
}

/// The keyfile of a link; none when it has no network and no part in another link.
fn connection(data: &Value, link: &Value, place: &str) -> Result<Option<String>, NetworkDataError> {
    let id = id(link);
    let links = list(data, "links");
    let bond = links.iter().find(|other| list(other, "bond_links").iter().any(|part| id_is(part, id)));
    let carries_vlan = links.iter().any(|other| id_is(&other["vlan_link"], id));
    let networks = list(data, "networks");
    let networks: Vec<(usize, &Value)> =
        networks.iter().enumerate().filter(|(_, network)| id_is(&network["link"], id)).collect();
    if networks.is_empty() && bond.is_none() && !carries_vlan {
        return Ok(None);
    }
    let kind = link["type"].as_str().unwrap_or_default();
    let mut text = format!("[connection]\nid={}\n", file_stem(link, 0));
    match kind {
        "bond" => {
            let _ = write!(text, "type=bond\ninterface-name={}\n", interface(link, place)?);
        }
        "vlan" => {
            text.push_str("type=vlan\n");
            if let Ok(name) = interface(link, place) {
                let _ = writeln!(text, "interface-name={name}");
            }
        }
        _ => text.push_str("type=ethernet\n"),
    }
    if let Some(bond) = bond {
        let position = links.iter().position(|other| other == bond).unwrap_or_default();
        let master = interface(bond, &format!("links[{position}]"))?;
        let _ = write!(text, "master={master}\nslave-type=bond\n");
    }
    text.push_str(&device(data, link, kind, place)?);
    if bond.is_none() {
        text.push_str(&addresses(data, &networks)?);
    }
    Ok(Some(text))
}

/// The sections about the device itself.
fn device(data: &Value, link: &Value, kind: &str, place: &str) -> Result<String, NetworkDataError> {
    let mut text = String::new();
    let mut ethernet = String::new();
    match kind {
        "bond" => {
            text.push_str("\n[bond]\n");
            let options =
                [("mode", "bond_mode"), ("miimon", "bond_miimon"), ("xmit_hash_policy", "bond_xmit_hash_policy")];
            for (option, key) in options {
                if let Some(value) = word(link, key, place)? {
                    let _ = writeln!(text, "{option}={value}");
                }
            }
            if let Some(address) = mac(link, "ethernet_mac_address", place)? {
                let _ = writeln!(ethernet, "cloned-mac-address={address}");
            }
        }
        "vlan" => {
            let number = number(&link["vlan_id"]).filter(|number| (1..=4094).contains(number));
            let number = number.ok_or_else(|| wrong(link, place, "vlan_id", "number of a VLAN"))?;
            let _ = write!(text, "\n[vlan]\nid={number}\n");
            let of = link["vlan_link"].as_str().unwrap_or_default();
            let parent = list(data, "links").iter().position(|other| id(other) == of);
            let position = parent
                .ok_or_else(|| NetworkDataError::NoLink { place: format!("{place}.vlan_link"), id: of.to_owned() })?;
            let (parent, place_of_parent) = (&list(data, "links")[position], format!("links[{position}]"));
            match parent["type"].as_str() {
                Some("bond" | "vlan") => {
                    let _ = writeln!(text, "parent={}", interface(parent, &place_of_parent)?);
                }
                _ => {
                    let address = required_mac(parent, &place_of_parent)?;
                    let _ = writeln!(ethernet, "mac-address={address}");
                }
            }
            if let Some(address) = mac(link, "vlan_mac_address", place)? {
                let _ = writeln!(ethernet, "cloned-mac-address={address}");
            }
        }
        _ => {
            let _ = writeln!(ethernet, "mac-address={}", required_mac(link, place)?);
        }
    }
    if !link["mtu"].is_null() {
        let mtu = number(&link["mtu"]).filter(|mtu| (68..=65536).contains(mtu));
        let _ = writeln!(ethernet, "mtu={}", mtu.ok_or_else(|| wrong(link, place, "mtu", "length of a frame"))?);
    }
    if !ethernet.is_empty() {
        let _ = write!(text, "\n[ethernet]\n{ethernet}");
    }
    Ok(text)
}

/// Addresses of one family.
#[derive(Default)]
struct Family {
    /// Whether somebody else gives addresses, and how.
    automatic: Option<&'static str>,
    lines: String,
    addresses: usize,
    routes: usize,
    name_servers: Vec<IpAddr>,
}

/// The sections `[ipv4]` and `[ipv6]`.
fn addresses(data: &Value, networks: &[(usize, &Value)]) -> Result<String, NetworkDataError> {
    let mut families = [Family::default(), Family::default()];
    let mut name_servers = Vec::new();
    services(data, "services", &mut name_servers)?;
    for (index, network) in networks {
        let place = format!("networks[{index}]");
        let kind = network["type"].as_str().unwrap_or_default();
        let family = &mut families[usize::from(kind.starts_with("ipv6"))];
        match kind {
            "ipv4" | "ipv6" => one_address(family, network, &place)?,
            "ipv4_dhcp" | "ipv6_slaac" | "ipv6_dhcpv6-stateless" => family.automatic = Some("auto"),
            "ipv6_dhcp" | "ipv6_dhcpv6-stateful" => family.automatic = Some("dhcp"),
            _ => return Err(wrong(network, &place, "type", "kind of network that is known")),
        }
        for server in list(network, "dns_nameservers") {
            name_servers.push(address(server).ok_or_else(|| wrong(network, &place, "dns_nameservers", "address"))?);
        }
        services(network, &format!("{place}.services"), &mut name_servers)?;
    }
    for server in name_servers {
        let family = &mut families[usize::from(server.is_ipv6())];
        if !family.name_servers.contains(&server) {
            family.name_servers.push(server);
        }
    }
    let mut text = String::new();
    for (name, family) in ["ipv4", "ipv6"].iter().zip(families) {
        let method = match (family.automatic, family.addresses) {
            (Some(method), _) => method,
            (None, 0) => "disabled",
            (None, _) => "manual",
        };
        let _ = write!(text, "\n[{name}]\nmethod={method}\n{}", family.lines);
        if method != "disabled" && !family.name_servers.is_empty() {
            let servers: String = family.name_servers.iter().map(|server| format!("{server};")).collect();
            let _ = writeln!(text, "dns={servers}");
        }
    }
    Ok(text)
}

fn services(holder: &Value, place: &str, name_servers: &mut Vec<IpAddr>) -> Result<(), NetworkDataError> {
    for service in list(holder, "services").iter().filter(|service| service["type"] == "dns") {
        name_servers.push(address(&service["address"]).ok_or_else(|| wrong(service, place, "address", "address"))?);
    }
    Ok(())
}

fn one_address(family: &mut Family, network: &Value, place: &str) -> Result<(), NetworkDataError> {
    let (ip, prefix) = with_prefix(&network["ip_address"], &network["netmask"])
        .ok_or_else(|| wrong(network, place, "ip_address", "address with a prefix or netmask"))?;
    family.addresses += 1;
    let _ = writeln!(family.lines, "address{}={ip}/{prefix}", family.addresses);
    if let Some(gateway) = network["gateway"].as_str().filter(|gateway| !gateway.is_empty()) {
        let gateway: IpAddr = gateway.parse().map_err(|_| wrong(network, place, "gateway", "address"))?;
        let _ = writeln!(family.lines, "gateway={gateway}");
    }
    for (index, route) in list(network, "routes").iter().enumerate() {
        let place = format!("{place}.routes[{index}]");
        let (to, prefix) = with_prefix(&route["network"], &route["netmask"])
            .ok_or_else(|| wrong(route, &place, "network", "address with a prefix or netmask"))?;
        let gateway = address(&route["gateway"]).ok_or_else(|| wrong(route, &place, "gateway", "address"))?;
        family.routes += 1;
        let _ = writeln!(family.lines, "route{}={to}/{prefix},{gateway}", family.routes);
    }
    Ok(())
}

/// `192.0.2.1/24`, or an address and its netmask, which may also be the length of a prefix.
fn with_prefix(address: &Value, mask: &Value) -> Option<(IpAddr, u32)> {
    let text = address.as_str()?;
    let (ip, prefix) = match text.split_once('/') {
        Some((ip, prefix)) => (ip.parse::<IpAddr>().ok()?, prefix.parse().ok()?),
        None => {
            let ip: IpAddr = text.parse().ok()?;
            (ip, prefix_of(mask, ip)?)
        }
    };
    (prefix <= if ip.is_ipv4() { 32 } else { 128 }).then_some((ip, prefix))
}

fn prefix_of(mask: &Value, ip: IpAddr) -> Option<u32> {
    if let Some(prefix) = number(mask) {
        return u32::try_from(prefix).ok();
    }
    let contiguous = |ones: u32, all: u32| (ones == all).then_some(ones);
    match (mask.as_str()?, ip) {
        (mask, IpAddr::V4(_)) => {
            let bits = u32::from(mask.parse::<Ipv4Addr>().ok()?);
            contiguous(bits.leading_ones(), bits.count_ones())
        }
        (mask, IpAddr::V6(_)) => {
            let bits = u128::from(mask.parse::<Ipv6Addr>().ok()?);
            contiguous(bits.leading_ones(), bits.count_ones())
        }
    }
}

fn address(value: &Value) -> Option<IpAddr> {
    value.as_str()?.parse().ok()
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn list<'a>(holder: &'a Value, key: &str) -> &'a [Value] {
    holder[key].as_array().map_or(&[], Vec::as_slice)
}

fn id(link: &Value) -> &str {
    link["id"].as_str().unwrap_or_default()
}

fn id_is(value: &Value, id: &str) -> bool {
    value.as_str().is_some_and(|value| !value.is_empty() && value == id)
}

/// The interface's name: the link's name, else its id.
fn interface<'a>(link: &'a Value, place: &str) -> Result<&'a str, NetworkDataError> {
    let plain = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    let names = ["name", "vlan_name", "id"].iter().filter_map(|key| link[*key].as_str());
    let mut names = names.filter(|name| !name.is_empty() && name.len() <= INTERFACE_BYTES && name.chars().all(plain));
    names.next().ok_or_else(|| wrong(link, place, "id", "name of an interface"))
}

fn file_stem(link: &Value, index: usize) -> String {
    let plain =
        |character: char| if character.is_ascii_alphanumeric() || "._-".contains(character) { character } else { '-' };
    let stem: String =
        link["name"].as_str().filter(|name| !name.is_empty()).unwrap_or(id(link)).chars().map(plain).collect();
    let stem = stem.trim_start_matches('.');
    if stem.is_empty() || stem.len() > 100 { format!("link-{index}") } else { stem.to_owned() }
}

/// One word that NetworkManager knows (`802.3ad`, `layer3+4`), or a number.
fn word(link: &Value, key: &str, place: &str) -> Result<Option<String>, NetworkDataError> {
    let text = match &link[key] {
        Value::Null => return Ok(None),
        Value::Number(number) => number.to_string(),
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    let plain = |character: char| character.is_ascii_alphanumeric() || "._-+".contains(character);
    if text.is_empty() || !text.chars().all(plain) {
        return Err(wrong(link, place, key, "word"));
    }
    Ok(Some(text))
}

fn required_mac(link: &Value, place: &str) -> Result<String, NetworkDataError> {
    let key = "ethernet_mac_address";
    mac(link, key, place)?.ok_or_else(|| wrong(link, place, key, "hardware address"))
}

fn mac(link: &Value, key: &str, place: &str) -> Result<Option<String>, NetworkDataError> {
    let Some(text) = link[key].as_str().filter(|text| !text.is_empty()) else { return Ok(None) };
    let bytes: Vec<&str> = text.split([':', '-']).collect();
    let is_byte = |byte: &&str| byte.len() == 2 && byte.chars().all(|digit| digit.is_ascii_hexdigit());
    if bytes.len() != 6 || !bytes.iter().all(is_byte) {
        return Err(wrong(link, place, key, "hardware address"));
    }
    Ok(Some(bytes.join(":").to_ascii_uppercase()))
}

fn wrong(holder: &Value, place: &str, key: &str, expected: &'static str) -> NetworkDataError {
    NetworkDataError::Value { place: format!("{place}.{key}"), value: holder[key].clone(), expected }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(data: &Value) -> Vec<(String, String)> {
        let files = keyfiles(data).unwrap();
        let text = |file: &Keyfile| String::from_utf8(file.contents().to_vec()).unwrap();
        files.iter().map(|file| (file.name().to_owned(), text(file))).collect()
    }

    #[test]
    fn an_address_with_route_and_name_servers() {
        let data = json!({
            "links": [{"id": "eth0", "type": "phy", "ethernet_mac_address": "52:54:00:aa:bb:cc", "mtu": 9000},
                {"id": "unused", "type": "phy", "ethernet_mac_address": "52:54:00:aa:bb:cd"}],
            "networks": [{"id": "n", "link": "eth0", "type": "ipv4", "ip_address": "192.0.2.5", "netmask": "255.255.255.0",
                "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "192.0.2.1"}]},
                {"id": "m", "link": "eth0", "type": "ipv6_slaac"}],
            "services": [{"type": "dns", "address": "192.0.2.53"}, {"type": "dns", "address": "2001:db8::53"}]});
        let expected = "[connection]\nid=eth0\ntype=ethernet\n\n[ethernet]\nmac-address=52:54:00:AA:BB:CC\nmtu=9000\n\
                        \n[ipv4]\nmethod=manual\naddress1=192.0.2.5/24\nroute1=0.0.0.0/0,192.0.2.1\ndns=192.0.2.53;\n\
                        \n[ipv6]\nmethod=auto\ndns=2001:db8::53;\n";
        assert_eq!(texts(&data), [("eth0.nmconnection".to_owned(), expected.to_owned())]);
    }

    #[test]
    fn a_vlan_on_a_bond_of_two() {
        let data = json!({
            "links": [{"id": "a", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01"},
                {"id": "b", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:02"},
                {"id": "bond0", "type": "bond", "bond_mode": "802.3ad", "bond_miimon": 100, "bond_links": ["a", "b"]},
                {"id": "storage", "type": "vlan", "vlan_id": "7", "vlan_link": "bond0"}],
            "networks": [{"link": "storage", "type": "ipv6", "ip_address": "2001:db8::5/64"}]});
        let texts = texts(&data);
        assert_eq!(texts.len(), 4);
        assert!(
            texts[0].1.contains(
                "type=ethernet\nmaster=bond0\nslave-type=bond\n\n[ethernet]\nmac-address=52:54:00:00:00:01\n"
            )
        );
        assert!(!texts[0].1.contains("[ipv4]"));
        assert!(
            texts[2].1.contains("interface-name=bond0\n\n[bond]\nmode=802.3ad\nmiimon=100\n\n[ipv4]\nmethod=disabled")
        );
        assert!(texts[3].1.contains(
            "[vlan]\nid=7\nparent=bond0\n\n[ipv4]\nmethod=disabled\n\n[ipv6]\nmethod=manual\naddress1=2001:db8::5/64\n"
        ));
    }

    #[test]
    fn what_cannot_be_said_is_named_and_nothing_makes_nothing() {
        assert_eq!(keyfiles(&json!(null)), Ok(Vec::new()));
        assert_eq!(keyfiles(&json!({"links": [], "networks": [], "services": []})), Ok(Vec::new()));
        let link = |mac: &str| json!([{"id": "e", "type": "phy", "ethernet_mac_address": mac}]);
        for (links, network, place) in [
            (link("no"), json!({"link": "e", "type": "ipv4_dhcp"}), "links[0].ethernet_mac_address"),
            (link("52:54:00:00:00:01"), json!({"link": "e", "type": "ipx"}), "networks[0].type"),
            (
                link("52:54:00:00:00:01"),
                json!({"link": "e", "type": "ipv4", "ip_address": "192.0.2.1"}),
                "networks[0].ip_address",
            ),
            (
                link("52:54:00:00:00:01"),
                json!({"link": "e", "type": "ipv4", "ip_address": "192.0.2.1", "netmask": "255.0.255.0"}),
                "networks[0].ip_address",
            ),
            (
                json!([{"id": "v", "type": "vlan", "vlan_id": 5, "vlan_link": "x"}]),
                json!({"link": "v", "type": "ipv4_dhcp"}),
                "links[0].vlan_link",
            ),
        ] {
            let error = keyfiles(&json!({"links": links, "networks": [network]})).unwrap_err().to_string();
            assert!(error.starts_with(place), "{error}");
        }
    }
}
