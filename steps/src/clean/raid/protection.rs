//! What `skip_block_devices` protects by volume name, and which devices that leaves.

use std::collections::HashMap;

use ferric_hardware::block::{self, Listing, Reason, Rejection};
use serde_json::json;

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

/// Rejects the arrays that `skip_block_devices` protects by volume name, and disks with members of such arrays that nobody
/// assembled, each with its reason.
///
/// # Errors
/// [`SoftwareRaid`](crate::ErrorKind::SoftwareRaid) when the name of an array cannot be learnt.
pub(crate) fn leave_protected(step: &Step, spared: Spared, listing: &mut Listing) -> Result<(), StepError> {
    let reasons = protected(step, spared, listing)?;
    for rejection in &mut listing.rejected {
        if let Some(reason) = reasons.get(&rejection.device.name) {
            rejection.reason = reason.clone();
        }
    }
    for device in listing.eligible.extract_if(.., |device| reasons.contains_key(&device.name)) {
        let reason = reasons[&device.name].clone();
        listing.rejected.push(Rejection { device: (*device).clone(), reason });
    }
    Ok(())
}

/// Why devices are protected, by their names.
fn protected(step: &Step, spared: Spared, listing: &Listing) -> Result<HashMap<String, Reason>, StepError> {
    let mut reasons = HashMap::new();
    let volumes = arrays::protected_volumes(&step.node);
    if volumes.is_empty() {
        return Ok(reasons);
    }
    let all = arrays::list(step)?;
    for (array, fate) in all.iter().zip(arrays::fates(&all, &volumes)) {
        let reason = match (&array.volume, fate) {
            (Some(volume), Fate::Keep) if volumes.contains(volume) => {
                Reason::Skipped(json!({ "volume_name": volume }).to_string())
            }
            (_, Fate::Keep) => Reason::SharesDisks,
            (_, Fate::Wipe) if spared == Spared::KeptAndNeighbours => Reason::SharesDisks,
            _ => continue,
        };
        reasons.insert(array.device.clone(), reason);
    }
    for device in &listing.eligible {
        if !reasons.contains_key(&device.name) && arrays::holds_protected_member(step, device, &volumes) {
            reasons.insert(device.name.clone(), Reason::ProtectedMember);
        }
    }
    Ok(reasons)
}

/// The devices but those that are protected.
pub(super) fn unprotected(step: &Step) -> Result<Listing, StepError> {
    let mut listing = block::list(&step.site.machine, &step.device_policy());
    leave_protected(step, Spared::Kept, &mut listing)?;
    Ok(listing)
}

/// How many devices arrays could be made of.
pub(super) fn device_count(step: &Step) -> Result<usize, StepError> {
    let listing = block::list(&step.site.machine, &step.device_policy());
    let protected = protected(step, Spared::Kept, &listing)?;
    Ok(listing.disks().iter().filter(|disk| !protected.contains_key(&disk.name)).count())
}
