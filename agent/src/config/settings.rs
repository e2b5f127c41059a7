//! What the agent itself is told, typed: a group for each part of it, which gets no more than its group.

use std::path::PathBuf;
use std::time::Duration;

use super::{Config, options};

/// The groups.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How Ironic reaches the agent.
    pub(crate) advertise: Advertise,
    /// The token that the conductor generated beforehand.
    pub(crate) agent_token: Option<String>,
    /// How the agent reaches Ironic.
    pub(crate) conductor: Conductor,
    /// Waiting for disks.
    pub(crate) disk_wait: DiskWait,
    /// How long nothing is done at the start.
    pub(crate) hardware_initialization_delay: Duration,
    /// Inspection and inventory.
    pub(crate) inspection: Inspection,
    /// The REST API.
    pub(crate) listen: Listen,
    /// The log.
    pub(crate) log: Log,
    /// Look-up.
    pub(crate) lookup: Lookup,
    /// Discovery.
    pub(crate) mdns: Mdns,
    /// Metrics.
    pub(crate) metrics: Metrics,
    /// A file in place of DMI and network facts.
    pub(crate) simulated_hardware: Option<PathBuf>,
    /// Serve without look-up and heartbeat.
    pub(crate) standalone: bool,
    /// Where a restarted agent finds what it was.
    pub(crate) state_dir: PathBuf,
}

/// How Ironic reaches the agent.
#[derive(Debug, Clone, Default)]
pub struct Advertise {
    /// Host of the callback URL; found out by the route to Ironic when it is not set.
    pub(crate) host: Option<String>,
    /// Its port.
    pub(crate) port: u16,
    /// Its protocol, unless a self-signed certificate is served.
    pub(crate) protocol: String,
    /// The interface whose address is taken as host.
    pub(crate) interface: Option<String>,
    /// Attempts to find the address.
    pub(crate) attempts: u64,
    /// Pause between them.
    pub(crate) pause: Duration,
}

/// URLs, or the wish to find one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Urls {
    /// By multicast DNS.
    Mdns,
    /// These, perhaps none.
    At(Vec<String>),
}

/// How the agent reaches Ironic.
#[derive(Debug, Clone)]
pub struct Conductor {
    /// Base URLs.
    pub(crate) urls: Urls,
    /// The API version, instead of asking.
    pub(crate) api_version: Option<(u32, u32)>,
    /// Sent along with every request.
    pub(crate) request_id: Option<String>,
    /// Longest wait for an answer.
    pub(crate) timeout: Duration,
}

/// Waiting for a disk that can be used.
#[derive(Debug, Clone)]
pub struct DiskWait {
    /// How often is looked; 0: not at all.
    pub(crate) attempts: u64,
    /// Pause between two looks.
    pub(crate) delay: Duration,
}

/// What is collected about the machine, and for whom.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// Where inspection data go; without any to Ironic.
    pub(crate) callback_urls: Urls,
    /// What is collected.
    pub(crate) collectors: Vec<String>,
    /// Limit of waiting for addresses.
    pub(crate) dhcp_wait: Duration,
    /// Whether each interface must have one.
    pub(crate) dhcp_all_interfaces: bool,
    /// Put LLDP into the inventory too.
    pub(crate) collect_lldp: bool,
    /// How long to listen for LLDP where nobody speaks it.
    pub(crate) lldp_timeout: Duration,
    /// VLAN interfaces to create.
    pub(crate) vlans: Vec<String>,
    /// `BOOTIF` of the kernel parameters: the MAC address of the interface that was booted from.
    pub(crate) boot_interface: Option<String>,
    /// `ipa-inspection-benchmarks` of the kernel parameters: what the collector `extra-hardware` measures.
    pub(crate) benchmarks: Option<String>,
}

/// How the REST API is served.
#[derive(Debug, Clone)]
pub struct Listen {
    /// The address; unset: every one.
    pub(crate) host: Option<String>,
    /// The port.
    pub(crate) port: u16,
    /// Serve TLS with this certificate and key.
    pub(crate) tls: bool,
    /// Certificate (PEM).
    pub(crate) certificate: Option<PathBuf>,
    /// Its key (PEM).
    pub(crate) key: Option<PathBuf>,
    /// Serve TLS with a self-signed certificate, where Ironic supports that.
    pub(crate) auto_tls: bool,
    /// How that certificate is made.
    pub(crate) self_signed: SelfSigned,
}

/// How a self-signed certificate is made.
#[derive(Debug, Clone, Default)]
pub struct SelfSigned {
    /// How far back it is valid.
    pub(crate) clock_skew: Duration,
    /// The curve of its key.
    pub(crate) curve: Curve,
}

/// An elliptic curve.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    #[default]
    P384,
    /// NIST P-521.
    P521,
}

/// Where the log goes.
#[derive(Debug, Clone)]
pub struct Log {
    /// Log decisions too.
    pub(crate) debug: bool,
    /// A file.
    pub(crate) file: Option<PathBuf>,
    /// Its directory.
    pub(crate) directory: Option<PathBuf>,
    /// Standard error also when there is a file.
    pub(crate) stderr: bool,
    /// Lines of JSON.
    pub(crate) json: bool,
    /// The system's log too.
    pub(crate) syslog: bool,
    /// Facility in the system's log.
    pub(crate) syslog_facility: Option<String>,
}

/// Looking up the node.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// When it is given up.
    pub(crate) timeout: Duration,
    /// Shortest pause.
    pub(crate) interval: Duration,
}

/// Discovery by multicast DNS.
#[derive(Debug, Clone)]
pub struct Mdns {
    /// Look for Ironic when no URL is set.
    pub(crate) enabled: bool,
    /// Options that an answer may set.
    pub(crate) allowed_overrides: Vec<String>,
    /// How often is asked.
    pub(crate) attempts: u64,
    /// Addresses of the interfaces that are asked; all without any.
    pub(crate) interfaces: Vec<String>,
}

/// Where metrics go.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Whether they go to the statsd server at all.
    pub(crate) statsd: bool,
    /// Its host.
    pub(crate) host: String,
    /// Its UDP port.
    pub(crate) port: u16,
    /// In front of all names.
    pub(crate) prefix: Option<String>,
    /// The host name in front of them too.
    pub(crate) prepend_host: bool,
    /// Its parts in reverse order.
    pub(crate) reverse_host: bool,
}

impl Settings {
    /// What the configuration says.
    pub(super) fn of(config: &Config) -> Self {
        let text = |spec| config.text(spec).map(str::to_string);
        let list = |spec| config.list(spec).into_iter().map(str::to_string).collect();
        Self {
            advertise: Advertise {
                host: text(&options::ADVERTISE_HOST),
                port: config.port(match config.text(&options::ADVERTISE_PORT) {
                    Some(_) => &options::ADVERTISE_PORT,
                    None => &options::LISTEN_PORT,
                }),
                protocol: text(&options::ADVERTISE_PROTOCOL).unwrap_or_default(),
                interface: text(&options::NETWORK_INTERFACE),
                attempts: config.number(&options::IP_LOOKUP_ATTEMPTS),
                pause: config.seconds(&options::IP_LOOKUP_SLEEP),
            },
            agent_token: text(&options::AGENT_TOKEN),
            conductor: Conductor {
                urls: match Urls::of(config, &options::API_URL) {
                    Urls::Mdns => Urls::Mdns,
                    Urls::At(urls) => Urls::At(urls.iter().map(|url| url.trim_end_matches('/').to_string()).collect()),
                },
                api_version: config.version(&options::IRONIC_API_VERSION),
                request_id: text(&options::GLOBAL_REQUEST_ID),
                timeout: config.seconds(&options::HTTP_REQUEST_TIMEOUT),
            },
            disk_wait: DiskWait {
                attempts: config.number(&options::DISK_WAIT_ATTEMPTS),
                delay: config.seconds(&options::DISK_WAIT_DELAY),
            },
            hardware_initialization_delay: config.seconds(&options::HARDWARE_INITIALIZATION_DELAY),
            inspection: Inspection {
                callback_urls: Urls::of(config, &options::INSPECTION_CALLBACK_URL),
                collectors: list(&options::INSPECTION_COLLECTORS),
                dhcp_wait: config.seconds(&options::INSPECTION_DHCP_WAIT_TIMEOUT),
                dhcp_all_interfaces: config.flag(&options::INSPECTION_DHCP_ALL_INTERFACES),
                collect_lldp: config.flag(&options::COLLECT_LLDP),
                lldp_timeout: config.seconds(&options::LLDP_TIMEOUT),
                vlans: list(&options::ENABLE_VLAN_INTERFACES),
                boot_interface: config.boot_interface.clone(),
                benchmarks: config.benchmarks.clone(),
            },
            listen: Listen {
                host: text(&options::LISTEN_HOST),
                port: config.port(&options::LISTEN_PORT),
                tls: config.flag(&options::LISTEN_TLS),
                certificate: config.path(&options::TLS_CERT_FILE),
                key: config.path(&options::TLS_KEY_FILE),
                auto_tls: config.flag(&options::ENABLE_AUTO_TLS),
                self_signed: SelfSigned {
                    clock_skew: config.seconds(&options::AUTO_TLS_ALLOWED_CLOCK_SKEW),
                    curve: match config.text(&options::TLS_CERTIFICATE_CURVE) {
                        Some("p256") => Curve::P256,
                        Some("p521") => Curve::P521,
                        _ => Curve::P384,
                    },
                },
            },
            log: Log {
                debug: config.flag(&options::DEBUG),
                file: config.path(&options::LOG_FILE),
                directory: config.path(&options::LOG_DIR),
                stderr: config.flag(&options::USE_STDERR),
                json: config.flag(&options::USE_JSON),
                syslog: config.flag(&options::USE_SYSLOG),
                syslog_facility: text(&options::SYSLOG_LOG_FACILITY),
            },
            lookup: Lookup {
                timeout: config.seconds(&options::LOOKUP_TIMEOUT),
                interval: config.seconds(&options::LOOKUP_INTERVAL),
            },
            mdns: Mdns {
                enabled: config.flag(&options::USE_MDNS),
                allowed_overrides: list(&options::MDNS_ALLOWED_OVERRIDES),
                attempts: config.number(&options::MDNS_LOOKUP_ATTEMPTS),
                interfaces: list(&options::MDNS_INTERFACES),
            },
            metrics: Metrics {
                statsd: config.text(&options::METRICS_BACKEND) == Some("statsd"),
                host: text(&options::STATSD_HOST).unwrap_or_default(),
                port: config.port(&options::STATSD_PORT),
                prefix: text(&options::METRICS_GLOBAL_PREFIX),
                prepend_host: config.flag(&options::METRICS_PREPEND_HOST),
                reverse_host: config.flag(&options::METRICS_PREPEND_HOST_REVERSE),
            },
            simulated_hardware: config.path(&options::SIMULATED_HARDWARE),
            standalone: config.flag(&options::STANDALONE),
            state_dir: config.state_dir(),
        }
    }
}

impl Urls {
    fn of(config: &Config, spec: &options::Spec) -> Self {
        match config.text(spec) {
            Some("mdns") => Self::Mdns,
            _ => Self::At(config.list(spec).into_iter().map(str::to_string).collect()),
        }
    }

    /// The URLs; none while they have not been found.
    pub(crate) fn list(&self) -> &[String] {
        match self {
            Self::Mdns => &[],
            Self::At(urls) => urls,
        }
    }
}
