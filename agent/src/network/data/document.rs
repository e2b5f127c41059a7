//! The document itself; what it says besides is not looked at.

use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct NetworkData {
    #[serde(default)]
    pub(super) links: Vec<Link>,
    #[serde(default)]
    pub(super) networks: Vec<Network>,
    #[serde(default)]
    pub(super) services: Vec<Service>,
}

#[derive(Deserialize)]
pub(super) struct Link {
    pub(super) id: String,
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    pub(super) ethernet_mac_address: Option<String>,
    pub(super) vlan_mac_address: Option<String>,
    pub(super) mtu: Option<u32>,
    #[serde(default)]
    pub(super) bond_links: Vec<String>,
    pub(super) bond_mode: Option<String>,
    pub(super) bond_miimon: Option<u32>,
    pub(super) bond_xmit_hash_policy: Option<String>,
    pub(super) vlan_link: Option<String>,
    pub(super) vlan_id: Option<u16>,
}

#[derive(Deserialize)]
pub(super) struct Network {
    #[serde(default)]
    pub(super) id: String,
    pub(super) link: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) ip_address: Option<String>,
    pub(super) netmask: Option<Mask>,
    pub(super) gateway: Option<String>,
    #[serde(default)]
    pub(super) routes: Vec<Route>,
    #[serde(default)]
    pub(super) services: Vec<Service>,
    #[serde(default)]
    pub(super) dns_nameservers: Vec<String>,
}

#[derive(Deserialize, Debug)]
#[serde(untagged)]
pub(super) enum Mask {
    Length(u8),
    Text(String),
}

#[derive(Deserialize)]
pub(super) struct Route {
    pub(super) network: String,
    pub(super) netmask: Option<Mask>,
    pub(super) gateway: String,
    #[serde(default)]
    pub(super) services: Vec<Service>,
}

#[derive(Deserialize)]
pub(super) struct Service {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) address: String,
}
