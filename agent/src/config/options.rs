//! Every option of the agent, once: name, kind, default, kernel parameter and help. Flags, files, environment and
//! documentation all derive from this table.

use super::kind::Kind;

/// An option.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Section of configuration files; options of `DEFAULT` are also flags.
    pub group: &'static str,
    /// Its name, as in files.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// Its value when nobody sets it, as text in a file.
    pub default: Option<&'static str>,
    /// The kernel (or virtual media) parameter that changes the default.
    pub kernel: Option<&'static str>,
    /// Group and name it had before.
    pub alias: Option<(&'static str, &'static str)>,
    /// Whether IPA does not know it.
    pub ours: bool,
    /// Whether it is only accepted, and has no effect.
    pub accepted: bool,
    /// What it does, its unit.
    pub help: &'static str,
    /// Under which heading people find it.
    pub heading: &'static str,
}

impl Spec {
    const fn new(group: &'static str, name: &'static str, kind: Kind) -> Self {
        let (help, heading) = ("", "");
        Self {
            group,
            name,
            kind,
            default: None,
            kernel: None,
            alias: None,
            ours: false,
            accepted: false,
            help,
            heading,
        }
    }

    const fn default(mut self, text: &'static str) -> Self {
        self.default = Some(text);
        self
    }

    const fn kernel(mut self, parameter: &'static str) -> Self {
        self.kernel = Some(parameter);
        self
    }

    const fn alias(mut self, group: &'static str, name: &'static str) -> Self {
        self.alias = Some((group, name));
        self
    }

    const fn ours(mut self) -> Self {
        self.ours = true;
        self
    }

    const fn accepted(mut self) -> Self {
        self.accepted = true;
        self
    }

    const fn help(mut self, text: &'static str, heading: &'static str) -> Self {
        self.help = text;
        self.heading = heading;
        self
    }

    /// How other rooms call it: the bare name in `DEFAULT`, `group.name` elsewhere.
    pub fn key(&self) -> String {
        if self.group == "DEFAULT" { self.name.to_string() } else { format!("{}.{}", self.group, self.name) }
    }

    /// The long flag, without the dashes.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }
}

const fn option(name: &'static str, kind: Kind) -> Spec {
    Spec::new("DEFAULT", name, kind)
}

/// The option of that group and name, also by its former name.
pub fn find(group: &str, name: &str) -> Option<&'static Spec> {
    ALL.iter().copied().find(|spec| (spec.group, spec.name) == (group, name) || spec.alias == Some((group, name)))
}

macro_rules! options {
    ($([$heading:literal] $($id:ident: $help:literal = $spec:expr;)*)*) => {
        $($(#[doc = $help] pub const $id: Spec = $spec.help($help, $heading);)*)*
        /// All options, in the order of the help text.
        pub const ALL: &[&Spec] = &[$($(&$id),*),*];
    };
}

options! {
    ["Conductor"]
    API_URL: "Base URL(s) of Ironic, comma-separated, without /v1; or mdns"
        = option("api_url", Kind::ApiUrl).kernel("ipa-api-url");
    INSPECTION_CALLBACK_URL: "URL(s) that receive inspection data (full path), or mdns; setting it starts an inspection"
        = option("inspection_callback_url", Kind::Text).kernel("ipa-inspection-callback-url");
    INSPECTION_COLLECTORS: "What inspection collects, comma-separated (default,logs when inspection runs)"
        = option("inspection_collectors", Kind::List).kernel("ipa-inspection-collectors");
    AGENT_TOKEN: "Token that the conductor generated beforehand"
        = option("agent_token", Kind::Text).kernel("ipa-agent-token");
    INSECURE: "Do not verify certificates of servers"
        = option("insecure", Kind::Bool).default("false").kernel("ipa-insecure");
    CAFILE: "Certificate authorities for connections to servers; unset: those of the system"
        = option("cafile", Kind::Path);
    CERTFILE: "Client certificate (PEM), together with keyfile"
        = option("certfile", Kind::Path);
    KEYFILE: "Key of the client certificate (PEM)"
        = option("keyfile", Kind::Path);
    GLOBAL_REQUEST_ID: "Sent to Ironic as X-OpenStack-Request-ID"
        = option("global_request_id", Kind::Text).kernel("ipa-global-request-id");

    ["Serving"]
    LISTEN_HOST: "Address to listen on; unset: every address"
        = option("listen_host", Kind::Text).kernel("ipa-listen-host");
    LISTEN_PORT: "TCP port to listen on"
        = option("listen_port", Kind::PORT).default("9999").kernel("ipa-listen-port");
    LISTEN_TLS: "Serve TLS with tls_cert_file and tls_key_file"
        = option("listen_tls", Kind::Bool).default("false");
    TLS_CERT_FILE: "Certificate to serve (PEM)"
        = option("tls_cert_file", Kind::Path).alias("ssl", "cert_file");
    TLS_KEY_FILE: "Key of the certificate to serve (PEM)"
        = option("tls_key_file", Kind::Path).alias("ssl", "key_file");
    TLS_CA_FILE: "Accepted for compatibility; client certificates are not asked for"
        = option("tls_ca_file", Kind::Path).alias("ssl", "ca_file").accepted();
    ENABLE_AUTO_TLS: "Serve TLS with a self-signed certificate when Ironic supports it"
        = option("enable_auto_tls", Kind::Bool).default("true");
    AUTO_TLS_ALLOWED_CLOCK_SKEW: "How far back the certificate is valid, in seconds"
        = option("auto_tls_allowed_clock_skew", Kind::COUNT).default("3600");
    TLS_MIN_VERSION: "Lowest TLS version, as server and as client; Ironic may override it"
        = option("tls_min_version", Kind::Choice(&["1.2", "1.3"])).default("1.2").kernel("ipa-tls-min-version");
    TLS_CIPHER_SUITES: "TLS 1.2 cipher suites by OpenSSL name, colon-separated; Ironic may override it"
        = option("tls_cipher_suites", Kind::Text).kernel("ipa-tls-cipher-suites");
    TLS_CERTIFICATE_CURVE: "Key of the self-signed certificate"
        = option("tls_certificate_curve", Kind::Choice(&["p256", "p384", "p521"])).default("p384")
            .kernel("ipa-tls-certificate-curve");

    ["Address told to the conductor"]
    ADVERTISE_HOST: "Host of the callback URL; unset: the address that routes to Ironic"
        = option("advertise_host", Kind::Text).kernel("ipa-advertise-host");
    ADVERTISE_PORT: "Port of the callback URL; unset: listen_port"
        = option("advertise_port", Kind::PORT).kernel("ipa-advertise-port");
    ADVERTISE_PROTOCOL: "Protocol of the callback URL; https when a self-signed certificate is served"
        = option("advertise_protocol", Kind::Choice(&["http", "https"])).default("http")
            .kernel("ipa-advertise-protocol");
    IP_LOOKUP_ATTEMPTS: "Attempts to find the callback address"
        = option("ip_lookup_attempts", Kind::POSITIVE).default("6").kernel("ipa-ip-lookup-attempts");
    IP_LOOKUP_SLEEP: "Seconds between those attempts"
        = option("ip_lookup_sleep", Kind::COUNT).default("10").kernel("ipa-ip-lookup-timeout");
    NETWORK_INTERFACE: "Take the IPv4 address of this interface as callback host"
        = option("network_interface", Kind::Text).kernel("ipa-network-interface");

    ["Conductor"]
    LOOKUP_TIMEOUT: "Seconds to look up the node before giving up"
        = option("lookup_timeout", Kind::COUNT).default("600").kernel("ipa-lookup-timeout");
    LOOKUP_INTERVAL: "Shortest pause between look-ups, in seconds"
        = option("lookup_interval", Kind::COUNT).default("1").kernel("ipa-lookup-interval");

    ["Inspection"]
    LLDP_TIMEOUT: "Seconds to listen for LLDP in a network where no switch speaks it (else 30)"
        = option("lldp_timeout", Kind::Float).default("10").kernel("ipa-lldp-timeout");
    COLLECT_LLDP: "Put LLDP into the inventory"
        = option("collect_lldp", Kind::Bool).default("false").kernel("ipa-collect-lldp");
    INSPECTION_DHCP_WAIT_TIMEOUT: "Seconds inspection waits for addresses; 0: do not wait"
        = option("inspection_dhcp_wait_timeout", Kind::COUNT).default("60").kernel("ipa-inspection-dhcp-wait-timeout");
    INSPECTION_DHCP_ALL_INTERFACES: "Wait for an address on every interface, not only the one booted from"
        = option("inspection_dhcp_all_interfaces", Kind::Bool).default("false")
            .kernel("ipa-inspection-dhcp-all-interfaces");

    ["Start"]
    HARDWARE_INITIALIZATION_DELAY: "Seconds to wait before anything is done"
        = option("hardware_initialization_delay", Kind::COUNT).default("0").kernel("ipa-hardware-initialization-delay");
    DISK_WAIT_ATTEMPTS: "Attempts to see a usable disk; 0: do not wait"
        = option("disk_wait_attempts", Kind::COUNT).default("10").kernel("ipa-disk-wait-attempts");
    DISK_WAIT_DELAY: "Seconds between those attempts"
        = option("disk_wait_delay", Kind::COUNT).default("3").kernel("ipa-disk-wait-delay");

    ["Inspection"]
    INTROSPECTION_DAEMON: "Accepted for compatibility; inspection runs at start-up"
        = option("introspection_daemon", Kind::Bool).default("false").accepted();
    INTROSPECTION_DAEMON_POST_INTERVAL: "Accepted for compatibility; inspection runs at start-up"
        = option("introspection_daemon_post_interval", Kind::COUNT).default("300").accepted();

    ["Start"]
    NTP_SERVER: "Set the clock from this server at start-up and before power-off"
        = option("ntp_server", Kind::HostName).kernel("ipa-ntp-server");
    FAIL_IF_CLOCK_NOT_SET: "Fail when the clock cannot be set"
        = option("fail_if_clock_not_set", Kind::Bool).default("false");

    ["Images"]
    IMAGE_SERVER_USER: "User name for image servers"
        = option("image_server_user", Kind::Text);
    IMAGE_SERVER_PASSWORD: "Password for image servers"
        = option("image_server_password", Kind::Text);
    IMAGE_SERVER_AUTH_STRATEGY: "How to authenticate to image servers"
        = option("image_server_auth_strategy", Kind::Choice(&["noauth", "http_basic"])).default("noauth");
    IMAGE_DOWNLOAD_CONNECTION_TIMEOUT: "Seconds to connect to an image server, and to wait for the next bytes"
        = option("image_download_connection_timeout", Kind::POSITIVE).default("60")
            .kernel("ipa-image-download-connection-timeout");
    IMAGE_DOWNLOAD_CONNECTION_RETRIES: "Further attempts to download an image"
        = option("image_download_connection_retries", Kind::COUNT).default("9")
            .kernel("ipa-image-download-connection-retries");
    IMAGE_DOWNLOAD_CONNECTION_RETRY_INTERVAL: "Seconds between those attempts"
        = option("image_download_connection_retry_interval", Kind::COUNT).default("10")
            .kernel("ipa-image-download-connection-retry-interval");
    IMAGE_DOWNLOAD_MAX_DURATION: "Longest time to download an image, in seconds; 0: no limit"
        = option("image_download_max_duration", Kind::COUNT).default("0").kernel("ipa-image-download-max-duration");

    ["Conductor"]
    IRONIC_API_VERSION: "API version of Ironic, instead of asking it"
        = option("ironic_api_version", Kind::Version).kernel("ipa-ironic-api-version");

    ["Start"]
    ENABLE_VLAN_INTERFACES: "VLAN interfaces to create: INTERFACE.VLAN, MAC.VLAN, or by LLDP: INTERFACE or all"
        = option("enable_vlan_interfaces", Kind::List).default("").kernel("ipa-enable-vlan-interfaces");

    ["Steps"]
    IGNORE_BOOTLOADER_FAILURE: "Go on when a boot loader cannot be installed"
        = option("ignore_bootloader_failure", Kind::Bool).kernel("ipa-ignore-bootloader-failure");
    INJECT_FILES_PRIORITY: "Priority of the deploy step inject_files"
        = option("inject_files_priority", Kind::Integer(0, 99)).default("0").kernel("ipa-inject-files-priority");
    GUARD_SPECIAL_FILESYSTEMS: "Do not erase disks that hold cluster file systems"
        = option("guard_special_filesystems", Kind::Bool).default("true").kernel("ipa-guard-special-filesystems")
            .alias("DEFAULT", "guard-special-filesystems");
    ENABLE_DISCARD_ERASE: "Discard a disk whose own erase command failed"
        = option("enable_discard_erase", Kind::Bool).default("false").kernel("ipa-enable-discard-erase");

    ["Images"]
    MD5_ENABLED: "Accept MD5 image checksums; Ironic may override it"
        = option("md5_enabled", Kind::Bool).default("false");

    ["Conductor"]
    HTTP_REQUEST_TIMEOUT: "Longest wait for Ironic, in seconds"
        = option("http_request_timeout", Kind::POSITIVE).default("30").kernel("ipa-http-request-timeout");

    ["Images"]
    CONFIG_DRIVE_REBUILD: "Rebuild config drives"
        = option("config_drive_rebuild", Kind::Bool).default("false");
    DISABLE_DEEP_IMAGE_INSPECTION: "Do not look into images before writing them; Ironic may override it"
        = option("disable_deep_image_inspection", Kind::Bool).default("false");
    PERMITTED_IMAGE_FORMATS: "Formats of images that may be written; Ironic may override it"
        = option("permitted_image_formats", Kind::List).default("raw,gpt,qcow2");
    DISABLE_BOOTC_DEPLOY: "Refuse to install bootc containers"
        = option("disable_bootc_deploy", Kind::Bool).default("false");

    ["Steps"]
    ENABLE_BIOS_BOOTLOADER_INSTALL: "Install boot loaders for BIOS boot; Ironic may override it"
        = option("enable_bios_bootloader_install", Kind::Bool).default("false");

    ["Log"]
    DEBUG: "Log decisions too" = option("debug", Kind::Bool).default("false");
    LOG_FILE: "Log to this file" = option("log_file", Kind::Path);
    LOG_DIR: "Directory of log_file" = option("log_dir", Kind::Path);
    USE_STDERR: "Log to standard error also when there is a log file"
        = option("use_stderr", Kind::Bool).default("false");
    USE_JSON: "Log JSON lines" = option("use_json", Kind::Bool).default("false");
    USE_JOURNAL: "Accepted for compatibility; standard error reaches the journal"
        = option("use_journal", Kind::Bool).default("false").accepted();
    USE_SYSLOG: "Log to the system's log (/dev/log) too" = option("use_syslog", Kind::Bool).default("false");
    SYSLOG_LOG_FACILITY: "Facility in the system's log; unset: user" = option("syslog_log_facility", Kind::Text);
    LOG_CONFIG_APPEND: "Accepted for compatibility; it is about Python's logging"
        = option("log_config_append", Kind::Path).accepted();
    LOG_DATE_FORMAT: "Accepted for compatibility; it is about Python's logging"
        = option("log_date_format", Kind::Text).accepted();

    ["Conductor"]
    STANDALONE: "Serve without look-up and heartbeat; poll.set_node_info tells which node this is"
        = option("standalone", Kind::Bool).default("false").ours();

    ["Machine"]
    ALLOWED_DEVICES: "The only block devices that exist; admits loop devices"
        = option("allowed_devices", Kind::List).ours();
    SIMULATED_HARDWARE: "JSON file that replaces DMI and network facts; never disks"
        = option("simulated_hardware", Kind::Path).ours();
    HOST_ROOT: "Where the root file system of the host is seen"
        = option("host_root", Kind::Path).default("/mnt/coreos").ours();

    ["Steps"]
    STEPS_DIR: "Directory of step plugins"
        = option("steps_dir", Kind::Path).default("/etc/ferric/steps.d").ours();
    COREOS_NATIVE_INSTALL: "Let install_coreos do without coreos-installer, where the image has a checksum"
        = option("coreos_native_install", Kind::Bool).default("false").ours();

    ["Images"]
    BUFFER_BUDGET_MIB: "Memory for image data on its way to the disk, in MiB"
        = option("buffer_budget_mib", Kind::Integer(4, 65536)).default("32").ours();

    ["Steps"]
    ERASE_VERIFY_PERCENT: "How much of a disk is read after it was erased, in percent; 0: 64 samples"
        = option("erase_verify_percent", Kind::Integer(0, 100)).default("0").ours();

    ["Machine"]
    STATE_DIR: "Directory (tmpfs) that lets a restarted agent go on; unset: /run/ferric-agent of the host"
        = option("state_dir", Kind::Path).ours();

    ["Steps"]
    EFI_SYSTEM_PARTITION_SIZE: "Size of an EFI system partition, in MiB"
        = Spec::new("disk_utils", "efi_system_partition_size", Kind::POSITIVE).default("550");
    BIOS_BOOT_PARTITION_SIZE: "Size of a BIOS boot partition, in MiB"
        = Spec::new("disk_utils", "bios_boot_partition_size", Kind::POSITIVE).default("1");
    DD_BLOCK_SIZE: "Accepted for compatibility; images are not written by dd"
        = Spec::new("disk_utils", "dd_block_size", Kind::Text).default("1M").accepted();
    PARTITION_DETECTION_ATTEMPTS: "Accepted for compatibility; new partitions are waited for"
        = Spec::new("disk_utils", "partition_detection_attempts", Kind::POSITIVE).default("3").accepted();
    PARTPROBE_ATTEMPTS: "Accepted for compatibility; the kernel is told of partitions until it knows them"
        = Spec::new("disk_utils", "partprobe_attempts", Kind::POSITIVE).default("10").accepted();
    IMAGE_CONVERT_MEMORY_LIMIT: "Accepted for compatibility; images are converted while they stream"
        = Spec::new("disk_utils", "image_convert_memory_limit", Kind::COUNT).default("2048").accepted();
    IMAGE_CONVERT_ATTEMPTS: "Accepted for compatibility; images are converted while they stream"
        = Spec::new("disk_utils", "image_convert_attempts", Kind::COUNT).default("3").accepted();
    CHECK_DEVICE_INTERVAL: "Accepted for compatibility; a device that is busy is waited for"
        = Spec::new("disk_partitioner", "check_device_interval", Kind::COUNT).default("1").accepted();
    CHECK_DEVICE_MAX_RETRIES: "Accepted for compatibility; a device that is busy is waited for"
        = Spec::new("disk_partitioner", "check_device_max_retries", Kind::COUNT).default("20").accepted();

    ["Metrics"]
    METRICS_BACKEND: "Where metrics go: nowhere, or to a statsd server; Ironic may override it"
        = Spec::new("metrics", "backend", Kind::Choice(&["noop", "statsd", "collector"])).default("noop");
    METRICS_PREPEND_HOST: "Put the host name in front of the names of metrics"
        = Spec::new("metrics", "prepend_host", Kind::Bool).default("false");
    METRICS_PREPEND_HOST_REVERSE: "Put the parts of the host name in reverse order"
        = Spec::new("metrics", "prepend_host_reverse", Kind::Bool).default("true");
    METRICS_GLOBAL_PREFIX: "In front of the names of all metrics" = Spec::new("metrics", "global_prefix", Kind::Text);
    STATSD_HOST: "Host of the statsd server"
        = Spec::new("metrics_statsd", "statsd_host", Kind::Text).default("localhost");
    STATSD_PORT: "UDP port of the statsd server"
        = Spec::new("metrics_statsd", "statsd_port", Kind::PORT).default("8125");

    ["Containers"]
    ALLOW_ARBITRARY_CONTAINERS: "Run any container image as a step"
        = Spec::new("container", "allow_arbitrary_containers", Kind::Bool).default("false");
    ALLOWED_CONTAINERS: "Container images that may run as steps"
        = Spec::new("container", "allowed_containers", Kind::List).default("");
    CONTAINER_STEPS_FILE: "File of container steps"
        = Spec::new("container", "container_steps_file", Kind::Path).default("/etc/ironic-python-agent.d/mysteps.yaml");
    CONTAINER_RUNNER: "Program that runs containers"
        = Spec::new("container", "runner", Kind::Choice(&["podman", "docker"])).default("podman");
    CONTAINER_PULL_OPTIONS: "Options to pull a container image"
        = Spec::new("container", "pull_options", Kind::List).default("");
    CONTAINER_RUN_OPTIONS: "Options to run a container"
        = Spec::new("container", "run_options", Kind::List).default("--rm,--network=host");

    ["Multicast DNS"]
    USE_MDNS: "Find Ironic by mDNS when api_url is not set"
        = Spec::new("mdns", "use_mdns", Kind::Bool).default("false").kernel("ipa-use-mdns");
    MDNS_ALLOWED_OVERRIDES: "Options that an mDNS answer may set"
        = Spec::new("mdns", "allowed_overrides", Kind::List).default("inspection_callback_url,ntp_server");
    MDNS_LOOKUP_ATTEMPTS: "Attempts to find a service by mDNS"
        = Spec::new("mdns", "lookup_attempts", Kind::POSITIVE).default("3");
    MDNS_PARAMS: "Accepted for compatibility; the agent announces nothing"
        = Spec::new("mdns", "params", Kind::Text).accepted();
    MDNS_INTERFACES: "Interfaces (addresses) to ask by mDNS; unset: all"
        = Spec::new("mdns", "interfaces", Kind::List);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_names_unique() {
        for (index, spec) in ALL.iter().enumerate() {
            if let Some(default) = spec.default {
                assert_eq!(spec.kind.normalise(default).as_deref(), Ok(default), "{}", spec.name);
            }
            assert!(ALL[..index].iter().all(|other| other.key() != spec.key()), "{}", spec.name);
            assert!(!spec.help.is_empty());
        }
    }

    #[test]
    fn former_names_are_known() {
        assert_eq!(find("ssl", "cert_file").unwrap().name, "tls_cert_file");
        assert!(find("ssl", "nothing").is_none());
    }
}
