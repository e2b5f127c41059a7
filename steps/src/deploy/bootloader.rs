//! `install_bootloader`: makes the firmware boot what was deployed, by an entry for the loader on its EFI system
//! partition, and of a software RAID on each of its disks.

mod array;
mod assets;
mod esp;
mod grub;

use ferric_hardware::efi::{BootVariables, DevicePath, EfiError, HardDrive, LoadOption};
use ferric_hardware::open_device::{Access, OpenDevice};
use ferric_hardware::signature;
use serde_json::Value;

pub(super) use self::array::kernel_arguments as array_kernel_arguments;
use self::esp::{EspError, Loader, Place};
use super::root_device;
use crate::arguments::{Arguments, FromArguments, Parameter, value};
use crate::step::Step;
use crate::{ErrorKind, StepError, loose};

/// What a disk without an identifier of its own is called.
const NO_DISK_ID: &str = "0x00000000";

/// Arguments of `install_bootloader`. Without any, only boot entries are made.
#[derive(Debug, Default)]
pub struct InstallBootloader {
    /// The root file system, or the disk of an image without one.
    root_uuid: Option<String>,
    /// The EFI system partition that was made around a partition image.
    efi_system_uuid: Option<String>,
    /// Whether there is a PReP partition.
    prep: bool,
    /// What is said over the agent's option.
    ignore_failure: Option<bool>,
}

impl FromArguments for InstallBootloader {
    const PARAMETERS: &'static [Parameter] = &[
        Parameter::required("root_uuid", "The root file system, or the disk."),
        Parameter::optional("efi_system_part_uuid", "The EFI system partition."),
        Parameter::optional("prep_boot_part_uuid", "The PReP partition."),
        Parameter::optional("target_boot_mode", "Not looked at: the firmware in use decides."),
        Parameter::optional("ignore_bootloader_failure", "Whether to go on when this fails."),
    ];

    fn from_arguments(arguments: &Arguments, _: &Step) -> Result<Self, StepError> {
        let uuid = |name: &str| value(arguments, name).as_str().map(str::to_string);
        Ok(Self {
            root_uuid: uuid("root_uuid").filter(|uuid| uuid != NO_DISK_ID),
            efi_system_uuid: uuid("efi_system_part_uuid"),
            prep: !value(arguments, "prep_boot_part_uuid").is_null(),
            ignore_failure: loose::flag(value(arguments, "ignore_bootloader_failure")),
        })
    }
}

/// Makes the deployed disk bootable: by boot entries where the firmware is UEFI, else by the image's own GRUB when the
/// option `enable_bios_bootloader_install` permits that.
///
/// # Errors
/// [`ErrorKind::DeviceNotFound`] without an EFI system partition, [`ErrorKind::Execution`] when the firmware refuses the
/// entry or GRUB fails, [`ErrorKind::InvalidImage`] when the image would need GRUB and that is not permitted.
pub async fn install_bootloader(step: &Step, wanted: InstallBootloader) -> Result<Value, StepError> {
    step.blocking(move |step| {
        let ignored = wanted.ignore_failure.unwrap_or(step.site.options.boot.ignore_failure);
        match install(step, &wanted) {
            Err(error) if ignored => {
                tracing::warn!(error = error.chain(), "the boot loader was not set up, which is to be ignored");
                Ok(Value::Null)
            }
            result => result.map(|()| Value::Null),
        }
    })
    .await
}

fn install(step: &Step, wanted: &InstallBootloader) -> Result<(), StepError> {
    let uefi = step.site.machine.path("/sys/firmware/efi").is_dir();
    if uefi && manage_uefi(step, wanted)? {
        return Ok(());
    }
    let Some(root) = &wanted.root_uuid else {
        tracing::info!("no boot loader is installed");
        return Ok(());
    };
    if !step.site.options.boot.install_for_bios {
        return Err(ErrorKind::InvalidImage.error(
            "Install of legacy BIOS bootloaders disabled by CONF.enable_bios_bootloader_install as part of \
             CVE-2026-43003 mitigation."
                .to_string(),
        ));
    }
    if uefi {
        return Err(ErrorKind::InvalidImage.error("The image brings no UEFI boot loader in /boot/efi/EFI".to_string()));
    }
    if wanted.prep {
        return Err(ErrorKind::Execution.error("Installing GRUB2 to a PReP partition is not supported by this agent"));
    }
    grub::install(step, &root_device::look(step)?, root)
}

/// Writes the boot entries of the deployed disk. False when its EFI system partition holds no loader.
fn manage_uefi(step: &Step, wanted: &InstallBootloader) -> Result<bool, StepError> {
    let disk = root_device::look(step)?;
    let name = disk.name.as_str();
    let open = OpenDevice::open(&step.site.machine, &disk, Access::Read)?;
    let members = array::disks(step, &disk);
    let uuid = wanted.efi_system_uuid.as_deref();
    let partition = esp::find(&open, uuid).map_err(|error| failed(name, error))?.ok_or_else(|| {
        ErrorKind::DeviceNotFound.error(format!(
            "No EFI partition could be detected on device {name} and EFI partition UUID has not been recorded during \
             deployment (which is often the case for whole disk images). Are you using a UEFI-compatible image?"
        ))
    })?;
    let relocated = match members.is_empty() {
        true => None,
        false => array::existing(step, &members)?,
    };
    if let Some(esp) = relocated.as_ref().filter(|_| is_gone(&open, &partition)) {
        // It was moved there by an earlier call.
        let esp_open = OpenDevice::open(&step.site.machine, esp, Access::Read)?;
        let loaders = esp::loaders(&esp_open, Place::whole(&esp_open)).map_err(|error| failed(&esp.name, error))?;
        return create_entries(step, name, &loaders, &array::drives(step, esp, &members)?, true);
    }
    let mut loaders = esp::loaders(&open, partition.place).map_err(|error| failed(name, error))?;
    if let (true, Some(root), Some(system)) = (loaders.is_empty(), &wanted.root_uuid, uuid)
        && assets::install(step, &disk, root, system)?
    {
        // What came through the partition is not what was read through the disk before.
        open.flush()?;
        loaders = esp::loaders(&open, partition.place).map_err(|error| failed(name, error))?;
    }
    if loaders.is_empty() || members.is_empty() {
        return create_entries(step, name, &loaders, &[partition.drive], false);
    }
    drop(open);
    let esp = relocated.map_or_else(|| array::make(step, &members), Ok)?;
    array::relocate(step, &disk, &partition, &esp)?;
    create_entries(step, name, &loaders, &array::drives(step, &esp, &members)?, true)
}

/// Whether there is no file system at the place of the partition any more.
fn is_gone(disk: &OpenDevice, partition: &esp::SystemPartition) -> bool {
    matches!(signature::uuid(disk, partition.place.start, partition.place.size), Ok(None))
}

/// Writes an entry for every loader on every drive. False when there is no loader. Entries for the members of an array
/// have names of their own, so that none takes the place of another.
fn create_entries(
    step: &Step,
    device: &str,
    loaders: &[Loader],
    drives: &[HardDrive],
    of_array: bool,
) -> Result<bool, StepError> {
    if loaders.is_empty() {
        tracing::warn!(device, "the EFI system partition holds no boot loader");
        return Ok(false);
    }
    let variables = BootVariables::of(&step.site.machine).map_err(|error| not_configured(device, error))?;
    for (number, drive) in drives.iter().enumerate() {
        for (index, loader) in loaders.iter().enumerate() {
            let mut label = loader.label.clone().unwrap_or_else(|| format!("ironic{}", index + 1));
            if of_array {
                label.push_str(&format!(" (RAID, part{number})"));
            }
            create_entry(&variables, &label, loader, *drive).map_err(|error| not_configured(device, error))?;
        }
    }
    Ok(true)
}

/// Creates the entry in place of all others of the same label that lead to a disk. The label comes from the image: it must
/// not cost the firmware its own entries, for the network say.
fn create_entry(variables: &BootVariables, label: &str, loader: &Loader, drive: HardDrive) -> Result<(), EfiError> {
    for old in
        variables.entries()?.into_iter().filter(|entry| entry.option.label == label && entry.option.path.is_on_disk())
    {
        variables.delete(old.number)?;
    }
    let option = LoadOption::new(label, DevicePath::file(drive, &loader.path));
    let number = variables.create(&option)?;
    tracing::info!(entry = format!("Boot{number:04X}"), label, path = %option.path, "boot entry created");
    Ok(())
}

fn failed(device: &str, error: EspError) -> StepError {
    ErrorKind::BlockDevice.error(device).because(error)
}

fn not_configured(device: &str, error: EfiError) -> StepError {
    ErrorKind::Execution.error(format!("Could not configure UEFI boot on device {device}")).because(error)
}
