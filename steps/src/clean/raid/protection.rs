//! What `skip_block_devices` protects by volume name, and which devices that leaves.

use ferric_hardware::block::{self, Listing};

use super::arrays::{self, Fate};
use crate::StepError;
use crate::step::Step;

/// What `skip_block_devices` spares when it names an array by its volume name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spared {
    /// The array.
    Kept,
    /// The array, and those that share disks with it.
    KeptAndNeighbours,
}

/// Takes the arrays that `skip_block_devices` protects by volume name out of a list of devices, and disks with members of
/// such arrays that nobody assembled.
///
/// # Errors
/// [`SoftwareRaid`](crate::ErrorKind::SoftwareRaid) when the name of an array cannot be learnt.
pub(crate) fn leave_protected(step: &Step, spared: Spared, listing: &mut Listing) -> Result<(), StepError> {
    let protected = arrays::protected_volumes(&step.node);
    if protected.is_empty() {
        return Ok(());
    }
    let all = arrays::list(step)?;
    let stays = |fate: Fate| fate == Fate::Keep || (fate == Fate::Wipe && spared == Spared::KeptAndNeighbours);
    let fates = arrays::fates(&all, &protected);
    let staying: Vec<&str> =
        all.iter().zip(fates).filter(|(_, fate)| stays(*fate)).map(|(array, _)| array.device.as_str()).collect();
    listing.rejected.retain(|rejection| !staying.contains(&rejection.device.name.as_str()));
    listing.eligible.retain(|device| {
        !staying.contains(&device.name.as_str()) && !arrays::holds_protected_member(step, device, &protected)
    });
    Ok(())
}

/// The devices but those that are protected.
pub(super) fn unprotected(step: &Step) -> Result<Listing, StepError> {
    let mut listing = block::list(&step.site.machine, &step.device_policy());
    leave_protected(step, Spared::Kept, &mut listing)?;
    Ok(listing)
}

/// How many devices arrays could be made of.
pub(super) fn device_count(step: &Step) -> Result<usize, StepError> {
    Ok(unprotected(step)?.disks().len())
}
