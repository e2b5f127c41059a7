//! The part of the Ignition specification that an agent's config needs, version 3.2.0
//! (<https://coreos.github.io/ignition/configuration-v3_2/>): old enough for every engine in use.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// Version that documents are written in.
pub const VERSION: &str = "3.2.0";

/// An Ignition config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Document {
    /// Version, and what fetching needs.
    pub ignition: Ignition,
    /// Users.
    #[serde(skip_serializing_if = "Passwd::is_empty")]
    pub passwd: Passwd,
    /// Files.
    pub storage: Storage,
    /// Units.
    pub systemd: Systemd,
}

/// The section `ignition`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ignition {
    /// Version of the specification.
    pub version: &'static str,
    /// Proxies for what Ignition itself fetches.
    #[serde(skip_serializing_if = "Proxy::is_empty")]
    pub proxy: Proxy,
    /// Certificate authorities for what Ignition itself fetches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<Security>,
}

/// Proxies, as URLs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proxy {
    /// For plain HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_proxy: Option<String>,
    /// For HTTPS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https_proxy: Option<String>,
    /// Hosts and networks to reach directly.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub no_proxy: Vec<String>,
}

impl Proxy {
    /// Is no proxy named?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.http_proxy.is_none() && self.https_proxy.is_none()
    }
}

/// The section `ignition.security`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Security {
    /// TLS.
    pub tls: Tls,
}

/// The section `ignition.security.tls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Certificates, PEM.
    pub certificate_authorities: Vec<Contents>,
}

/// The section `passwd`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Passwd {
    /// Users.
    pub users: Vec<User>,
}

impl Passwd {
    fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Login name.
    pub name: &'static str,
    /// Lines of `authorized_keys`.
    pub ssh_authorized_keys: Vec<String>,
}

/// The section `storage`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Storage {
    /// Files.
    pub files: Vec<File>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct File {
    /// Absolute path.
    pub path: String,
    /// Permission bits; decimal in the JSON.
    pub mode: u32,
    /// Replace a file that exists.
    pub overwrite: bool,
    /// What it holds.
    pub contents: Contents,
}

impl File {
    /// A file whose contents travel in the config.
    #[must_use]
    pub fn inline(path: impl Into<String>, mode: u32, contents: impl AsRef<[u8]>) -> Self {
        Self { path: path.into(), mode, overwrite: true, contents: Contents::inline(contents) }
    }
}

/// Contents by reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// A URL, `data:` included.
    pub source: String,
    /// What must come from there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
}

impl Contents {
    /// Contents that travel in the config.
    #[must_use]
    pub fn inline(contents: impl AsRef<[u8]>) -> Self {
        Self { source: format!("data:;base64,{}", STANDARD.encode(contents)), verification: None }
    }
}

/// A digest of contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// `sha512-` and the digest in hexadecimal.
    pub hash: String,
}

/// The section `systemd`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Systemd {
    /// Units.
    pub units: Vec<Unit>,
}

/// A systemd unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unit {
    /// File name.
    pub name: &'static str,
    /// Start it at boot.
    pub enabled: bool,
    /// The unit file.
    pub contents: String,
}
