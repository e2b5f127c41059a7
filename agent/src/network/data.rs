//! OpenStack's `network_data.json`, as Ironic and Nova write it: links, networks on them, services. It becomes a
//! [`NetworkData`] whose texts have been understood; what it names need not exist.

mod document;
mod read;

use std::net::IpAddr;

use ferric_hardware::link::{Bond, MacAddress, Prefix};

/// The configuration of a machine's network.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct NetworkData {
    /// Interfaces, in the order of the document.
    pub links: Vec<Link>,
    /// Addresses on them.
    pub networks: Vec<Network>,
    /// Name servers, each once.
    pub name_servers: Vec<IpAddr>,
}

/// An interface.
#[derive(Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name within the document.
    pub id: String,
    /// What it is made of.
    pub kind: Kind,
    /// The address of a device, or the one that a bond or VLAN is to have.
    pub mac_address: Option<MacAddress>,
    /// The greatest size of a packet, in bytes.
    pub mtu: Option<u32>,
}

/// What a link is made of.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// A device, known by its MAC address.
    Device,
    /// Several links.
    Bond {
        /// Their ids.
        links: Vec<String>,
        /// How they work together.
        options: Bond,
    },
    /// A VLAN of another link.
    Vlan {
        /// Its id.
        link: String,
        /// 1 to 4094.
        id: u16,
    },
}

/// Addresses of a link.
#[derive(Debug, PartialEq, Eq)]
pub struct Network {
    /// The link's id.
    pub link: String,
    /// Where they come from.
    pub addressing: Addressing,
    /// Networks behind gateways; one of length 0 is the way out.
    pub routes: Vec<Route>,
}

/// Where an address comes from.
#[derive(Debug, PartialEq, Eq)]
pub enum Addressing {
    /// The document.
    Static(Prefix),
    /// DHCP.
    DynamicIpv4,
    /// Router advertisements, DHCPv6.
    DynamicIpv6,
}

/// A network behind a gateway.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// The network.
    pub destination: Prefix,
    /// The gateway.
    pub gateway: IpAddr,
}

/// Why a document is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It is not of the format.
    #[error("not network data")]
    Format(#[from] serde_json::Error),
    /// A value is none of those that there can be.
    #[error("{what} {value:?} of {of:?} is not understood")]
    Value {
        /// What it should say.
        what: &'static str,
        /// What it says.
        value: String,
        /// The id of its link or network.
        of: String,
    },
}
