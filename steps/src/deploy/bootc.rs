//! Step `execute_bootc_install`: a bootable container installs itself to the root device, run by podman.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ferric_hardware::block::EligibleDevice;
use ferric_hardware::tool::{Tool, ToolError};
use serde_json::{Value, json};

use super::configdrive::ConfigDrive;
use super::{root_device, write_image};
use crate::arguments::{Arguments, FromArguments, Parameter, value};
use crate::secret_file::SecretFile;
use crate::step::Step;
use crate::{ErrorKind, StepError, loose};

/// Left free by the root file system: EFI system partition and config drive.
const RESERVED_MIB: u64 = 768;
/// Podman cannot pivot_root on a ramdisk.
const NO_PIVOT_ROOT: &[u8] = b"[engine]\nno_pivot_root = true\n";
/// Names a file of such settings (containers.conf(5)).
const SETTINGS_VARIABLE: &str = "CONTAINERS_CONF_OVERRIDE";

/// Arguments of `execute_bootc_install`.
pub struct ExecuteBootcInstall {
    /// As it was given.
    source: String,
    install: Install,
    config_drive: Option<ConfigDrive>,
}

impl FromArguments for ExecuteBootcInstall {
    const PARAMETERS: &'static [Parameter] = &[
        Parameter::required("image_source", "The container image to install."),
        Parameter::optional("configdrive", "Config drive, base64 of gzip, or its URL."),
        Parameter::optional("oci_pull_secret", "Credentials of the registry."),
        // The command of the same name has other words for the same.
        Parameter::optional("pull_secret", "The same, as the command execute_bootc_install calls it."),
        Parameter::optional("instance_info", "That of the node, unless given."),
    ];

    fn from_arguments(arguments: &Arguments, step: &Step) -> Result<Self, StepError> {
        let source = loose::text(value(arguments, "image_source"))
            .ok_or_else(|| ErrorKind::InvalidParameters.error("image_source must be a text".to_string()))?;
        let secret = ["oci_pull_secret", "pull_secret"].iter().find_map(|name| arguments.get(*name)?.as_str());
        let secret = secret.filter(|secret| !secret.is_empty());
        let instance_info = arguments.get("instance_info").unwrap_or(&step.node["instance_info"]);
        Ok(Self {
            source: source.to_string(),
            install: Install {
                image: source.split_once("://").map_or(source, |(_, image)| image).to_string(),
                registry_secret: secret.map(registry_secret).transpose()?,
                authorized_keys: instance_info["bootc_authorized_keys"].as_str().map(str::to_string),
                tpm2_luks: instance_info["bootc_tpm2_luks"] == true,
            },
            config_drive: ConfigDrive::parse(value(arguments, "configdrive"), step.node_uuid())?,
        })
    }
}

/// The step `execute_bootc_install`. `instance_info` may hold `bootc_authorized_keys` and `bootc_tpm2_luks`.
///
/// # Errors
/// [`ErrorKind::ImageDownload`] when the container cannot be pulled, [`ErrorKind::ImageWrite`] when it does not install
/// itself; those of `write_image` for what follows.
pub async fn execute_bootc_install(step: &Step, wanted: ExecuteBootcInstall) -> Result<Value, StepError> {
    if step.site.options.container.disable_bootc {
        return Err(ErrorKind::Execution
            .error("The bootc deploy interface is administratively disabled. Deployment cannot proceed.".to_string()));
    }
    let found = step.blocking(root_device::look).await?;
    let drive = match &wanted.config_drive {
        None => None,
        Some(drive) => Some(drive.fetch_for(&found, step).await?),
    };
    step.blocking(move |step| {
        let device = root_device::claim(step)?;
        install(step, &wanted.install, &device)?;
        write_image::finish(step, &device, drive.as_ref())?;
        let source = &wanted.source;
        let text = format!("execute_bootc_install: Container image ({source}) written to device {}", device.name);
        Ok(json!({ "result": text }))
    })
    .await
}

impl std::fmt::Debug for ExecuteBootcInstall {
    /// Without secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecuteBootcInstall").field("source", &self.source).finish_non_exhaustive()
    }
}

/// What installs itself, and how.
struct Install {
    /// Registry and name, without transport.
    image: String,
    registry_secret: Option<String>,
    authorized_keys: Option<String>,
    tpm2_luks: bool,
}

/// `user:password` in base64, as podman wants it; it arrives encoded once more.
fn registry_secret(encoded: &str) -> Result<String, StepError> {
    let decoded = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.ok_or_else(|| ErrorKind::InvalidParameters.error("oci_pull_secret is not base64 of a text".to_string()))
}

fn install(step: &Step, wanted: &Install, device: &EligibleDevice) -> Result<(), StepError> {
    let podman = step.site.tools.find("podman")?;
    let settings = SecretFile::create(&podman, "conf", NO_PIVOT_ROOT)?;
    step.progress.activity(format!("pulling the container {}", wanted.image));
    pull(&podman, wanted, &settings, step)
        .map_err(|error| stopped(error, || ErrorKind::ImageDownload.error("Failed to pull container image")))?;
    // The credentials are gone before anything of the container runs.
    let keys = wanted.authorized_keys.as_deref();
    let keys = keys.map(|keys| SecretFile::create(&podman, "keys", keys.as_bytes())).transpose()?;
    let selinux = step.site.machine.exists("/sys/fs/selinux/enforce");
    step.progress.activity(format!("bootc installs {} to {}", wanted.image, device.name));
    let arguments = install_arguments(wanted, device, keys.as_ref(), selinux);
    call(&podman, arguments, &settings, step).map_err(|error| {
        stopped(error, || ErrorKind::ImageWrite.error(format!("Writing image to device {} failed", device.name)))
    })
}

fn pull(podman: &Tool, wanted: &Install, settings: &SecretFile, step: &Step) -> Result<(), ToolError> {
    let registry = wanted.image.split('/').next().unwrap_or_default();
    let mut arguments = vec!["pull".to_string()];
    let file = wanted.registry_secret.as_ref().map(|secret| {
        let text = json!({ "auths": { registry: { "auth": secret } } }).to_string();
        SecretFile::create(podman, "json", text.as_bytes())
    });
    let file = file.transpose().map_err(|error| ToolError::Start {
        command: "podman pull".to_string(),
        cause: std::io::Error::other(error.to_string()),
    })?;
    arguments.extend(file.as_ref().map(|file| format!("--authfile={}", file.inside())));
    arguments.extend(["--retry-delay=5s".to_string(), wanted.image.clone()]);
    call(podman, arguments, settings, step)
}

fn install_arguments(
    wanted: &Install,
    device: &EligibleDevice,
    keys: Option<&SecretFile>,
    selinux: bool,
) -> Vec<String> {
    let words = |text: &str| text.split(' ').map(str::to_string).collect::<Vec<String>>();
    let mut all = words("--log-level=debug run --rm --privileged --pid=host --pull=never");
    all.extend(words("-v /var/lib/containers:/var/lib/containers -v /dev:/dev"));
    if let Some(keys) = keys {
        all.extend(["-v".to_string(), format!("{0}:{0}:ro", keys.inside())]);
    }
    if selinux {
        all.extend(words("--security-opt label=type:unconfined_t"));
    }
    all.push(wanted.image.clone());
    all.extend(words("bootc install to-disk --wipe --skip-fetch-check"));
    all.push(format!("--root-size={}M", (device.size_bytes >> 20).saturating_sub(RESERVED_MIB)));
    if wanted.tpm2_luks {
        all.push("--block-setup=tpm2-luks".to_string());
    }
    if let Some(keys) = keys {
        all.push(format!("--root-ssh-authorized-keys={}", keys.inside()));
    }
    if !selinux {
        all.push("--disable-selinux".to_string());
    }
    all.push(device.name.clone());
    all
}

fn call(podman: &Tool, arguments: Vec<String>, settings: &SecretFile, step: &Step) -> Result<(), ToolError> {
    let mut on_line = |line: &str| tracing::debug!("podman: {line}");
    let run = podman.run(arguments).env(SETTINGS_VARIABLE, settings.inside());
    run.cancelled(&|| step.cancel.is_cancelled()).on_line(&mut on_line).output().map(|_| ())
}

fn stopped(error: ToolError, otherwise: impl Fn() -> StepError) -> StepError {
    match error {
        ToolError::Cancelled { command } => StepError::cancelled(command),
        error => otherwise().because(error),
    }
}
