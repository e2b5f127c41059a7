//! Step `install_coreos`: coreos-installer, or the agent itself, brings CoreOS and its Ignition configuration to the root
//! device.
//!
//! - `arguments`: what is wanted, by the step, the config drive and the node; `agreement`: that they do not differ
//! - `ignition`: the configuration, checked before anything is written
//! - `saved_partitions`: what stays on the disk; `network`: connections for the installed system
//! - `pipe`: the way of an image with a digest to coreos-installer
//! - `installation`: runs of coreos-installer until it succeeds; `installer`: one of them
//! - `native`: the same without it; `boot_partition` is what it does there, to texts by `boot_entry` and `console`
//! - `located`: where an image is, and its digest; `on_array`: what a software RAID asks of the installed system

mod agreement;
mod arguments;
mod boot_entry;
mod boot_partition;
mod console;
mod ignition;
mod installation;
mod installer;
mod located;
mod native;
mod network;
mod on_array;
mod pipe;
mod saved_partitions;

use std::time::Duration;

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::efi::EfiError;
use ferric_ignition::host_name::Distribution;
use serde_json::Value;

use self::arguments::Image;
pub use self::arguments::InstallCoreos;
use self::installation::Installation;
use self::native::Native;
use self::pipe::Pipe;
use super::bootloader::{self, InstallBootloader};
use crate::clean::raid;
use crate::step::Step;
use crate::{ErrorKind, StepError};

/// How often the boot entry is tried: firmware can be busy right after the install.
const BOOT_ENTRY_ATTEMPTS: u32 = 6;
/// Pause between those tries.
const BOOT_ENTRY_PAUSE: Duration = Duration::from_secs(5);

/// The step `install_coreos`.
///
/// # Errors
/// [`ErrorKind::Deployment`] with the installer's own reason, and those of an image that cannot be had or is another one
/// than it should be; nothing bootable is on the disk then, and nothing was written when an argument is refused.
pub async fn install_coreos(step: &Step, mut wanted: InstallCoreos) -> Result<Value, StepError> {
    let ignition = std::mem::take(&mut wanted.ignition);
    let ignition = match &wanted.hostname {
        Some(hostname) => ignition.with_given_hostname(hostname)?,
        None => {
            let hostname = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
            ignition.with_hostname(hostname.as_deref(), &distribution(step))
        }
    };
    let ignition = ignition.into_bytes();
    let obstacle = native::obstacle(&wanted);
    let device = match (step.site.tools.find("coreos-installer"), obstacle) {
        (Ok(tool), obstacle) if obstacle.is_some() || !step.site.options.core_os.native => {
            if let Some(obstacle) = obstacle.filter(|_| step.site.options.core_os.native) {
                tracing::info!(obstacle, "coreos-installer installs");
            }
            let pipe = match &wanted.image {
                Image::Described(info) => Some(Pipe::open(info, step).await?),
                Image::Live | Image::Url(_) => None,
            };
            delete_raid(step).await;
            let installation = Installation { tool, wanted, ignition, pipe };
            step.blocking(move |step| installation.run(step)).await?
        }
        (Err(error), Some(obstacle)) => {
            let root = step.site.options.host_root.display();
            let text = format!(
                "Cannot run coreos-installer, is it installed in {root}? The agent itself cannot install: {obstacle}"
            );
            return Err(ErrorKind::Deployment.error(text).because(error));
        }
        (_, _) => {
            let native = Native::new(wanted, ignition)?;
            delete_raid(step).await;
            native.run(step).await?
        }
    };
    boot_entry(step, &device).await?;
    Ok(Value::Null)
}

/// What the live system says of itself.
fn distribution(step: &Step) -> Distribution {
    let places = ["etc/os-release", "usr/lib/os-release"].map(|path| step.site.options.host_root.join(path));
    let text = places.iter().find_map(|path| std::fs::read_to_string(path).ok());
    Distribution::parse(&text.unwrap_or_default())
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
