//! How the conductor behaves; the configuration file is one JSON object of these keys.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::bmc::server::Setup;
use crate::dhcp;
use crate::enrolment::Enrolment;

/// Options, with Ironic's defaults.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The URL under which agents reach this conductor; by default the address it listens on.
    pub public_url: Option<String>,
    /// The URL under which BMCs reach this conductor, by default the same (`[deploy]external_http_url`).
    pub external_http_url: Option<String>,
    /// The agent's EFI program as `make ramdisk` builds it; a node's `driver_info/deploy_efi` wins.
    pub ramdisk_efi: Option<PathBuf>,
    /// The agent's ISO; a node's `driver_info/deploy_iso` wins.
    pub ramdisk_iso: Option<PathBuf>,
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
    /// Overrides the agent's priority of `erase_devices`; 0 leaves the step out.
    pub erase_devices_priority: Option<i64>,
    /// Overrides the agent's priority of `erase_devices_metadata`; 0 leaves the step out.
    pub erase_devices_metadata_priority: Option<i64>,
    /// How long a BMC may take to switch a machine on or off, seconds (`[conductor]power_state_change_timeout`).
    pub power_state_change_timeout_seconds: u64,
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
            external_http_url: None,
            ramdisk_efi: None,
            ramdisk_iso: None,
            nodes: Vec::new(),
            bmc: None,
            dhcp: None,
            heartbeat_timeout_seconds: 300,
            callback_timeout_seconds: 1800.0,
            check_interval_seconds: 5.0,
            require_tls: true,
            command_timeout_seconds: 60,
            max_command_attempts: 3,
            command_wait_interval_seconds: 2.0,
            command_wait_attempts: 300,
            progress_interval_seconds: 1.0,
            automated_clean: true,
            erase_devices_priority: None,
            erase_devices_metadata_priority: None,
            power_state_change_timeout_seconds: 60,
            redfish_retry_interval_seconds: 3.0,
            power_off_wait_seconds: 35.0,
        }
    }
}

/// A configuration file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not readable.
    #[error("configuration {file}: {cause}")]
    Read {
        /// The file.
        file: String,
        /// Why.
        cause: std::io::Error,
    },
    /// Not a JSON object of known keys.
    #[error("configuration {file}: {cause}")]
    Parse {
        /// The file.
        file: String,
        /// Why and where.
        cause: serde_json::Error,
    },
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// When it cannot be read, is not JSON or has a key that is not an option.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|cause| ConfigError::Read { file: name.clone(), cause })?;
        serde_json::from_str(&text).map_err(|cause| ConfigError::Parse { file: name, cause })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_option_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"requier_tls": false}"#).unwrap();
        let error = Config::read(file.path()).unwrap_err().to_string();
        assert!(error.contains("requier_tls"), "{error}");
    }
}
