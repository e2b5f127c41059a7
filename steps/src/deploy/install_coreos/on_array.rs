//! CoreOS on a software RAID: its initial file system assembles only arrays that it is told of.

use ferric_hardware::block::EligibleDevice;

use crate::deploy::bootloader;
use crate::step::Step;
use crate::{ErrorKind, StepError};

/// Kernel arguments that the installed system needs to find `device`; none when it is no array.
///
/// # Errors
/// [`ErrorKind::Deployment`] where it could not boot: nothing in CoreOS' image puts GRUB on the disks below an array.
pub(super) fn kernel_arguments(step: &Step, device: &EligibleDevice) -> Result<Vec<String>, StepError> {
    let arguments = bootloader::array_kernel_arguments(step, device)?;
    if arguments.is_empty() || step.site.machine.exists("/sys/firmware/efi") {
        return Ok(arguments);
    }
    let name = &device.name;
    Err(ErrorKind::Deployment
        .error(format!("CoreOS cannot boot from {name} by BIOS, only by UEFI: it is a software RAID")))
}
