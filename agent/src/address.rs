//! Under which address the conductor reaches this agent.

use std::net::{IpAddr, SocketAddr};

use ferric_hardware::nic::Interface;
use tokio::net::{UdpSocket, lookup_host};
use tracing::warn;

use crate::config::settings::Advertise;

/// No address was found.
#[derive(Debug, thiserror::Error)]
#[error("cannot find the address under which Ironic ({urls}) reaches this machine; set advertise_host")]
pub struct NoAddress {
    urls: String,
}

/// The host of the callback URL: the configured one, that of the configured interface, or the one from which packets
/// to Ironic would be sent.
///
/// # Errors
/// There is no route to any URL after `ip_lookup_attempts`.
pub async fn find(wanted: &Advertise, urls: &[String], interfaces: &[Interface]) -> Result<String, NoAddress> {
    if let Some(host) = &wanted.host {
        return Ok(host.trim_matches(['[', ']']).to_string());
    }
    if let Some(name) = &wanted.interface {
        let interface = interfaces.iter().find(|interface| interface.name == *name);
        if let Some(address) = interface.and_then(|interface| interface.ipv4_address.clone()) {
            return Ok(address);
        }
        warn!(interface = name, "the configured interface has no IPv4 address");
    }
    let attempts = wanted.attempts.max(1);
    for attempt in 1..=attempts {
        for url in urls {
            if let Some(address) = source_address(url).await {
                return Ok(address.to_string());
            }
        }
        if attempt < attempts {
            warn!(attempt, "no route to Ironic yet");
            tokio::time::sleep(wanted.pause).await;
        }
    }
    Err(NoAddress { urls: urls.join(", ") })
}

/// The address that the kernel would send from to one of those behind the URL.
async fn source_address(url: &str) -> Option<IpAddr> {
    let url = url::Url::parse(url).ok()?;
    let port = url.port_or_known_default()?;
    let host = url.host_str()?.trim_matches(['[', ']']).to_string();
    for target in lookup_host((host, port)).await.ok()? {
        match source_towards(target.ip()).await {
            Some(source) if !is_link_local(source) => return Some(source),
            _ => {}
        }
    }
    None
}

/// The address that the kernel would send from, when there is a route to `target`. Connecting a UDP socket asks its
/// routing table and sends nothing.
pub async fn source_towards(target: IpAddr) -> Option<IpAddr> {
    let any: SocketAddr = if target.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await.ok()?;
    // Any port will do.
    socket.connect((target, 9)).await.ok()?;
    socket.local_addr().ok().map(|source| source.ip())
}

/// Whether an address means something on one link only.
pub fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// `protocol://host:port`, an IPv6 address in brackets.
pub fn callback_url(protocol: &str, host: &str, port: u16) -> String {
    if host.contains(':') { format!("{protocol}://[{host}]:{port}") } else { format!("{protocol}://{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_source_address_is_that_of_the_route() {
        assert_eq!(source_address("http://127.0.0.1:6385").await, Some([127, 0, 0, 1].into()));
        assert_eq!(source_address("no url").await, None);
    }

    #[tokio::test]
    async fn configuration_beats_routing() {
        let urls = ["http://127.0.0.1:1".to_string()];
        let interfaces =
            [Interface { name: "eno1".into(), ipv4_address: Some("192.0.2.9".into()), ..Interface::default() }];
        let mut wanted = Advertise { interface: Some("eno1".into()), ..Advertise::default() };
        assert_eq!(find(&wanted, &urls, &interfaces).await.unwrap(), "192.0.2.9");
        wanted.host = Some("[2001:db8::1]".into());
        let host = find(&wanted, &urls, &interfaces).await.unwrap();
        assert_eq!(callback_url("https", &host, 9999), "https://[2001:db8::1]:9999");
    }
}
