//! URLs that are written where machines, firmware and boot loaders read them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// A URL of a file that somebody else fetches. It stands as it is in lines of dnsmasq, iPXE and GRUB: there is nothing in
/// it that ends a line or a word, or that any of them acts on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BootUrl(String);

/// A version of the Internet Protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Why a text is no such URL.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BootUrlError {
    /// White space, control characters, or what has a meaning to a reader of configuration.
    #[error("URL {0:?} has characters that must be percent-encoded")]
    Characters(String),
    /// No URL, or of another kind.
    #[error("URL {0:?} must be http or https, with a host")]
    Kind(String),
}

impl BootUrl {
    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a machine that has only addresses of this family could reach its host. Names are believed to have all kinds.
    pub fn is_for(&self, family: Family) -> bool {
        !matches!((self.host(), family), (Some(Host::Ipv4(_)), Family::V6) | (Some(Host::Ipv6(_)), Family::V4))
    }

    /// Its host.
    pub fn host(&self) -> Option<Host<String>> {
        Url::parse(&self.0).ok()?.host().map(|host| host.to_owned())
    }
}

impl TryFrom<String> for BootUrl {
    type Error = BootUrlError;

    fn try_from(text: String) -> Result<Self, BootUrlError> {
        text.parse()
    }
}

impl From<BootUrl> for String {
    fn from(url: BootUrl) -> Self {
        url.0
    }
}

impl FromStr for BootUrl {
    type Err = BootUrlError;

    fn from_str(text: &str) -> Result<Self, BootUrlError> {
        // What RFC 3986 lets stand in a URL, without what quotes, separates or expands somewhere.
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?[]@!()*+=%&".contains(&byte);
        if !text.bytes().all(harmless) {
            return Err(BootUrlError::Characters(text.to_owned()));
        }
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Self(text.to_owned())),
            _ => Err(BootUrlError::Kind(text.to_owned())),
        }
    }
}

impl fmt::Display for BootUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_for_machines_of_its_family() {
        for (url, v4, v6) in [
            ("http://192.0.2.1/a", true, false),
            ("http://[2001:db8::1]:6385/a", false, true),
            ("http://conductor.example/a", true, true),
        ] {
            let url: BootUrl = url.parse().unwrap();
            assert_eq!((url.is_for(Family::V4), url.is_for(Family::V6)), (v4, v6), "{url}");
        }
    }

    #[test]
    fn a_url_is_one_word_of_any_configuration() {
        for text in ["http://192.0.2.1:6385/artefacts/w_6-c/agent.efi", "https://[2001:db8::1]/a%20b.iso?x=1&y=2"] {
            assert_eq!(text.parse::<BootUrl>().unwrap().as_str(), text);
        }
        for text in [
            "http://h/a\nconf-script=/bin/sh",
            "http://h/a b",
            "http://h/a,tag:x",
            "http://h/\"",
            "http://h/a#b",
            "http://h/${x}",
            "http://h/a;b",
            "http://h/'",
            "http://h/\u{e9}",
            "ftp://h/a",
            "file:///a",
            "http://",
            "/a",
            "",
        ] {
            assert!(text.parse::<BootUrl>().is_err(), "{text:?}");
        }
    }
}
