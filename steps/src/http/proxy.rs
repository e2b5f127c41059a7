//! Which requests pass a proxy. The environment of the agent is also that of Ignition and podman, so that `NO_PROXY` has to
//! mean here what it means to them (<https://pkg.go.dev/golang.org/x/net/http/httpproxy>), and to the Python agent.

use std::net::IpAddr;

use reqwest::{ClientBuilder, Proxy};
use url::{Host, Url};

/// Proxies by the scheme of what is asked for, and what is reached without.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    exceptions: Exceptions,
}

impl Proxies {
    /// By `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, which may also be written in lower case.
    #[must_use]
    pub fn from_environment() -> Self {
        let variable = |name: &str| {
            let lower = name.to_ascii_lowercase();
            [name, &lower]
                .into_iter()
                .find_map(|name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()))
        };
        let proxy = |name: &str| {
            let text = variable(name)?;
            let proxy = parse(&text);
            if proxy.is_none() {
                tracing::warn!("{name} is not the URL of a proxy and is ignored");
            }
            proxy
        };
        Self {
            http: proxy("HTTP_PROXY").or_else(|| proxy("ALL_PROXY")),
            https: proxy("HTTPS_PROXY").or_else(|| proxy("ALL_PROXY")),
            exceptions: Exceptions::parse(&variable("NO_PROXY").unwrap_or_default()),
        }
    }

    /// Sets the proxy for URLs of a scheme: `http`, `https`, or another word for both. Returns whether it is one.
    pub fn set(&mut self, scheme: &str, proxy: &str) -> bool {
        let Some(proxy) = parse(proxy) else { return false };
        match scheme {
            "http" => self.http = Some(proxy),
            "https" => self.https = Some(proxy),
            _ => (self.http, self.https) = (Some(proxy.clone()), Some(proxy)),
        }
        true
    }

    /// Replaces the exceptions; their notation is that of `NO_PROXY`.
    pub fn set_exceptions(&mut self, exceptions: &str) {
        self.exceptions = Exceptions::parse(exceptions);
    }

    /// The proxy that a request for `url` passes.
    #[must_use]
    pub fn of(&self, url: &Url) -> Option<&Url> {
        let proxy = if url.scheme() == "https" { &self.https } else { &self.http };
        proxy.as_ref().filter(|_| !self.exceptions.contain(url))
    }

    /// Makes a client use them, and nothing that the environment says beside.
    pub fn apply(self, client: ClientBuilder) -> ClientBuilder {
        client.no_proxy().proxy(Proxy::custom(move |url| self.of(url).cloned()))
    }
}

/// A URL, or host and port of an HTTP proxy.
fn parse(text: &str) -> Option<Url> {
    let text = text.trim();
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
    url.ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// What is reached without proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Exceptions(Vec<Exception>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Exception {
    place: Place,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Everything,
    /// Addresses that begin with so many bits of this one.
    Network(IpAddr, u8),
    /// The domain and everything below it; only what is below when a `*` stood before it.
    Domain {
        name: String,
        itself: bool,
    },
}

impl Exceptions {
    /// Words between commas or white space: `*`, an address, a network (`10.0.0.0/8`), a domain (with or without a dot
    /// before it), `*.domain`; addresses and domains also with a port behind them. What is none of these matches nothing.
    fn parse(text: &str) -> Self {
        let words = text.split([',', ' ', '\t', '\n']).filter(|word| !word.is_empty());
        Self(words.filter_map(|word| exception(&word.to_ascii_lowercase())).collect())
    }

    fn contain(&self, url: &Url) -> bool {
        self.0.iter().any(|exception| {
            let port_fits = exception.port.is_none() || exception.port == url.port_or_known_default();
            port_fits && exception.place.contains(url)
        })
    }
}

fn exception(word: &str) -> Option<Exception> {
    if let Some((address, bits)) = word.split_once('/') {
        let (address, bits) = (address.parse::<IpAddr>().ok()?, bits.parse().ok()?);
        return (bits <= width(address)).then_some(Exception { place: Place::Network(address, bits), port: None });
    }
    let (host, port) = match word.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, port.strip_prefix(':'))
        }
        None if word.parse::<IpAddr>().is_ok() => (word, None),
        None => match word.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (word, None),
        },
    };
    let port = match port {
        Some(port) => Some(port.parse().ok()?),
        None => None,
    };
    let place = match host.parse::<IpAddr>() {
        Ok(address) => Place::Network(address, width(address)),
        Err(_) if host == "*" => Place::Everything,
        Err(_) => {
            let itself = !host.starts_with('*');
            let name = host.trim_start_matches('*').trim_start_matches('.').trim_end_matches('.');
            if name.is_empty() || name.contains(['*', ':']) {
                return None;
            }
            Place::Domain { name: name.to_owned(), itself }
        }
    };
    Some(Exception { place, port })
}

impl Place {
    fn contains(&self, url: &Url) -> bool {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address).to_canonical()),
            _ => None,
        };
        match self {
            Self::Everything => true,
            Self::Network(network, bits) => address.is_some_and(|address| same_network(address, *network, *bits)),
            Self::Domain { name, itself } => {
                let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
                let below = host.strip_suffix(name.as_str());
                address.is_none() && below.is_some_and(|rest| rest.ends_with('.') || (rest.is_empty() && *itself))
            }
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn same_network(one: IpAddr, other: IpAddr, bits: u8) -> bool {
    let number = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    let rest = 128 - u32::from(bits);
    one.is_ipv4() == other.is_ipv4() && (number(one) ^ number(other)).checked_shr(rest).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes_by(exceptions: &str, url: &str) -> bool {
        Exceptions::parse(exceptions).contain(&Url::parse(url).unwrap())
    }

    #[test]
    fn every_form_of_exception_is_honoured() {
        for (exceptions, url) in [
            ("*", "http://anything.example/"),
            ("a.example, *", "http://192.0.2.1/"),
            ("192.0.2.1", "http://192.0.2.1:6385/"),
            ("192.0.2.1:6385", "http://192.0.2.1:6385/"),
            ("192.0.2.1:80", "http://192.0.2.1/"),
            ("192.0.2.0/24", "http://192.0.2.77:6385/"),
            ("0.0.0.0/0", "http://192.0.2.77/"),
            ("fd00::1", "http://[fd00::1]:6385/"),
            ("[fd00::1]", "http://[fd00::1]:6385/"),
            ("[fd00::1]:6385", "http://[fd00::1]:6385/"),
            ("FD00:0::1", "http://[fd00::1]/"),
            ("fd00::/8", "http://[fd00::1]/"),
            ("10.0.0.0/8", "http://[::ffff:10.1.2.3]/"),
            ("localhost", "http://localhost:6385/"),
            ("api.example", "https://api.example/"),
            ("api.example", "https://deep.api.example/"),
            ("API.Example.", "https://api.example./"),
            (".example", "https://api.example/"),
            (".api.example", "https://api.example/"),
            ("*.example", "https://api.example/"),
            ("*.example:443", "https://api.example/"),
            ("api.example:6385", "http://api.example:6385/"),
            ("a.example b.example\tc.example", "http://b.example/"),
            (" a.example , b.example ,", "http://b.example/"),
        ] {
            assert!(passes_by(exceptions, url), "{exceptions:?} {url}");
        }
    }

    #[test]
    fn what_is_no_exception_passes_the_proxy() {
        for (exceptions, url) in [
            ("", "http://api.example/"),
            (" , ", "http://api.example/"),
            ("192.0.2.1:6385", "http://192.0.2.1:6386/"),
            ("192.0.2.0/24", "http://192.0.3.1/"),
            ("192.0.2.1", "http://192.0.2.10/"),
            ("[fd00::1]:6385", "http://[fd00::1]/"),
            ("::/0", "http://192.0.2.1/"),
            ("api.example", "http://notapi.example/"),
            ("*.api.example", "http://api.example/"),
            ("api.example:80", "https://api.example/"),
            ("1", "http://192.0.2.1/"),
            ("192.0.2.0/33", "http://192.0.2.1/"),
            ("a*b", "http://a.example/"),
            ("[fd00::1", "http://[fd00::1]/"),
            ("api.example:http", "http://api.example/"),
            (".", "http://api.example/"),
        ] {
            assert!(!passes_by(exceptions, url), "{exceptions:?} {url}");
        }
    }

    #[test]
    fn the_scheme_of_the_request_chooses_the_proxy() {
        let mut proxies = Proxies::default();
        assert!(proxies.set("http", "http://user:word@proxy.example:3128"));
        assert!(proxies.set("https", "proxy.example:3129"));
        assert!(!proxies.set("https", "socks5://proxy.example"));
        proxies.set_exceptions("near.example");
        let of = |url: &str| proxies.of(&Url::parse(url).unwrap()).map(Url::as_str);
        assert_eq!(of("http://far.example/"), Some("http://user:word@proxy.example:3128/"));
        assert_eq!(of("https://far.example/"), Some("http://proxy.example:3129/"));
        assert_eq!(of("https://near.example/"), None);
    }
}
