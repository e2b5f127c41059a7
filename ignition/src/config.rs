//! From the few things that differ between sites to a whole Ignition config.

use serde_json::Value;
use thiserror::Error;
use url::Url;

use crate::agent_conf::{AgentConf, AgentOption, OptionError};
use crate::document::{
    Contents, Document, File, Ignition, Passwd, Proxy, Security, Storage, Systemd, Tls, Unit, User, VERSION,
    Verification,
};
use crate::host_name;
use crate::image_reference::{ImageReference, ReferenceError};
use crate::unit::{self, Container};

const SECRET_MODE: u32 = 0o600;
const PUBLIC_MODE: u32 = 0o644;
const PROGRAM_MODE: u32 = 0o755;
const CONNECTIONS: &str = "/etc/NetworkManager/system-connections";

/// What makes a setup impossible.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A URL that the agent could not use.
    #[error("{what} {url:?}: {reason}")]
    Url {
        /// What it is the URL of.
        what: &'static str,
        /// As given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Not an image reference.
    #[error("{reference:?} is not a container image reference: {rule}")]
    Image {
        /// As given.
        reference: String,
        /// Which rule it breaks.
        #[source]
        rule: ReferenceError,
    },
    /// Not a digest.
    #[error("{0:?} is not a SHA-512 digest: 128 hexadecimal digits")]
    Digest(String),
    /// Not a host name.
    #[error("{0:?} is not a host name")]
    Hostname(String),
    /// Not a public key.
    #[error("{0:?} is not an SSH public key")]
    SshKey(String),
    /// Not what podman takes for credentials.
    #[error("the pull secret is not a JSON object with \"auths\" in it")]
    PullSecret,
    /// Not a list of certificates.
    #[error("the certificate authorities are not PEM")]
    Certificates,
    /// A file that NetworkManager would not read.
    #[error("network configuration {0:?}: only *.nmconnection files with a plain name are understood")]
    NetworkFile(String),
    /// An agent option.
    #[error(transparent)]
    Option(#[from] OptionError),
}

/// Where the agent comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agent {
    /// podman runs a container image.
    Image {
        /// Reference.
        reference: String,
        /// Accept a registry without TLS or with an unknown certificate.
        insecure_registry: bool,
        /// Credentials, as in podman's `auth.json`.
        pull_secret: Option<String>,
    },
    /// Ignition downloads the static binary, systemd runs it: no registry needed.
    Binary {
        /// Where from.
        url: String,
        /// What it must be: 128 hexadecimal digits.
        sha512: String,
    },
}

/// A NetworkManager keyfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyfile {
    /// File name, `*.nmconnection`.
    pub name: String,
    /// Contents.
    pub contents: Vec<u8>,
}

/// What differs between sites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// Base URLs of the conductor's API; the agent tries them in order.
    pub api_urls: Vec<String>,
    /// Where the agent comes from.
    pub agent: Agent,
    /// Send inspection data whenever the agent starts.
    pub inspect: bool,
    /// More options for the agent; they win over what is derived from the rest.
    pub options: Vec<AgentOption>,
    /// Lines of `authorized_keys` for the user `core`.
    pub ssh_keys: Vec<String>,
    /// Name of the live system.
    pub hostname: Option<String>,
    /// Network connections of the live system; the agent also copies them to what it installs.
    pub network: Vec<Keyfile>,
    /// For Ignition, podman and the agent.
    pub proxy: Proxy,
    /// Certificate authorities, PEM, that Ignition and the agent trust in addition to the usual ones.
    pub certificates: Option<String>,
}

impl Setup {
    /// The Ignition config.
    ///
    /// # Errors
    /// What in the setup cannot work.
    pub fn document(&self) -> Result<Document, ConfigError> {
        Ok(Document {
            ignition: Ignition {
                version: VERSION,
                proxy: self.checked_proxy()?,
                security: self
                    .certificates
                    .as_ref()
                    .map(|pem| Security { tls: Tls { certificate_authorities: vec![Contents::inline(pem)] } }),
            },
            passwd: self.passwd()?,
            storage: Storage { files: self.files()? },
            systemd: Systemd { units: vec![Unit { name: unit::NAME, enabled: true, contents: self.unit()? }] },
        })
    }

    fn files(&self) -> Result<Vec<File>, ConfigError> {
        let mut files = vec![File::inline(unit::AGENT_CONF, SECRET_MODE, self.agent_conf()?.to_string())];
        match &self.agent {
            Agent::Binary { url, sha512 } => files.push(File {
                path: unit::BINARY.to_owned(),
                mode: PROGRAM_MODE,
                overwrite: true,
                contents: Contents {
                    source: checked_url("agent URL", url, &["http", "https"])?,
                    verification: Some(Verification { hash: format!("sha512-{}", checked_sha512(sha512)?) }),
                },
            }),
            Agent::Image { pull_secret: Some(secret), .. } => {
                let has_auths = serde_json::from_str(secret).is_ok_and(|value: Value| value["auths"].is_object());
                if !has_auths {
                    return Err(ConfigError::PullSecret);
                }
                files.push(File::inline(unit::PULL_SECRET, SECRET_MODE, secret));
            }
            Agent::Image { pull_secret: None, .. } => {}
        }
        if let Some(pem) = &self.certificates {
            if !pem.contains("-----BEGIN CERTIFICATE-----") {
                return Err(ConfigError::Certificates);
            }
            files.push(File::inline(unit::CERTIFICATES, PUBLIC_MODE, pem));
        }
        if let Some(name) = &self.hostname {
            files.push(File::inline("/etc/hostname", PUBLIC_MODE, format!("{}\n", checked_hostname(name)?)));
        }
        for Keyfile { name, contents } in &self.network {
            let plain = |character: char| character.is_ascii_alphanumeric() || "._- ".contains(character);
            let stem = name.strip_suffix(".nmconnection").unwrap_or_default();
            if stem.is_empty() || !stem.chars().all(plain) {
                return Err(ConfigError::NetworkFile(name.clone()));
            }
            files.push(File::inline(format!("{CONNECTIONS}/{name}"), SECRET_MODE, contents));
        }
        Ok(files)
    }

    fn agent_conf(&self) -> Result<AgentConf, ConfigError> {
        let mut urls = Vec::new();
        for url in &self.api_urls {
            let url = checked_url("API URL", url, &["http", "https"])?;
            urls.push(url.trim_end_matches('/').to_owned());
        }
        if urls.is_empty() {
            let reason = "at least one is needed".to_owned();
            return Err(ConfigError::Url { what: "API URL", url: String::new(), reason });
        }
        let mut options = vec![AgentOption::new("api_url", &urls.join(","))?];
        if self.inspect {
            let callbacks: Vec<_> = urls.iter().map(|url| format!("{url}/v1/continue_inspection")).collect();
            options.push(AgentOption::new("inspection_callback_url", &callbacks.join(","))?);
        }
        if self.certificates.is_some() {
            options.push(AgentOption::new("cafile", unit::CERTIFICATES)?);
        }
        Ok(options.into_iter().chain(self.options.iter().cloned()).collect())
    }

    fn unit(&self) -> Result<String, ConfigError> {
        let environment = self.environment();
        Ok(match &self.agent {
            Agent::Binary { .. } => unit::binary(&environment),
            Agent::Image { reference, insecure_registry, pull_secret } => unit::container(&Container {
                image: checked_image(reference)?.as_str(),
                insecure_registry: *insecure_registry,
                pull_secret: pull_secret.is_some(),
                certificates: self.certificates.is_some(),
                environment: &environment,
            }),
        })
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = Vec::new();
        environment.extend(self.proxy.http_proxy.clone().map(|url| ("HTTP_PROXY", url)));
        environment.extend(self.proxy.https_proxy.clone().map(|url| ("HTTPS_PROXY", url)));
        if !self.proxy.is_empty() && !self.proxy.no_proxy.is_empty() {
            environment.push(("NO_PROXY", self.proxy.no_proxy.join(",")));
        }
        if !self.network.is_empty() {
            environment.push(("IPA_COREOS_COPY_NETWORK", "true".to_owned()));
        }
        environment
    }

    fn checked_proxy(&self) -> Result<Proxy, ConfigError> {
        for url in [&self.proxy.http_proxy, &self.proxy.https_proxy].into_iter().flatten() {
            checked_url("proxy", url, &["http", "https"])?;
        }
        for host in &self.proxy.no_proxy {
            if host.is_empty() || host.contains(|character: char| character.is_control() || character == ' ') {
                let reason = "not a host or network".to_owned();
                return Err(ConfigError::Url { what: "proxy exception", url: host.clone(), reason });
            }
        }
        Ok(self.proxy.clone())
    }

    fn passwd(&self) -> Result<Passwd, ConfigError> {
        for key in &self.ssh_keys {
            let mut words = key.split_ascii_whitespace();
            let is_type = |word: &str| ["ssh-", "ecdsa-", "sk-"].iter().any(|prefix| word.starts_with(prefix));
            if key.contains(char::is_control) || !words.next().is_some_and(is_type) || words.next().is_none() {
                return Err(ConfigError::SshKey(key.clone()));
            }
        }
        let core = || User { name: "core", ssh_authorized_keys: self.ssh_keys.clone() };
        Ok(Passwd { users: if self.ssh_keys.is_empty() { Vec::new() } else { vec![core()] } })
    }
}

/// Returns the URL as given, because normalising it might change what it names.
pub(crate) fn checked_url(what: &'static str, url: &str, schemes: &[&str]) -> Result<String, ConfigError> {
    let error = |reason: String| ConfigError::Url { what, url: url.to_owned(), reason };
    let allowed = |character: char| character.is_ascii_graphic() && !"\"'`\\<>{}|^$,".contains(character);
    if !url.chars().all(allowed) {
        return Err(error("white space, quotes and the like must be percent-encoded".to_owned()));
    }
    let parsed = Url::parse(url).map_err(|cause| error(cause.to_string()))?;
    if !schemes.contains(&parsed.scheme()) {
        return Err(error(format!("must begin with {}", schemes.join(":// or ") + "://")));
    }
    Ok(url.to_owned())
}

fn checked_image(reference: &str) -> Result<ImageReference, ConfigError> {
    reference.parse().map_err(|rule| ConfigError::Image { reference: reference.to_owned(), rule })
}

fn checked_sha512(digest: &str) -> Result<String, ConfigError> {
    match hex::decode(digest) {
        Ok(bytes) if bytes.len() == 64 => Ok(digest.to_ascii_lowercase()),
        _ => Err(ConfigError::Digest(digest.to_owned())),
    }
}

fn checked_hostname(name: &str) -> Result<&str, ConfigError> {
    if host_name::is_valid(name) { Ok(name) } else { Err(ConfigError::Hostname(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup() -> Setup {
        Setup {
            api_urls: vec!["https://192.0.2.1:6385/".to_owned()],
            agent: Agent::Image {
                reference: "registry.example:5000/ferric/agent:1".to_owned(),
                insecure_registry: false,
                pull_secret: None,
            },
            inspect: false,
            options: Vec::new(),
            ssh_keys: Vec::new(),
            hostname: None,
            network: Vec::new(),
            proxy: Proxy::default(),
            certificates: None,
        }
    }

    fn conf(setup: &Setup) -> String {
        setup.agent_conf().unwrap().to_string()
    }

    #[test]
    fn options_given_win_over_derived_ones() {
        let mut setup = setup();
        setup.inspect = true;
        let derived = "[DEFAULT]\napi_url = https://192.0.2.1:6385\n\
                       inspection_callback_url = https://192.0.2.1:6385/v1/continue_inspection\n";
        assert_eq!(conf(&setup), derived);
        setup.options.push("inspection_callback_url=http://other/v1/continue".parse().unwrap());
        assert!(conf(&setup).ends_with("inspection_callback_url = http://other/v1/continue\n"));
    }

    #[test]
    fn a_registry_is_verified_unless_told_otherwise() {
        let mut setup = setup();
        assert!(!setup.unit().unwrap().contains("tls-verify"));
        let Agent::Image { insecure_registry, .. } = &mut setup.agent else { unreachable!() };
        *insecure_registry = true;
        assert!(setup.unit().unwrap().contains(" --tls-verify=false "));
    }

    #[test]
    fn the_binary_is_pinned_by_its_digest_and_needs_no_podman() {
        let mut setup = setup();
        let sha512 = "AB".repeat(64);
        setup.agent = Agent::Binary { url: "http://192.0.2.1/ferric-agent".to_owned(), sha512: sha512.clone() };
        let document = setup.document().unwrap();
        let program = document.storage.files.iter().find(|file| file.path == unit::BINARY).unwrap();
        assert_eq!(program.mode, 0o755);
        let expected = format!("sha512-{}", sha512.to_lowercase());
        assert_eq!(program.contents.verification.as_ref().unwrap().hash, expected);
        assert!(!document.systemd.units[0].contents.contains("podman"));
    }

    #[test]
    fn what_could_break_out_of_its_place_is_refused() {
        let breaks = |change: &dyn Fn(&mut Setup)| {
            let mut setup = setup();
            change(&mut setup);
            assert!(setup.document().is_err(), "{setup:?}");
        };
        let image = |reference: &str| Agent::Image {
            reference: reference.to_owned(),
            insecure_registry: false,
            pull_secret: None,
        };
        breaks(&|setup| setup.api_urls = vec!["http://a/\nevil = 1".to_owned()]);
        breaks(&|setup| setup.api_urls = vec!["file:///etc/passwd".to_owned()]);
        breaks(&|setup| setup.api_urls.clear());
        breaks(&|setup| setup.agent = image("--privileged"));
        breaks(&|setup| setup.agent = image("a b"));
        breaks(&|setup| setup.hostname = Some("a\nb".to_owned()));
        breaks(&|setup| setup.hostname = Some("-a".to_owned()));
        breaks(&|setup| setup.ssh_keys = vec!["not a key".to_owned()]);
        breaks(&|setup| setup.proxy.http_proxy = Some("http://a\nExecStart=/bin/sh".to_owned()));
        breaks(&|setup| setup.certificates = Some("no certificate".to_owned()));
        breaks(&|setup| {
            setup.network = vec![Keyfile { name: "../../passwd.nmconnection".to_owned(), contents: Vec::new() }];
        });
    }
}
