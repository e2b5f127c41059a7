//! MAC addresses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Six bytes in lower-case hexadecimal with colons between them; nothing else can be made into one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(String);

/// Text that is no MAC address.
#[derive(Debug, Clone, thiserror::Error)]
#[error("Expected a MAC address but received {0:?}.")]
pub struct NotMac(pub String);

impl MacAddress {
    /// `52:54:00:aa:bb:01`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As kernels and boot loaders have it in `BOOTIF`: the hardware type 1 (Ethernet) first.
    pub fn bootif(&self) -> String {
        format!("01-{}", self.0.replace(':', "-"))
    }

    /// An address as `BOOTIF` or as usual.
    ///
    /// # Errors
    /// When it is neither.
    pub fn from_bootif(text: &str) -> Result<Self, NotMac> {
        match text.strip_prefix("01-") {
            Some(rest) => rest.replace('-', ":").parse().map_err(|_| NotMac(text.to_owned())),
            None => text.parse(),
        }
    }
}

impl FromStr for MacAddress {
    type Err = NotMac;

    fn from_str(text: &str) -> Result<Self, NotMac> {
        let mut bytes = 0;
        let whole = text.split(':').all(|byte| {
            bytes += 1;
            byte.len() == 2 && byte.bytes().all(|digit| digit.is_ascii_hexdigit())
        });
        if whole && bytes == 6 { Ok(Self(text.to_ascii_lowercase())) } else { Err(NotMac(text.to_owned())) }
    }
}

impl TryFrom<String> for MacAddress {
    type Error = NotMac;

    fn try_from(text: String) -> Result<Self, NotMac> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(address: MacAddress) -> Self {
        address.0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_are_addresses() {
        assert_eq!("52:54:00:AA:BB:01".parse::<MacAddress>().unwrap().as_str(), "52:54:00:aa:bb:01");
        for text in ["", "52:54:00:aa:bb", "52:54:00:aa:bb:01:02", "52:54:00:aa:bb:0g", "52-54-00-aa-bb-01"] {
            assert!(text.parse::<MacAddress>().is_err(), "{text}");
        }
        for text in ["52:54:00:aa:bb:01\n", " 52:54:00:aa:bb:01", "52:54:00:aa:bb:01\nconf-script=/bin/sh"] {
            assert!(text.parse::<MacAddress>().is_err(), "{text}");
        }
        let address = MacAddress::from_bootif("01-52-54-00-aa-bb-01").unwrap();
        assert_eq!((address.as_str(), address.bootif().as_str()), ("52:54:00:aa:bb:01", "01-52-54-00-aa-bb-01"));
    }
}
