//! `install_bootloader`: makes the firmware boot what was deployed, by an entry for the loader on its EFI system
//! partition.

mod assets;
mod esp;
mod grub;

use ferric_hardware::efi::{BootVariables, DevicePath, EfiError, LoadOption};
use ferric_hardware::opened::{Access, OpenDevice};
use serde_json::Value;

use self::esp::{EspError, Loader};
use super::root_device;
use crate::clean::on_thread;
use crate::step::{Arguments, Step};
use crate::{StepError, loose};

/// What a disk without an identifier of its own is called.
const NO_DISK_ID: &str = "0x00000000";

/// Makes the deployed disk bootable: by boot entries where the firmware is UEFI, else by the image's own GRUB when the
/// option `enable_bios_bootloader_install` permits that.
///
/// # Errors
/// [`StepError::DeviceNotFound`] without an EFI system partition, [`StepError::Execution`] when the firmware refuses the
/// entry or GRUB fails, [`StepError::InvalidImage`] when the image would need GRUB and that is not permitted.
pub async fn install_bootloader(step: &Step, arguments: &Arguments) -> Result<Value, StepError> {
    let arguments = arguments.clone();
    on_thread(step, move |step| {
        let ignored = arguments.get("ignore_bootloader_failure").and_then(loose::flag);
        let ignored = ignored.unwrap_or(step.site.options.boot.ignore_failure);
        match install(step, &arguments) {
            Err(error) if ignored => {
                tracing::warn!(%error, "the boot loader was not set up, which is to be ignored");
                Ok(Value::Null)
            }
            result => result.map(|()| Value::Null),
        }
    })
    .await
}

fn install(step: &Step, arguments: &Arguments) -> Result<(), StepError> {
    let uefi = step.site.machine.path("/sys/firmware/efi").is_dir();
    if uefi && manage_uefi(step, arguments)? {
        return Ok(());
    }
    let root = arguments.get("root_uuid").and_then(Value::as_str).unwrap_or(NO_DISK_ID);
    if root == NO_DISK_ID {
        tracing::info!("no boot loader is installed");
        return Ok(());
    }
    if !step.site.options.boot.install_for_bios {
        return Err(StepError::InvalidImage(
            "Install of legacy BIOS bootloaders disabled by CONF.enable_bios_bootloader_install as part of \
             CVE-2026-43003 mitigation."
                .to_string(),
        ));
    }
    if uefi {
        return Err(StepError::InvalidImage("The image brings no UEFI boot loader in /boot/efi/EFI".to_string()));
    }
    if arguments.get("prep_boot_part_uuid").is_some_and(|uuid| !uuid.is_null()) {
        return Err(StepError::Execution("Installing GRUB2 to a PReP partition is not supported by this agent".into()));
    }
    grub::install(step, &root_device::choose(step)?, root)
}

/// Writes the boot entries of the deployed disk. False when its EFI system partition holds no loader.
fn manage_uefi(step: &Step, arguments: &Arguments) -> Result<bool, StepError> {
    let disk = root_device::choose(step)?;
    let name = disk.name.as_str();
    let open = OpenDevice::open(&step.site.machine, &disk, Access::Read)
        .map_err(|error| StepError::BlockDevice(error.to_string()))?;
    let uuid = arguments.get("efi_system_part_uuid").and_then(Value::as_str);
    let partition = esp::find(&open, uuid).map_err(|error| failed(name, &error))?.ok_or_else(|| {
        StepError::DeviceNotFound(format!(
            "No EFI partition could be detected on device {name} and EFI partition UUID has not been recorded during \
             deployment (which is often the case for whole disk images). Are you using a UEFI-compatible image?"
        ))
    })?;
    let mut loaders = esp::loaders(&open, &partition).map_err(|error| failed(name, &error))?;
    let root = arguments.get("root_uuid").and_then(Value::as_str).filter(|uuid| *uuid != NO_DISK_ID);
    if let (true, Some(root), Some(system)) = (loaders.is_empty(), root, uuid)
        && assets::install(step, &disk, root, system)?
    {
        // What came through the partition is not what was read through the disk before.
        open.flush()?;
        loaders = esp::loaders(&open, &partition).map_err(|error| failed(name, &error))?;
    }
    if loaders.is_empty() {
        tracing::warn!(device = name, "the EFI system partition holds no boot loader");
        return Ok(false);
    }
    let variables = BootVariables::of(&step.site.machine).map_err(|error| not_configured(name, &error))?;
    for (index, loader) in loaders.iter().enumerate() {
        let label = loader.label.clone().unwrap_or_else(|| format!("ironic{}", index + 1));
        create_entry(&variables, &label, loader, &partition).map_err(|error| not_configured(name, &error))?;
    }
    Ok(true)
}

/// Creates the entry in place of all others of the same label.
fn create_entry(
    variables: &BootVariables,
    label: &str,
    loader: &Loader,
    partition: &esp::SystemPartition,
) -> Result<(), EfiError> {
    for old in variables.entries()?.into_iter().filter(|entry| entry.option.label == label) {
        variables.delete(old.number)?;
    }
    let option = LoadOption::new(label, DevicePath::file(partition.drive, &loader.path));
    let number = variables.create(&option)?;
    tracing::info!(entry = format!("Boot{number:04X}"), label, path = %option.path, "boot entry created");
    Ok(())
}

fn failed(device: &str, error: &EspError) -> StepError {
    StepError::BlockDevice(format!("{device}: {error}"))
}

fn not_configured(device: &str, error: &EfiError) -> StepError {
    StepError::Execution(format!("Could not configure UEFI boot on device {device}: {error}"))
}
