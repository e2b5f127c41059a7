//! The part of the Ignition specification that an agent's config needs, version 3.2.0
//! (<https://coreos.github.io/ignition/configuration-v3_2/>): old enough for every engine in use. (The types of the crate
//! `ignition-config`, by which configs are checked, would write a null for everything that is not there.)

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use crate::specification::data_url;

/// Version that documents are written in.
pub const VERSION: &str = "3.2.0";
/// What is shorter can be read by people instead.
const MIN_COMPRESSED_BYTES: usize = 1024;

/// An Ignition config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Document {
    /// Version, and what fetching needs.
    pub ignition: Ignition,
    /// Users.
    #[serde(skip_serializing_if = "Passwd::is_empty")]
    pub passwd: Passwd,
    /// Files.
    #[serde(skip_serializing_if = "Storage::is_empty")]
    pub storage: Storage,
    /// Units.
    #[serde(skip_serializing_if = "Systemd::is_empty")]
    pub systemd: Systemd,
}

/// The section `ignition`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ignition {
    /// Version of the specification.
    pub version: &'static str,
    /// Configs that are laid over this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Included>,
    /// Proxies for what Ignition itself fetches.
    #[serde(skip_serializing_if = "Proxy::is_empty")]
    pub proxy: Proxy,
    /// Certificate authorities for what Ignition itself fetches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<Security>,
}

/// The section `ignition.config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Included {
    /// In this order.
    pub merge: Vec<Contents>,
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Storage {
    /// Files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<File>,
    /// Symbolic links.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
}

impl Storage {
    fn is_empty(&self) -> bool {
        self.files.is_empty() && self.links.is_empty()
    }
}

/// A symbolic link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Absolute path.
    pub path: String,
    /// Replace what exists there.
    pub overwrite: bool,
    /// Where it leads.
    pub target: String,
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
    /// `gzip`, or as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<&'static str>,
    /// What must come from there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
}

impl Contents {
    /// Contents that travel in the config, compressed when that makes them shorter by far: places for a config are small.
    ///
    /// # Panics
    /// Never: writing into memory does not fail.
    #[must_use]
    pub fn inline(contents: impl AsRef<[u8]>) -> Self {
        let contents = contents.as_ref();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let compressed = encoder.write_all(contents).and_then(|()| encoder.finish()).expect("memory takes all bytes");
        let is_worth_it = contents.len() >= MIN_COMPRESSED_BYTES && compressed.len() < contents.len() / 4 * 3;
        let source = data_url::from_bytes(if is_worth_it { &compressed } else { contents });
        Self { source, compression: is_worth_it.then_some("gzip"), verification: None }
    }
}

/// A digest of contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// `sha512-` and the digest in hexadecimal.
    pub hash: String,
}

/// The section `systemd`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Systemd {
    /// Units.
    pub units: Vec<Unit>,
}

impl Systemd {
    fn is_empty(&self) -> bool {
        self.units.is_empty()
    }
}

/// A systemd unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unit {
    /// File name.
    pub name: String,
    /// Start it at boot; a unit that is only changed by drop-ins stays as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The unit file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contents: Option<String>,
    /// Additions to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropins: Vec<Dropin>,
}

/// A part of a unit's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dropin {
    /// File name, `*.conf`.
    pub name: String,
    /// The file.
    pub contents: String,
}
