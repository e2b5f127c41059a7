//! Finding Ironic by multicast DNS (DNS-SD, RFC 6763), only when asked for: nobody vouches for the answer.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use mdns_sd::{IfKind, ResolvedService, ServiceDaemon, ServiceEvent};
use tracing::{info, warn};

use crate::address;
use crate::agent::Agent;
use crate::config::options;
use crate::config::settings::{Mdns, Urls};

/// Where OpenStack's services are announced; the name of a service stands in front of it.
const DOMAIN: &str = "_openstack._tcp.local.";

/// How long an answer may take, per attempt. The question is repeated meanwhile.
const ATTEMPT: Duration = Duration::from_secs(3);

/// In front of TXT keys that are options of the agent.
const OPTION_PREFIX: &str = "ipa_";

/// Why a service was not found.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// Multicast DNS cannot be spoken here.
    #[error("cannot ask by multicast DNS: {0}")]
    Setup(#[from] mdns_sd::Error),
    /// Nobody answered.
    #[error("no answer by multicast DNS names the service {service} within {} s", .after.as_secs())]
    NoAnswer {
        /// The service.
        service: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The answer leads nowhere.
    #[error("the answer of multicast DNS for {service} has no address that could be used")]
    NoAddress {
        /// The service.
        service: &'static str,
    },
}

/// A service as announced.
#[derive(Debug, PartialEq, Eq)]
struct Endpoint {
    url: String,
    /// The TXT record without what has gone into the URL.
    parameters: BTreeMap<String, String>,
}

/// Replaces options that say so by what multicast DNS says: `api_url = mdns` (or none, with `[mdns]use_mdns`) and
/// `inspection_callback_url = mdns`, and sets the options in the answer that it may set.
///
/// # Errors
/// A service that was asked for by name is not found.
pub async fn configure(agent: &Agent) -> Result<(), DiscoveryError> {
    let settings = agent.settings();
    let asked = settings.conductor.urls == Urls::Mdns;
    if asked || (settings.conductor.urls.list().is_empty() && settings.mdns.enabled) {
        match find(&settings.mdns, "baremetal").await {
            Ok(found) => take(agent, &options::API_URL, &found.url, &found.parameters),
            Err(error) if asked => return Err(error),
            Err(error) => warn!(%error, "Ironic was not found"),
        }
    }
    if settings.inspection.callback_urls == Urls::Mdns {
        let found = find(&settings.mdns, "baremetal-introspection").await?;
        let url = format!("{}/v1/continue", found.url.trim_end_matches('/'));
        take(agent, &options::INSPECTION_CALLBACK_URL, &url, &found.parameters);
    }
    Ok(())
}

/// Sets `option` to `url`, and those options that the parameters may set.
fn take(agent: &Agent, option: &options::Spec, url: &str, parameters: &BTreeMap<String, String>) {
    info!(option = option.name, url, "found by multicast DNS");
    let settings = agent.settings();
    let may_set = |name: &str| settings.mdns.allowed_overrides.iter().any(|allowed| allowed == name);
    agent.configure(|config| {
        let mut set = |spec: &options::Spec, text: &str| {
            if let Err(error) = config.set(spec, text, "multicast DNS") {
                warn!(%error, "ignoring an option from multicast DNS");
            }
        };
        set(option, url);
        for (key, text) in parameters {
            let name = key.strip_prefix(OPTION_PREFIX).filter(|name| may_set(name));
            match name.and_then(|name| options::find("DEFAULT", name)) {
                Some(spec) => set(spec, text),
                None => warn!(key, "multicast DNS may not set this option ([mdns]allowed_overrides)"),
            }
        }
    });
}

/// Asks until the service is announced.
async fn find(mdns: &Mdns, service: &'static str) -> Result<Endpoint, DiscoveryError> {
    let attempts = u32::try_from(mdns.attempts).unwrap_or(u32::MAX);
    let limit = ATTEMPT.saturating_mul(attempts);
    let daemon = ServiceDaemon::new()?;
    let interfaces: Vec<IpAddr> = mdns.interfaces.iter().filter_map(|text| text.parse().ok()).collect();
    if !interfaces.is_empty() {
        daemon.disable_interface(IfKind::All)?;
        daemon.enable_interface(interfaces)?;
    }
    // Addresses may still be on their way.
    daemon.set_ip_check_interval(1)?;
    let events = daemon.browse(DOMAIN)?;
    let name = format!("{service}.{DOMAIN}");
    let answer = async {
        loop {
            match events.recv_async().await {
                Ok(ServiceEvent::ServiceResolved(found)) if found.fullname.eq_ignore_ascii_case(&name) => {
                    return Some(found);
                }
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    };
    let answer = tokio::time::timeout(limit, answer).await.ok().flatten();
    // It ends by itself; nobody waits for that.
    let _ = daemon.shutdown();
    let found = answer.ok_or(DiscoveryError::NoAnswer { service, after: limit })?;
    let address = usable(&found).await.ok_or(DiscoveryError::NoAddress { service })?;
    let parameters = found.txt_properties.iter().map(|entry| (entry.key().to_string(), entry.val_str().to_string()));
    Ok(endpoint(&found.host, address, found.port, parameters.collect()))
}

/// The first of the announced addresses that there is a route to, IPv4 before IPv6; without routes the first of all.
async fn usable(found: &ResolvedService) -> Option<IpAddr> {
    let mut addresses: Vec<IpAddr> = found.addresses.iter().map(|address| address.to_ip_addr()).collect();
    // Loopback is somebody else's, and an address of a link says nothing without the link.
    addresses.retain(|address| !address.is_loopback() && !address::is_link_local(*address));
    addresses.sort();
    for address in &addresses {
        if address::source_towards(*address).await.is_some() {
            return Some(*address);
        }
    }
    addresses.first().copied()
}

/// The URL that an announcement stands for. A name that only multicast DNS knows is replaced by the address.
fn endpoint(host: &str, address: IpAddr, port: u16, mut parameters: BTreeMap<String, String>) -> Endpoint {
    let path = parameters.remove("path").unwrap_or_default();
    let protocol = parameters.remove("protocol").filter(|protocol| !protocol.is_empty());
    let protocol = protocol.unwrap_or_else(|| if port == 80 { "http".to_string() } else { "https".to_string() });
    let host = match host.to_ascii_lowercase().ends_with(".local.") {
        true => address.to_string(),
        false => host.trim_end_matches('.').to_string(),
    };
    Endpoint { url: address::callback_url(&protocol, &host, port) + &path, parameters }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(host: &str, address: &str, port: u16, parameters: &[(&str, &str)]) -> String {
        let parameters = parameters.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        endpoint(host, address.parse().unwrap(), port, parameters).url
    }

    #[test]
    fn the_url_is_made_of_name_port_and_parameters() {
        let http = [("protocol", "http")];
        assert_eq!(url("baremetal._openstack._tcp.local.", "192.0.2.1", 6385, &http), "http://192.0.2.1:6385");
        assert_eq!(url("host.local.", "2001:db8::1", 443, &[]), "https://[2001:db8::1]:443");
        assert_eq!(url("ironic.example.com.", "192.0.2.1", 80, &[]), "http://ironic.example.com:80");
        let path = [("path", "/baremetal"), ("ipa_debug", "true")];
        assert_eq!(url("ironic.example.com.", "192.0.2.1", 6385, &path), "https://ironic.example.com:6385/baremetal");
    }
}
