//! `spec.bmc.address`: which kind of BMC, where, and how the machine boots.

use std::fmt;

use url::{Host, Url};

/// How the ramdisk gets to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boot {
    /// By the network, which has a DHCP server of the conductor (`redfish://`).
    Network,
    /// As a CD of the BMC (`redfish-virtualmedia://`).
    VirtualMedia,
    /// By a URL that the BMC hands to the firmware (`redfish-uefihttp://`).
    UefiHttp,
}

/// A BMC that speaks Redfish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BmcAddress {
    /// Scheme, host and port of Redfish.
    pub redfish_address: String,
    /// Path of the system; none where the BMC has one system and the address names none.
    pub system_id: Option<String>,
    /// How the ramdisk gets to the machine.
    pub boot: Boot,
    /// The address names an iDRAC.
    pub is_idrac: bool,
}

/// Why an address is none that can be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BmcAddressError {
    /// No URL, or one without a host.
    #[error("{0:?} is not an address such as redfish-virtualmedia://192.0.2.1/redfish/v1/Systems/1")]
    NotAnAddress(String),
    /// A protocol that is not spoken here.
    #[error("{0}:// is not supported, only {known}", known = Known)]
    Scheme(String),
    /// They have a place of their own.
    #[error("an address holds no user and password: they belong into the Secret that credentialsName names")]
    Credentials,
    /// They would mean nothing.
    #[error("{0:?}: an address has no query and no fragment")]
    Query(String),
}

/// The kinds of addresses: all of them with `+http` and `+https` behind the name as well.
const KINDS: [(&str, Boot, bool); 6] = [
    ("redfish", Boot::Network, false),
    ("redfish-virtualmedia", Boot::VirtualMedia, false),
    ("redfish-uefihttp", Boot::UefiHttp, false),
    ("idrac-redfish", Boot::Network, true),
    ("idrac-virtualmedia", Boot::VirtualMedia, true),
    ("ilo5-virtualmedia", Boot::VirtualMedia, false),
];

struct Known;

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&KINDS.map(|(name, ..)| name).join(", "))
    }
}

impl BmcAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, BmcAddressError> {
        let none = || BmcAddressError::NotAnAddress(text.to_owned());
        let (scheme, rest) = text.trim().split_once("://").ok_or_else(none)?;
        let scheme = scheme.to_ascii_lowercase();
        let (kind, transport) = scheme.split_once('+').unwrap_or((&scheme, "https"));
        let unknown = || BmcAddressError::Scheme(scheme.clone());
        let (_, boot, is_idrac) = *KINDS.iter().find(|(name, ..)| *name == kind).ok_or_else(unknown)?;
        if !matches!(transport, "http" | "https") {
            return Err(unknown());
        }
        let url = Url::parse(&format!("{transport}://{rest}")).map_err(|_| none())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BmcAddressError::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BmcAddressError::Query(text.to_owned()));
        }
        let host = match url.host().ok_or_else(none)? {
            Host::Ipv6(address) => format!("[{address}]"),
            host => host.to_string(),
        };
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let path = url.path().trim_end_matches('/');
        Ok(Self {
            redfish_address: format!("{transport}://{host}{port}"),
            system_id: (!path.is_empty()).then(|| path.to_owned()),
            boot,
            is_idrac,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, Option<String>, Boot), String> {
        let address = BmcAddress::parse(text).map_err(|error| error.to_string())?;
        Ok((address.redfish_address, address.system_id, address.boot))
    }

    #[test]
    fn every_form_of_an_address() {
        let system = || Some("/redfish/v1/Systems/1".to_owned());
        for (text, address, system, boot) in [
            ("redfish://192.0.2.1/redfish/v1/Systems/1", "https://192.0.2.1", system(), Boot::Network),
            ("redfish+http://192.0.2.1:8000/redfish/v1/Systems/1", "http://192.0.2.1:8000", system(), Boot::Network),
            (
                "redfish-virtualmedia://bmc.example/redfish/v1/Systems/1/",
                "https://bmc.example",
                system(),
                Boot::VirtualMedia,
            ),
            ("redfish-virtualmedia+http://[2001:db8::1]:8443", "http://[2001:db8::1]:8443", None, Boot::VirtualMedia),
            ("redfish-uefihttp://[2001:DB8:0::1]/", "https://[2001:db8::1]", None, Boot::UefiHttp),
            ("ilo5-virtualmedia+https://bmc:443/redfish/v1/Systems/1", "https://bmc", system(), Boot::VirtualMedia),
            ("idrac-virtualmedia://bmc/redfish/v1/Systems/1", "https://bmc", system(), Boot::VirtualMedia),
        ] {
            assert_eq!(parse(text), Ok((address.to_owned(), system, boot)), "{text}");
        }
        assert!(BmcAddress::parse("idrac-virtualmedia://bmc").unwrap().is_idrac);
        assert!(!BmcAddress::parse("ilo5-virtualmedia://bmc").unwrap().is_idrac);
    }

    #[test]
    fn what_is_no_address_is_named() {
        for (text, words) in [
            ("192.0.2.1", "is not an address"),
            ("redfish://", "is not an address"),
            ("ipmi://192.0.2.1:6230", "ipmi:// is not supported, only redfish, "),
            ("redfish+ftp://192.0.2.1", "redfish+ftp:// is not supported"),
            ("redfish://admin:secret@192.0.2.1", "credentialsName"),
            ("redfish://192.0.2.1/redfish?x=1", "no query"),
            ("redfish://192.0.2.1:99999/", "is not an address"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
            assert!(!error.contains("secret@"), "{error}");
        }
    }
}
