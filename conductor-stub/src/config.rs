//! How the conductor behaves; the configuration file is YAML or JSON, one object of these keys.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::bmc::server::Setup;
use crate::boot_url::{BootUrl, BootUrlError};
use crate::coreos::agent::CoreosIpa;
use crate::dhcp;
use crate::enrolment::Enrolment;
use crate::settings_file::{self, SettingsError};
use crate::state::ProvisionState;

/// Where images are when nothing else is said.
pub const IMAGES: &str = "/var/lib/ironic";

/// Options, with Ironic's defaults.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The URL under which agents reach this conductor; by default the address it listens on.
    pub public_url: Option<String>,
    /// Whether clients have to name themselves: `http_basic`, or `noauth` (`[DEFAULT]auth_strategy`).
    pub auth_strategy: AuthStrategy,
    /// The users of `http_basic`: `name:` and a bcrypt hash, as `htpasswd -B` writes it.
    pub http_basic_auth_user_file: PathBuf,
    /// Whether the conductor listens on more than loopback although it asks nobody for a password.
    pub allow_unauthenticated_access_from_the_network: bool,
    /// Further names under which the conductor is asked, beside those in its URLs and its own addresses.
    pub allowed_hosts: Vec<String>,
    /// Origins of web pages that may ask, beside the conductor's own page (`[cors]allowed_origin`).
    pub allowed_origins: Vec<String>,
    /// Whether the conductor speaks TLS: with the next two, else with an authority of its own (`[api]enable_ssl_api`).
    pub enable_ssl_api: bool,
    /// Certificates to show, PEM (`[ssl]cert_file`).
    pub ssl_cert_file: Option<PathBuf>,
    /// Their key, PEM (`[ssl]key_file`).
    pub ssl_key_file: Option<PathBuf>,
    /// Where files for machines are also served without TLS, for firmware that does not know the authority.
    pub http_listen: Option<SocketAddr>,
    /// The URL of that (`[deploy]http_url`).
    pub http_url: Option<String>,
    /// Connections of everybody together.
    pub max_connections: usize,
    /// Connections of one address; loopback has no such limit.
    pub max_connections_per_peer: usize,
    /// The largest body of a request, KiB (`[api]max_json_body_size`).
    pub max_json_body_size: usize,
    /// The same where a config drive may be in it (`[api]max_json_body_size_provision`).
    pub max_json_body_size_provision: usize,
    /// The same for inspection data (`[api]max_json_body_size_inspection`).
    pub max_json_body_size_inspection: usize,
    /// The URL under which BMCs reach this conductor, by default the same (`[deploy]external_http_url`).
    pub external_http_url: Option<String>,
    /// The agent's EFI program as `make ramdisk` builds it, by path or URL; a node's `driver_info/deploy_efi` wins.
    pub ramdisk_efi: Option<String>,
    /// The agent's ISO, by path or URL; a node's `driver_info/deploy_iso` wins (`[conductor]deploy_iso`).
    #[serde(alias = "deploy_iso")]
    pub ramdisk_iso: Option<String>,
    /// The kernel of a ramdisk of others, by path or URL; a node's `driver_info/deploy_kernel` wins (`[conductor]deploy_kernel`).
    pub deploy_kernel: Option<String>,
    /// Its initramfs (`[conductor]deploy_ramdisk`).
    pub deploy_ramdisk: Option<String>,
    /// An EFI system partition with the boot loader for ISOs of those, by path or URL; by default one is made of what this
    /// host has (`[conductor]bootloader`).
    pub bootloader: Option<String>,
    /// Kernel arguments of every ramdisk, which a node's `driver_info/kernel_append_params` replaces or, with `%default%` in
    /// it, adds to (`[redfish]kernel_append_params`).
    pub kernel_append_params: String,
    /// The agent on CoreOS' live system, for every node that names no ramdisk of its own.
    pub coreos_ipa: CoreosIpa,
    /// What files that came from servers and that were made may take on the disk, MiB (`[deploy]iso_cache_size`).
    pub media_cache_size: u64,
    /// Certificate authorities (PEM) of the servers that files come from, besides the system's
    /// (`[conductor]webserver_verify_ca`).
    pub webserver_verify_ca: Option<PathBuf>,
    /// Folders below which a node may name files of this host, as images, ISOs and logs (`[conductor]file_url_allowed_paths`). By
    /// default [`IMAGES`]; where everybody on this host is admitted and nobody else, also what all may read in the temporary
    /// directory.
    pub file_url_allowed_paths: Option<Vec<PathBuf>>,
    /// The hardware types that nodes may have. `local-process` runs programs that nodes name, so it has to be asked for.
    pub enabled_hardware_types: Vec<String>,
    /// How much of what is seen and said is kept for looking at, KiB; 0 keeps nothing.
    pub journal_kib: usize,
    /// Entries of history that are kept of each node (`[conductor]node_history_max_entries`).
    pub node_history_max_entries: u32,
    /// Nodes that are enrolled at the start and taken to `active`.
    pub nodes: Vec<Enrolment>,
    /// A Redfish emulator that is served beside the conductor, for machines without a BMC of their own.
    pub bmc: Option<Setup>,
    /// A DHCP server for the machines' network, for the boot interface `http`.
    pub dhcp: Option<dhcp::Settings>,
    /// The heartbeat period told to agents, seconds (`[api]ramdisk_heartbeat_timeout`).
    pub heartbeat_timeout_seconds: u64,
    /// How long a `… wait` state may last without a heartbeat, seconds (`[conductor]*_callback_timeout`).
    pub callback_timeout_seconds: f64,
    /// The same for deployments (`[conductor]deploy_callback_timeout`).
    pub deploy_callback_timeout_seconds: Option<f64>,
    /// The same for cleaning (`[conductor]clean_callback_timeout`).
    pub clean_callback_timeout_seconds: Option<f64>,
    /// The same for rescue (`[conductor]rescue_callback_timeout`).
    pub rescue_callback_timeout_seconds: Option<f64>,
    /// The same for servicing (`[conductor]service_callback_timeout`).
    pub service_callback_timeout_seconds: Option<f64>,
    /// The same for inspection (`[conductor]inspect_wait_timeout`).
    pub inspect_wait_timeout_seconds: Option<f64>,
    /// After how long a machine that has not called is booted once more, seconds; by default half of the time that it has
    /// (`[pxe]boot_retry_timeout`).
    pub boot_retry_timeout_seconds: Option<f64>,
    /// How often that is checked, seconds (`[conductor]check_provision_state_interval`).
    pub check_interval_seconds: f64,
    /// Whether agents must use TLS (`[agent]require_tls`).
    pub require_tls: bool,
    /// Time for one agent request, seconds (`[agent]command_timeout`).
    pub command_timeout_seconds: u64,
    /// Tries of one agent request when the connection fails (`[agent]max_command_attempts`).
    pub max_command_attempts: u32,
    /// Pause between looks at a command that is waited for, seconds (`[agent]command_wait_interval`).
    pub command_wait_interval_seconds: f64,
    /// Looks at a command that is waited for (`[agent]command_wait_attempts`).
    pub command_wait_attempts: u32,
    /// Pause between looks at the progress of running steps, seconds; 0 never looks.
    pub progress_interval_seconds: f64,
    /// Whether nodes are cleaned on their way to `available` (`[conductor]automated_clean`).
    pub automated_clean: bool,
    /// Whether a ramdisk that inspection or cleaning has booted stays up and is used by what follows (`[deploy]fast_track`); a
    /// node's `driver_info/fast_track` wins.
    pub fast_track: bool,
    /// How old its last heartbeat may be then, seconds (`[deploy]fast_track_timeout`).
    pub fast_track_timeout_seconds: f64,
    /// Whether nodes in `available` may be deleted (`[conductor]allow_deleting_available_nodes`).
    pub allow_deleting_available_nodes: bool,
    /// Overrides the agent's priority of `erase_devices`; 0 leaves the step out.
    pub erase_devices_priority: Option<i64>,
    /// Overrides the agent's priority of `erase_devices_metadata`; 0 leaves the step out.
    pub erase_devices_metadata_priority: Option<i64>,
    /// How long a BMC may take to switch a machine on or off, seconds (`[conductor]power_state_change_timeout`).
    pub power_state_change_timeout_seconds: u64,
    /// How long an operating system may take to end (`[conductor]soft_power_off_timeout`).
    pub soft_power_off_timeout_seconds: u64,
    /// Pause before a BMC that is busy or cannot be reached is asked again, seconds; it is asked five times
    /// (`[redfish]connection_retry_interval`).
    pub redfish_retry_interval_seconds: f64,
    /// How long the agent may take to switch its machine off, seconds.
    pub power_off_wait_seconds: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            public_url: None,
            auth_strategy: AuthStrategy::Noauth,
            http_basic_auth_user_file: "/etc/ironic/htpasswd".into(),
            allow_unauthenticated_access_from_the_network: false,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            enable_ssl_api: false,
            ssl_cert_file: None,
            ssl_key_file: None,
            http_listen: None,
            http_url: None,
            max_connections: 4096,
            max_connections_per_peer: 256,
            max_json_body_size: 1024,
            max_json_body_size_provision: 65536,
            max_json_body_size_inspection: 16384,
            external_http_url: None,
            ramdisk_efi: None,
            ramdisk_iso: None,
            deploy_kernel: None,
            deploy_ramdisk: None,
            bootloader: None,
            kernel_append_params: String::new(),
            coreos_ipa: CoreosIpa::default(),
            media_cache_size: 20480,
            webserver_verify_ca: None,
            file_url_allowed_paths: None,
            enabled_hardware_types: vec!["redfish".into(), "fake-hardware".into()],
            journal_kib: 0,
            node_history_max_entries: 300,
            nodes: Vec::new(),
            bmc: None,
            dhcp: None,
            heartbeat_timeout_seconds: 300,
            callback_timeout_seconds: 1800.0,
            deploy_callback_timeout_seconds: None,
            clean_callback_timeout_seconds: None,
            rescue_callback_timeout_seconds: None,
            service_callback_timeout_seconds: None,
            inspect_wait_timeout_seconds: None,
            boot_retry_timeout_seconds: None,
            check_interval_seconds: 5.0,
            require_tls: true,
            command_timeout_seconds: 60,
            max_command_attempts: 3,
            command_wait_interval_seconds: 2.0,
            command_wait_attempts: 300,
            progress_interval_seconds: 1.0,
            automated_clean: true,
            fast_track: false,
            fast_track_timeout_seconds: 300.0,
            allow_deleting_available_nodes: true,
            erase_devices_priority: None,
            erase_devices_metadata_priority: None,
            power_state_change_timeout_seconds: 60,
            soft_power_off_timeout_seconds: 600,
            redfish_retry_interval_seconds: 3.0,
            power_off_wait_seconds: 35.0,
        }
    }
}

/// Who is asked for a name and a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthStrategy {
    /// Nobody.
    Noauth,
    /// Every client; not agents and firmware.
    HttpBasic,
}

/// A configuration file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file.
    #[error("configuration {0}")]
    File(#[from] SettingsError),
    /// A URL that nobody could use.
    #[error("configuration {file}: {key}: {cause}")]
    Url {
        /// The file.
        file: String,
        /// The option.
        key: &'static str,
        /// What is wrong with it.
        cause: BootUrlError,
    },
}

impl Config {
    /// How long a node may wait in `state`, seconds.
    pub fn callback_timeout(&self, state: ProvisionState) -> f64 {
        let own = match state {
            ProvisionState::WaitCallBack => self.deploy_callback_timeout_seconds,
            ProvisionState::CleanWait => self.clean_callback_timeout_seconds,
            ProvisionState::RescueWait => self.rescue_callback_timeout_seconds,
            ProvisionState::ServiceWait => self.service_callback_timeout_seconds,
            ProvisionState::InspectWait => self.inspect_wait_timeout_seconds,
            _ => None,
        };
        own.unwrap_or(self.callback_timeout_seconds)
    }

    /// Reads a configuration file.
    ///
    /// # Errors
    /// When it cannot be read, is neither YAML nor JSON, or has a key that is not an option.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let name = file.display().to_string();
        let config: Self = settings_file::read(file)?;
        for (key, url) in [
            ("public_url", &config.public_url),
            ("external_http_url", &config.external_http_url),
            ("http_url", &config.http_url),
        ] {
            if let Some(url) = url {
                url.parse::<BootUrl>().map_err(|cause| ConfigError::Url { file: name.clone(), key, cause })?;
            }
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The rows of docs/conductor.md that describe options: every key with its cell of defaults.
    fn documented() -> BTreeMap<String, String> {
        let page = include_str!("../../docs/conductor.md");
        let table = page.split("## Every option").nth(1).unwrap().split("\n## ").next().unwrap();
        let mut keys = BTreeMap::new();
        for row in table.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            for key in cells[1].split(", ") {
                keys.insert(key.trim_matches('`').to_owned(), cells[3].trim_matches('`').to_owned());
            }
        }
        keys
    }

    /// Every option with its default as Rust writes it: `None`, `4096`, `"…"`.
    fn defaults() -> BTreeMap<String, String> {
        let written = format!("{:#?}", Config::default());
        let own =
            written.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| !line.starts_with([' ', ']']));
        own.filter_map(|line| line.split_once(": "))
            .map(|(key, value)| (key.to_owned(), value.trim_end_matches(',').to_owned()))
            .collect()
    }

    #[test]
    fn the_page_has_every_option_with_its_default() {
        let (documented, defaults) = (documented(), defaults());
        let names = |map: &BTreeMap<String, String>| map.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&documented), names(&defaults));
        for (key, default) in &defaults {
            let shown = &documented[key];
            match default.as_str() {
                // What stands in for them is said in words.
                "None" => assert!(shown.parse::<f64>().is_err(), "{key}: {shown}"),
                object if object.ends_with('{') => assert!(shown.parse::<f64>().is_err(), "{key}: {shown}"),
                // A list or another object: its first line alone is here.
                "[" | "[]" => {}
                "Noauth" => assert_eq!(shown, "noauth"),
                text if text.starts_with('"') => assert_eq!(shown, text.trim_matches('"'), "{key}"),
                number => match number.parse::<f64>() {
                    Ok(number) => assert_eq!(shown.parse::<f64>(), Ok(number), "{key}"),
                    Err(_) => assert_eq!(shown, number, "{key}"),
                },
            }
        }
    }

    #[test]
    fn the_example_is_a_configuration() {
        let config = Config::read(Path::new("../examples/conductor.yaml")).unwrap();
        assert_eq!(config.nodes[0].spec.name.as_deref(), Some("machine-0"));
        assert_eq!(config.bmc.unwrap().machines[0].name, "machine-0");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"requier_tls": false}"#).unwrap();
        let error = Config::read(file.path()).unwrap_err().to_string();
        assert!(error.contains("requier_tls") && error.contains("line 1"), "{error}");
        std::fs::write(file.path(), r#"{"external_http_url": "192.0.2.1:6385"}"#).unwrap();
        let error = Config::read(file.path()).unwrap_err().to_string();
        assert!(error.contains("external_http_url") && error.contains("must be http or https"), "{error}");
    }
}
