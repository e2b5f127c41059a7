//! From the agent's options to those of steps: the only place where the one becomes the other.

use std::collections::BTreeMap;
use std::time::Duration;

use ferric_hardware::units::Bytes;
use ferric_steps::options::{
    BasicLogin, Boot, Clock, ConfigDrive, Container, CoreOs, Download, Erase, Image, Logs, Options, Partitions,
    Retries, Runner, Tls,
};

use super::{Config, options};

/// What the configuration says to steps.
pub(super) fn options(config: &Config) -> Options {
    let text = |spec| config.text(spec).map(str::to_string);
    let devices: Vec<_> = config.list(&options::ALLOWED_DEVICES).into_iter().map(Into::into).collect();
    Options {
        allowed_devices: (!devices.is_empty()).then_some(devices),
        host_root: config.host_root(),
        steps_dir: config.path(&options::STEPS_DIR).unwrap_or_default(),
        inject_files_priority: config.number(&options::INJECT_FILES_PRIORITY).try_into().unwrap_or_default(),
        boot: Boot {
            ignore_failure: config.flag(&options::IGNORE_BOOTLOADER_FAILURE),
            install_for_bios: config.flag(&options::ENABLE_BIOS_BOOTLOADER_INSTALL),
        },
        clock: Clock { ntp_server: text(&options::NTP_SERVER), required: config.flag(&options::FAIL_IF_CLOCK_NOT_SET) },
        container: container(config),
        config_drive: ConfigDrive { rebuild: config.flag(&options::CONFIG_DRIVE_REBUILD) },
        core_os: CoreOs { native: config.flag(&options::COREOS_NATIVE_INSTALL), ..config.core_os.clone() },
        download: download(config),
        erase: Erase {
            discard: config.flag(&options::ENABLE_DISCARD_ERASE),
            guard: config.flag(&options::GUARD_SPECIAL_FILESYSTEMS),
            verify_percent: config.number(&options::ERASE_VERIFY_PERCENT).try_into().unwrap_or(100),
            ..Erase::default()
        },
        image: Image {
            md5: config.flag(&options::MD5_ENABLED),
            permitted_formats: words(config, &options::PERMITTED_IMAGE_FORMATS),
            buffer_budget: Bytes::mib(config.number(&options::BUFFER_BUDGET_MIB)),
            deep_inspection: !config.flag(&options::DISABLE_DEEP_IMAGE_INSPECTION),
        },
        logs: Logs { file: config.path(&options::LOG_FILE), directory: config.path(&options::LOG_DIR) },
        partitions: Partitions {
            efi_system: Bytes::mib(config.number(&options::EFI_SYSTEM_PARTITION_SIZE)),
            bios_boot: Bytes::mib(config.number(&options::BIOS_BOOT_PARTITION_SIZE)),
        },
        tls: tls(config),
    }
}

fn container(config: &Config) -> Container {
    Container {
        allow_any: config.flag(&options::ALLOW_ARBITRARY_CONTAINERS),
        allowed: config.list(&options::ALLOWED_CONTAINERS).into_iter().map(str::to_string).collect(),
        steps_file: config.path(&options::CONTAINER_STEPS_FILE).unwrap_or_default(),
        runner: match config.text(&options::CONTAINER_RUNNER) {
            Some("docker") => Runner::Docker,
            _ => Runner::Podman,
        },
        pull_options: words(config, &options::CONTAINER_PULL_OPTIONS),
        run_options: words(config, &options::CONTAINER_RUN_OPTIONS),
        disable_bootc: config.flag(&options::DISABLE_BOOTC_DEPLOY),
    }
}

fn download(config: &Config) -> Download {
    let seconds = |spec| Duration::from_secs(config.number(spec));
    let text = |spec| config.text(spec).map(str::to_string);
    let login = BasicLogin { user: text(&options::IMAGE_SERVER_USER), password: text(&options::IMAGE_SERVER_PASSWORD) };
    Download {
        retries: Retries {
            count: config.number(&options::IMAGE_DOWNLOAD_CONNECTION_RETRIES).try_into().unwrap_or(u32::MAX),
            interval: seconds(&options::IMAGE_DOWNLOAD_CONNECTION_RETRY_INTERVAL),
            timeout: seconds(&options::IMAGE_DOWNLOAD_CONNECTION_TIMEOUT),
            max_duration: Some(seconds(&options::IMAGE_DOWNLOAD_MAX_DURATION)).filter(|limit| !limit.is_zero()),
        },
        basic_login: (config.text(&options::IMAGE_SERVER_AUTH_STRATEGY) == Some("http_basic")).then_some(login),
    }
}

fn tls(config: &Config) -> Tls {
    Tls {
        insecure: config.flag(&options::INSECURE),
        authorities: config.path(&options::CAFILE),
        client_certificate: config.path(&options::CERTFILE).zip(config.path(&options::KEYFILE)),
        only_1_3: config.text(&options::TLS_MIN_VERSION) == Some("1.3"),
        cipher_suites: config.text(&options::TLS_CIPHER_SUITES).map(str::to_string),
    }
}

/// The words of a list whose items may hold several, separated by blanks.
fn words(config: &Config, spec: &options::Spec) -> Vec<String> {
    config.list(spec).into_iter().flat_map(str::split_whitespace).map(str::to_string).collect()
}

/// What the environment of the container says to the CoreOS steps.
pub(super) fn core_os(environment: &BTreeMap<String, String>) -> CoreOs {
    CoreOs {
        ip_options: environment.get("IPA_COREOS_IP_OPTIONS").cloned(),
        copy_network: environment.get("IPA_COREOS_COPY_NETWORK").is_some_and(|text| text.eq_ignore_ascii_case("true")),
        native: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_both_are_the_same() {
        let defaults = Config::with_defaults().step_options();
        assert_eq!(defaults, Options { host_root: defaults.host_root.clone(), ..Options::default() });
    }
}
