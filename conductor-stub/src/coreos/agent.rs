//! The agent on CoreOS' live system, for a whole site: what every node's Ignition config says, and where the live system is.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ferric_ignition::agent_conf::AgentOption;
use ferric_ignition::config::{Agent, ConfigError, Further, Setup};
use ferric_ignition::document::{File, Proxy};
use ferric_ignition::kernel_arguments::{KernelArgument, KernelArgumentError};
use ferric_ignition::keyfile::Keyfile;
use ferric_ignition::network_data::{self, NetworkDataError};
use serde::Deserialize;
use serde_json::Value;

use crate::node::Node;

/// Where podman looks for registries.
const REGISTRIES_CONF: &str = "/etc/containers/registries.conf";
const PUBLIC_MODE: u32 = 0o644;

/// `coreos_ipa` of the configuration; the environment wins.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CoreosIpa {
    /// Whether nodes boot it that name no ramdisk of their own (`IRONIC_USE_COREOS_IPA`).
    pub enabled: bool,
    /// The agent's container image (`IRONIC_AGENT_IMAGE`).
    pub agent_image: String,
    /// Whether its registry may be without TLS or have an unknown certificate (`--tls-verify=false` in
    /// `IRONIC_AGENT_PODMAN_FLAGS`).
    pub insecure_registry: bool,
    /// Credentials for it, a file as podman's `auth.json`, or base64 of one (`IRONIC_AGENT_PULL_SECRET`).
    pub pull_secret: Option<PathBuf>,
    /// The same from the environment, which has them themselves.
    #[serde(skip)]
    pub given_pull_secret: Option<String>,
    /// Places where the image may be, too.
    pub registry_mirrors: Vec<String>,
    /// A file that becomes the live system's `registries.conf` (`REGISTRIES_CONF_PATH`).
    pub registries_conf: Option<PathBuf>,
    /// A public key for the user `core` (`IRONIC_RAMDISK_SSH_KEY`).
    pub ssh_key: Option<String>,
    /// Proxies for Ignition, podman and the agent (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`).
    pub http_proxy: Option<String>,
    /// For https.
    pub https_proxy: Option<String>,
    /// Hosts and networks to reach without one.
    pub no_proxy: Vec<String>,
    /// Options of the agent, `NAME=VALUE`.
    pub agent_options: Vec<String>,
    /// The kernel argument `ip=…` of installed systems (`IP_OPTIONS`).
    pub ip_options: Option<String>,
    /// Certificate authorities (PEM) that the live system believes besides the usual ones and the conductor's own.
    pub ca: Option<PathBuf>,
    /// Further kernel arguments (`IRONIC_KERNEL_PARAMS`).
    pub kernel_append_params: String,
    /// Where the live system's files are, by ipa-downloader's names.
    pub images: PathBuf,
    /// The stream that they are downloaded from when they are missing at the start: a name of Fedora's, a URL or a file. Without
    /// one, nothing is downloaded.
    pub stream: Option<String>,
}

impl Default for CoreosIpa {
    fn default() -> Self {
        Self {
            enabled: false,
            agent_image: String::new(),
            insecure_registry: false,
            pull_secret: None,
            given_pull_secret: None,
            registry_mirrors: Vec::new(),
            registries_conf: None,
            ssh_key: None,
            http_proxy: None,
            https_proxy: None,
            no_proxy: Vec::new(),
            agent_options: Vec::new(),
            ip_options: None,
            ca: None,
            kernel_append_params: String::new(),
            images: "/shared/html/images".into(),
            stream: Some("stable".into()),
        }
    }
}

/// What cannot be of it.
#[derive(Debug, thiserror::Error)]
pub enum CoreosIpaError {
    /// A variable of the environment.
    #[error("{name}: {problem}")]
    Variable {
        /// Which.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no agent.
    #[error("coreos_ipa is enabled and names no agent_image (IRONIC_AGENT_IMAGE)")]
    NoImage,
    /// The registry's credentials.
    #[error("coreos_ipa: pull_secret {}: neither podman's auth.json nor the base64 of one", _0.display())]
    PullSecret(PathBuf),
    /// A file.
    #[error("coreos_ipa: {}: {cause}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why it cannot be read.
        cause: std::io::Error,
    },
    /// The Ignition config.
    #[error("coreos_ipa: {0}")]
    Config(#[from] ConfigError),
    /// An option of the agent.
    #[error("coreos_ipa: agent_options: {0}")]
    Option(#[from] ferric_ignition::agent_conf::OptionError),
    /// Kernel arguments.
    #[error("coreos_ipa: kernel_append_params or ip_options: {0}")]
    Argument(#[from] KernelArgumentError),
    /// The node's network.
    #[error("network_data of the node: {0}")]
    Network(#[from] NetworkDataError),
}

impl CoreosIpa {
    /// What every node's config has in common; `authority` is the conductor's own certificate, PEM.
    ///
    /// # Errors
    /// What cannot work.
    pub fn site(&self, api_url: &str, authority: Option<&str>) -> Result<Site, CoreosIpaError> {
        if self.agent_image.is_empty() {
            return Err(CoreosIpaError::NoImage);
        }
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).map_err(|cause| CoreosIpaError::File { path: path.clone(), cause })
        };
        let pull_secret = match (&self.given_pull_secret, &self.pull_secret) {
            (Some(given), _) => Some(given.clone()),
            (None, Some(path)) => {
                Some(pull_secret(&read(path)?).ok_or_else(|| CoreosIpaError::PullSecret(path.clone()))?)
            }
            (None, None) => None,
        };
        let registries_conf = self.registries_conf.as_ref().map(read).transpose()?;
        let own = self.ca.as_ref().map(read).transpose()?;
        let certificates: Vec<&str> = own.as_deref().into_iter().chain(authority).collect();
        let setup = Setup {
            api_urls: vec![api_url.to_owned()],
            agent: Agent::Image {
                reference: self.agent_image.clone(),
                insecure_registry: self.insecure_registry,
                pull_secret,
                mirrors: self.registry_mirrors.clone(),
            },
            inspect: false,
            options: self.agent_options.iter().map(|text| text.parse::<AgentOption>()).collect::<Result<_, _>>()?,
            ssh_keys: self.ssh_key.iter().map(|key| key.trim().to_owned()).collect(),
            hostname: None,
            network: Vec::new(),
            ip_options: self.ip_options.as_deref().map(str::parse).transpose()?,
            proxy: Proxy {
                http_proxy: self.http_proxy.clone(),
                https_proxy: self.https_proxy.clone(),
                no_proxy: self.no_proxy.clone(),
            },
            certificates: (!certificates.is_empty()).then(|| certificates.join("\n")),
            further: Further {
                files: registries_conf
                    .map(|text| File::inline(REGISTRIES_CONF, PUBLIC_MODE, text))
                    .into_iter()
                    .collect(),
                ..Further::default()
            },
        };
        // What is wrong for every node is said at the start.
        setup.document()?;
        let arguments = self.kernel_append_params.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        Ok(Site { setup, arguments })
    }
}

/// podman's `auth.json`, which may come as base64.
pub(super) fn pull_secret(text: &str) -> Option<String> {
    let text = text.trim();
    if text.starts_with('{') {
        return Some(text.to_owned());
    }
    let decoded = STANDARD.decode(text.split_whitespace().collect::<String>()).ok()?;
    String::from_utf8(decoded).ok().filter(|text| text.trim_start().starts_with('{'))
}

/// What every node has in common.
#[derive(Debug, Clone)]
pub struct Site {
    setup: Setup,
    arguments: Vec<KernelArgument>,
}

impl Site {
    /// The Ignition config of one node: with its network, where the node has `network_data`.
    ///
    /// # Errors
    /// A network that cannot be understood.
    ///
    /// # Panics
    /// Never: a document can be written as JSON.
    pub fn ignition(&self, node: &Node) -> Result<Vec<u8>, CoreosIpaError> {
        let setup = Setup { network: self.network(node)?, ..self.setup.clone() };
        Ok(serde_json::to_vec(&setup.document()?).expect("a document is JSON"))
    }

    /// The network connections of a node that has `network_data`.
    ///
    /// # Errors
    /// What cannot be understood.
    pub fn network(&self, node: &Node) -> Result<Vec<Keyfile>, CoreosIpaError> {
        match node.spec.network_data.is_empty() {
            true => Ok(Vec::new()),
            false => Ok(network_data::keyfiles(&Value::Object(node.spec.network_data.clone()))?),
        }
    }

    /// Kernel arguments of every node.
    pub fn arguments(&self) -> &[KernelArgument] {
        &self.arguments
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::node::Spec;

    #[test]
    fn a_nodes_config_has_the_conductor_and_the_nodes_network() {
        let ipa = CoreosIpa {
            agent_image: "registry.example:5000/ferric/agent:1".into(),
            ssh_key: Some("ssh-ed25519 AAAA core@site\n".into()),
            https_proxy: Some("http://proxy.example:3128".into()),
            no_proxy: vec!["10.0.0.0/8".into(), "example".into()],
            ..CoreosIpa::default()
        };
        let authority = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let site = ipa.site("https://192.0.2.1:6385", Some(authority)).unwrap();
        let network = json!({
            "links": [{"id": "nic", "type": "phy", "ethernet_mac_address": "52:54:00:aa:bb:01"}],
            "networks": [{"id": "net", "type": "ipv4", "link": "nic", "ip_address": "192.0.2.5", "netmask": "255.255.255.0"}],
        });
        let spec = Spec { network_data: network.as_object().unwrap().clone(), ..Spec::default() };
        let config: Value = serde_json::from_slice(&site.ignition(&Node::new(Uuid::nil(), spec)).unwrap()).unwrap();
        let files: Vec<&str> =
            config["storage"]["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
        assert!(files.contains(&"/etc/ironic-python-agent.conf"), "{files:?}");
        assert!(files.iter().any(|path| path.starts_with("/etc/NetworkManager/system-connections/")), "{files:?}");
        assert!(config["ignition"]["security"]["tls"]["certificateAuthorities"][0].is_object(), "{config}");
        assert_eq!(config["passwd"]["users"][0]["sshAuthorizedKeys"][0], "ssh-ed25519 AAAA core@site");
        assert_eq!(config["ignition"]["proxy"]["noProxy"], json!(["10.0.0.0/8", "example"]));
    }
}
