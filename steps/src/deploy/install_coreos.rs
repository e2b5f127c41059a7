//! Step `install_coreos`: coreos-installer brings CoreOS and its Ignition configuration to the root device.
//!
//! - `ignition`: the configuration, checked before anything is written
//! - `installer`: one run of coreos-installer

mod ignition;
mod installer;

use std::time::Duration;

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::efi::EfiError;
use ferric_hardware::open_device::{Access, OpenDevice};
use ferric_hardware::{partitions, wipe};
use ferric_ignition::host_name::Distribution;
use serde_json::{Value, json};

use super::bootloader::{self, InstallBootloader};
use super::root_device;
use crate::arguments::{Arguments, FromArguments, Parameter, value};
use crate::clean::raid;
use crate::image::{Algorithm, Digest};
use crate::secret_file::SecretFile;
use crate::step::Step;
use crate::{ErrorKind, StepError, loose};
use ignition::Ignition;

/// How often coreos-installer is run before it is believed.
const ATTEMPTS: u32 = 3;
/// How often the boot entry is tried: firmware can be busy right after the install.
const BOOT_ENTRY_ATTEMPTS: u32 = 6;
/// Pause between those tries.
const BOOT_ENTRY_PAUSE: Duration = Duration::from_secs(5);

/// Arguments of `install_coreos`, and what the node says to it.
#[derive(Debug)]
pub struct InstallCoreos {
    ignition: Ignition,
    /// Without Ignition and device.
    installer_arguments: Vec<String>,
}

impl FromArguments for InstallCoreos {
    const PARAMETERS: &'static [Parameter] = &[Parameter::optional(
        "ignition",
        "Ignition configuration 3.x, as an object or JSON text. Default: user_data of the config drive.",
    )];

    fn from_arguments(arguments: &Arguments, step: &Step) -> Result<Self, StepError> {
        let instance_info = &step.node["instance_info"];
        let configdrive = configdrive(&instance_info["configdrive"])?;
        let ignition = match value(arguments, "ignition") {
            Value::Null => &configdrive["user_data"],
            given => given,
        };
        let meta_data = &configdrive["meta_data"];
        let mut installer_arguments = vec!["install".to_string()];
        match loose::text(&instance_info["image_source"]) {
            // It only makes a missing signature good, not a wrong one.
            Some(url) => installer_arguments.extend(["--image-url", url, "--insecure"].map(str::to_string)),
            None => installer_arguments.push("--offline".to_string()),
        }
        for argument in kernel_arguments(meta_data, step) {
            installer_arguments.extend(["--append-karg".to_string(), argument]);
        }
        if copy_network(meta_data, step) {
            installer_arguments.push("--copy-network".to_string());
        }
        Ok(Self { ignition: Ignition::read(ignition)?, installer_arguments })
    }
}

/// The step `install_coreos`. The Ignition configuration is the argument `ignition`, else `user_data` of the config
/// drive; `meta_data` of the config drive may hold `coreos_append_karg` and `coreos_copy_network`. The image is
/// `instance_info.image_source`, or without it the one inside of the live system. `network_data` is not looked at.
///
/// # Errors
/// [`ErrorKind::Deployment`] with the installer's own reason; nothing was written when the configuration is refused.
pub async fn install_coreos(step: &Step, wanted: InstallCoreos) -> Result<Value, StepError> {
    let hostname = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let ignition = wanted.ignition.with_hostname(hostname.as_deref(), &distribution(step)).into_bytes();
    let instance_info = &step.node["instance_info"];
    if ["image_os_hash_value", "image_checksum"].iter().any(|name| instance_info[name].is_string()) {
        tracing::warn!("coreos-installer does not compare the image with its checksum in instance_info");
    }
    delete_raid(step).await;
    let arguments = wanted.installer_arguments;
    let device = step.blocking(move |step| install(step, arguments, ignition.as_deref())).await?;
    boot_entry(step, &device).await?;
    Ok(Value::Null)
}

/// What the live system says of itself.
fn distribution(step: &Step) -> Distribution {
    let places = ["etc/os-release", "usr/lib/os-release"].map(|path| step.site.options.host_root.join(path));
    let text = places.iter().find_map(|path| std::fs::read_to_string(path).ok());
    Distribution::parse(&text.unwrap_or_default())
}

fn configdrive(value: &Value) -> Result<Value, StepError> {
    match value {
        Value::Null => Ok(json!({})),
        Value::Object(_) => Ok(value.clone()),
        Value::String(text) if text.is_empty() => Ok(json!({})),
        _ => Err(ErrorKind::Deployment
            .error("Cannot use a pre-rendered configdrive, please pass it as JSON data".to_string())),
    }
}

/// Every element becomes an argument of its own; a plain text is one element.
fn kernel_arguments(meta_data: &Value, step: &Step) -> Vec<String> {
    let mut all: Vec<String> = match &meta_data["coreos_append_karg"] {
        Value::String(one) => vec![one.clone()],
        Value::Array(list) => list.iter().filter_map(|one| one.as_str().map(str::to_string)).collect(),
        _ => Vec::new(),
    };
    all.extend(step.site.options.core_os.ip_options.clone());
    all.retain(|argument| !argument.trim().is_empty());
    all
}

fn copy_network(meta_data: &Value, step: &Step) -> bool {
    match &meta_data["coreos_copy_network"] {
        Value::Null => step.site.options.core_os.copy_network,
        Value::Bool(wanted) => *wanted,
        other => other.as_str().is_some_and(|text| text.eq_ignore_ascii_case("true")),
    }
}

/// Arrays on the disk would keep it busy. Nodes that are not cleaned keep theirs.
async fn delete_raid(step: &Step) {
    if step.node["automated_clean"] == false {
        return;
    }
    if let Err(error) = raid::delete_configuration(step).await {
        tracing::warn!(%error, "software RAID could not be deleted before the install");
    }
}

fn install(step: &Step, mut arguments: Vec<String>, ignition: Option<&[u8]>) -> Result<EligibleDevice, StepError> {
    let tool = step.site.tools.find("coreos-installer").map_err(|error| {
        let root = step.site.options.host_root.display();
        ErrorKind::Deployment.error(format!("Cannot run coreos-installer, is it installed in {root}?")).because(error)
    })?;
    let device = root_device::claim(step)?;
    let file = ignition.map(|text| SecretFile::create(&tool, "ign", text)).transpose()?;
    if let (Some(file), Some(text)) = (&file, ignition) {
        let hash = format!("sha256-{}", Digest::of(Algorithm::Sha256, text).hex());
        arguments.extend(["--ignition-file".to_string(), file.inside(), "--ignition-hash".to_string(), hash]);
    }
    arguments.push(device.name.clone());
    let mut attempt = 1;
    loop {
        step.progress.activity(format!("installing CoreOS to {}", device.name));
        match installer::run(&tool, &arguments, step) {
            Ok(()) => break,
            Err(failure) if failure.may_pass && attempt < ATTEMPTS && !step.cancel.is_cancelled() => {
                tracing::warn!(attempt, reason = failure.text, "coreos-installer failed, trying again");
                attempt += 1;
            }
            Err(failure) => {
                if failure.was_stopped {
                    take_off(step, &device);
                    return Err(StepError::cancelled(failure.text));
                }
                return Err(ErrorKind::Deployment.error(failure.text));
            }
        }
    }
    let disk = OpenDevice::open(&step.site.machine, &device, Access::Write)?;
    disk.flush()?;
    partitions::reread(&step.site.machine, &device, &disk)?;
    Ok(device)
}

/// An installer that was stopped could not clear the disk itself, as it does when it fails.
fn take_off(step: &Step, device: &EligibleDevice) {
    let wiped = OpenDevice::open(&step.site.machine, device, Access::Write).and_then(|disk| wipe::metadata(&disk));
    if let Err(error) = wiped {
        tracing::error!(device = device.name, %error, "cannot clear the disk after the installer was stopped");
    }
}

async fn boot_entry(step: &Step, device: &EligibleDevice) -> Result<(), StepError> {
    if !step.site.machine.exists("/sys/firmware/efi") {
        return Ok(());
    }
    step.progress.activity(format!("making a boot entry for {}", device.name));
    let mut attempt = 1;
    loop {
        match bootloader::install_bootloader(step, InstallBootloader::default()).await {
            Err(error) if error.is_caused_by::<EfiError>() && attempt < BOOT_ENTRY_ATTEMPTS => {
                tracing::warn!(attempt, error = error.chain(), "no boot entry yet, trying again");
                attempt += 1;
                tokio::time::sleep(BOOT_ENTRY_PAUSE).await;
            }
            result => return result.map(|_| ()),
        }
    }
}
