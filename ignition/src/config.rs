//! From the few things that differ between sites to a whole Ignition config.

mod checked;
mod error;
#[cfg(test)]
mod tests;

use serde_json::Value;

pub(crate) use self::checked::checked_url;
use self::checked::{checked_hostname, checked_image, checked_sha512, registries_conf};
pub use self::error::ConfigError;
use crate::agent_conf::{AgentConf, AgentOption};
use crate::document::{
    Contents, Document, File, Ignition, Link, Passwd, Proxy, Security, Storage, Systemd, Tls, Unit, User, VERSION,
    Verification,
};
use crate::kernel_arguments::KernelArgument;
use crate::keyfile::Keyfile;
use crate::specification;
use crate::unit::{self, Container, Service};

const SECRET_MODE: u32 = 0o600;
const PUBLIC_MODE: u32 = 0o644;
const PROGRAM_MODE: u32 = 0o755;
const REGISTRIES_CONF: &str = "/etc/containers/registries.conf.d/50-ferric.conf";
const CERTS_D: &str = "/etc/containers/certs.d";
/// Taken up when the live system starts (coreos-update-ca-trust.service).
const HOST_AUTHORITY: &str = "/etc/pki/ca-trust/source/anchors/ferric.crt";
const CONNECTIONS: &str = "/etc/NetworkManager/system-connections";

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
        /// Where the image may be, too, `HOST[:PORT][/PATH]`; tried first, in this order.
        mirrors: Vec<String>,
    },
    /// Ignition downloads the static binary, systemd runs it: no registry needed.
    Binary {
        /// Where from.
        url: String,
        /// What it must be: 128 hexadecimal digits.
        sha512: String,
    },
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
    /// The kernel argument `ip=…` of the systems that the agent installs.
    pub ip_options: Option<KernelArgument>,
    /// For Ignition, podman and the agent.
    pub proxy: Proxy,
    /// Certificate authorities, PEM, that Ignition, podman, the agent and the host trust in addition to the usual ones.
    pub certificates: Option<String>,
    /// Further files, links and units of the live system.
    pub further: Further,
}

/// Files, links and units that are nothing of the agent's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Further {
    /// Files.
    pub files: Vec<File>,
    /// Symbolic links.
    pub links: Vec<Link>,
    /// Units.
    pub units: Vec<Unit>,
}

impl Setup {
    /// The Ignition config.
    ///
    /// # Errors
    /// What in the setup cannot work.
    ///
    /// # Panics
    /// Never: a document can be written as JSON.
    pub fn document(&self) -> Result<Document, ConfigError> {
        let mut files = self.files()?;
        files.extend(self.further.files.iter().cloned());
        let mut links = self.links()?;
        links.extend(self.further.links.iter().cloned());
        let mut units = self.units()?;
        units.extend(self.further.units.iter().cloned());
        let document = Document {
            ignition: Ignition {
                version: VERSION,
                config: None,
                proxy: self.checked_proxy()?,
                security: self
                    .certificates
                    .as_ref()
                    .map(|pem| Security { tls: Tls { certificate_authorities: vec![Contents::inline(pem)] } }),
            },
            passwd: self.passwd()?,
            storage: Storage { files, links },
            systemd: Systemd { units },
        };
        specification::check(&serde_json::to_value(&document).expect("a document is JSON"), None)?;
        Ok(document)
    }

    /// Does Ignition download anything, and so need a network before it can write the network's configuration?
    #[must_use]
    pub fn is_downloaded(&self) -> bool {
        matches!(self.agent, Agent::Binary { .. })
    }

    fn files(&self) -> Result<Vec<File>, ConfigError> {
        let mut files = vec![File::inline(unit::AGENT_CONF, SECRET_MODE, self.agent_conf()?.to_string())];
        match &self.agent {
            Agent::Binary { url, sha512 } => files.push(File {
                path: unit::BINARY.to_owned(),
                mode: PROGRAM_MODE,
                overwrite: true,
                contents: Contents {
                    compression: None,
                    source: checked_url("agent URL", url, &["http", "https"])?,
                    verification: Some(Verification { hash: format!("sha512-{}", checked_sha512(sha512)?) }),
                },
            }),
            Agent::Image { reference, pull_secret, mirrors, insecure_registry } => {
                if let Some(secret) = pull_secret {
                    let has_auths = serde_json::from_str(secret).is_ok_and(|value: Value| value["auths"].is_object());
                    if !has_auths {
                        return Err(ConfigError::PullSecret);
                    }
                    files.push(File::inline(unit::PULL_SECRET, SECRET_MODE, secret));
                }
                if !mirrors.is_empty() {
                    let registries = registries_conf(&checked_image(reference)?, mirrors, *insecure_registry)?;
                    files.push(File::inline(REGISTRIES_CONF, PUBLIC_MODE, registries));
                }
            }
        }
        files.push(File::inline(unit::REPORT, PUBLIC_MODE, unit::REPORT_PROGRAM));
        if let Some(pem) = &self.certificates {
            if !pem.contains("-----BEGIN CERTIFICATE-----") {
                return Err(ConfigError::Certificates);
            }
            files.push(File::inline(unit::CERTIFICATES, PUBLIC_MODE, pem));
        }
        if let Some(name) = &self.hostname {
            files.push(File::inline("/etc/hostname", PUBLIC_MODE, format!("{}\n", checked_hostname(name)?)));
        }
        for keyfile in &self.network {
            files.push(File::inline(format!("{CONNECTIONS}/{}", keyfile.name()), SECRET_MODE, keyfile.contents()));
        }
        Ok(files)
    }

    /// podman looks for a registry's authorities by its name; coreos-installer and others go by the host's.
    fn links(&self) -> Result<Vec<Link>, ConfigError> {
        if self.certificates.is_none() {
            return Ok(Vec::new());
        }
        let link = |path: String| Link { path, overwrite: true, target: unit::CERTIFICATES.to_owned() };
        let mut links = vec![link(HOST_AUTHORITY.to_owned())];
        if let Agent::Image { reference, mirrors, .. } = &self.agent {
            let image = checked_image(reference)?;
            let mirrors = mirrors.iter().map(|mirror| mirror.split('/').next().unwrap_or_default());
            let mut registries: Vec<&str> = image.registry().into_iter().chain(mirrors).collect();
            registries.sort_unstable();
            registries.dedup();
            links.extend(registries.iter().map(|registry| link(format!("{CERTS_D}/{registry}/ca.crt"))));
        }
        Ok(links)
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

    fn units(&self) -> Result<Vec<Unit>, ConfigError> {
        let (environment, report) = (self.environment(), self.report());
        let service = Service { environment: &environment, report: &report };
        let unit = |name: &str, enabled: bool, contents: String| Unit {
            name: name.to_owned(),
            enabled: enabled.then_some(true),
            contents: Some(contents),
            dropins: Vec::new(),
        };
        Ok(match &self.agent {
            Agent::Binary { .. } => vec![unit(unit::NAME, true, unit::binary(&service))],
            Agent::Image { reference, insecure_registry, pull_secret, .. } => {
                let image = checked_image(reference)?;
                let container = Container {
                    image: image.as_str(),
                    insecure_registry: *insecure_registry,
                    pull_secret: pull_secret.is_some(),
                    certificates: self.certificates.is_some(),
                };
                vec![
                    unit(unit::NAME, false, unit::container(&container, &service)),
                    unit(unit::IMAGE_NAME, true, unit::image(&container, &service)),
                ]
            }
        })
    }

    /// How the conductor is told that the agent does not run; as the agent trusts it.
    fn report(&self) -> Vec<(&'static str, String)> {
        let mut report = vec![("API_URL", self.api_urls.join(","))];
        if self.certificates.is_some() {
            report.push(("CAFILE", unit::CERTIFICATES.to_owned()));
        }
        if self.options.iter().any(AgentOption::is_insecure) {
            report.push(("INSECURE", "1".to_owned()));
        }
        report
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
            .extend(self.ip_options.as_ref().map(|argument| ("IPA_COREOS_IP_OPTIONS", argument.as_str().to_owned())));
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
