//! What the configuration says of DHCP.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use serde::Deserialize;

use super::error::DhcpError;

/// Where addresses are given out.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The interface of the machines' network; no other one is answered.
    pub interface: String,
    /// First and last IPv4 address for machines.
    #[serde(default)]
    pub range: Option<(Ipv4Addr, Ipv4Addr)>,
    /// First and last IPv6 address for machines; the router advertisements of the network say that they are here.
    #[serde(default)]
    pub ipv6_range: Option<(Ipv6Addr, Ipv6Addr)>,
    /// An IPv4 network (its first address) in which another server gives out addresses: only what to boot is said here, to
    /// machines that boot by PXE.
    #[serde(default)]
    pub proxy: Option<Ipv4Addr>,
    /// Where iPXE's programs are, by their names in Debian's package.
    #[serde(default = "default_ipxe_folder")]
    pub ipxe_folder: PathBuf,
    /// The network namespace that has the interface; by default the conductor's own.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Who dnsmasq runs as when the conductor is root; Debian's package makes `dnsmasq`.
    #[serde(default = "default_user")]
    pub user: String,
}

fn default_ipxe_folder() -> PathBuf {
    "/usr/lib/ipxe".into()
}

fn default_user() -> String {
    "dnsmasq".into()
}

impl Settings {
    /// A server for `interface` that gives out nothing yet.
    pub fn new(interface: &str) -> Self {
        Self {
            interface: interface.to_owned(),
            range: None,
            ipv6_range: None,
            proxy: None,
            ipxe_folder: default_ipxe_folder(),
            namespace: None,
            user: default_user(),
        }
    }

    /// Whether there is something to do, and nothing that contradicts itself.
    ///
    /// # Errors
    /// [`DhcpError::Settings`].
    pub(super) fn check(&self) -> Result<(), DhcpError> {
        let word = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !b",#\"\\".contains(&byte));
        if !word(&self.interface) || !self.ipxe_folder.to_str().is_some_and(word) {
            return Err(DhcpError::Settings("`interface` and `ipxe_folder` must be words without commas and quotes"));
        }
        match (self.range, self.ipv6_range, self.proxy) {
            (Some(_), _, Some(_)) => Err(DhcpError::Settings("`range` and `proxy` exclude each other")),
            (None, None, None) => Err(DhcpError::Settings("`range`, `ipv6_range` or `proxy` is needed")),
            _ => Ok(()),
        }
    }
}
