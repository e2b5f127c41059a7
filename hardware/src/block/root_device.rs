//! Which device becomes the root device.

use serde_json::Value;

use super::device::BlockDevice;
use super::eligible::EligibleDevice;
use super::hints::Hints;
use super::listing::Listing;
use crate::units::Bytes;

/// Without hints no disk smaller than this is taken.
pub const MINIMUM: Bytes = Bytes::gib(4);

/// No device was chosen; says why, device by device.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{summary}{}", .reasons.iter().map(|(device, reason)| format!("\n  {device}: {reason}")).collect::<String>())]
pub struct NoDevice {
    /// What was asked for, in a sentence.
    pub summary: String,
    /// Every device with the reason why it was not taken.
    pub reasons: Vec<(String, String)>,
}

/// Chooses the root device among the eligible devices of `listing`.
///
/// With hints: the first device that fits. Without: the smallest of at least 4 GiB (by name among equals). When the
/// policy names the allowed devices, that minimum does not apply: the operator has chosen already.
///
/// # Errors
/// When no device fits or a hint cannot be compared; with a reason for every device.
pub fn choose<'a>(listing: &'a Listing, hints: Option<&Hints>) -> Result<&'a EligibleDevice, NoDevice> {
    let devices: Vec<&BlockDevice> = listing.eligible.iter().map(|e| &**e).collect();
    let minimum = if listing.allowlisted { Bytes(0) } else { MINIMUM };
    pick(&devices, hints, minimum).map(|at| &listing.eligible[at]).map_err(|mut refused| {
        let rejected = listing.rejected.iter().map(|r| (r.device.name.clone(), r.reason.to_string()));
        refused.reasons.extend(rejected);
        refused
    })
}

/// Chooses among `devices`, all taken for eligible, by the rules of [`choose`].
///
/// # Errors
/// As [`choose`].
pub fn choose_among<'a>(devices: &'a [BlockDevice], hints: Option<&Hints>) -> Result<&'a BlockDevice, NoDevice> {
    pick(&devices.iter().collect::<Vec<_>>(), hints, MINIMUM).map(|at| &devices[at])
}

fn pick(devices: &[&BlockDevice], hints: Option<&Hints>, minimum: Bytes) -> Result<usize, NoDevice> {
    match hints {
        Some(hints) => pick_by_hints(devices, hints),
        None => pick_smallest(devices, minimum),
    }
}

fn pick_by_hints(devices: &[&BlockDevice], hints: &Hints) -> Result<usize, NoDevice> {
    let wanted = Value::Object(hints.normalized());
    let mut reasons = Vec::new();
    for (at, device) in devices.iter().enumerate() {
        match hints.mismatch(device) {
            Ok(None) => return Ok(at),
            Ok(Some(reason)) => reasons.push((device.name.clone(), reason)),
            Err(error) => {
                let summary = format!("the root device hints {wanted} cannot be used: {error}");
                return Err(NoDevice { summary, reasons: Vec::new() });
            }
        }
    }
    Err(NoDevice { summary: format!("no suitable device was found for these root device hints: {wanted}"), reasons })
}

fn pick_smallest(devices: &[&BlockDevice], minimum: Bytes) -> Result<usize, NoDevice> {
    let large_enough = devices.iter().enumerate().filter(|(_, d)| d.size_bytes >= minimum.0);
    let smallest = large_enough.min_by_key(|(_, d)| (d.size_bytes, d.name.as_str()));
    smallest.map(|(at, _)| at).ok_or_else(|| NoDevice {
        summary: format!(
            "no suitable device was found: there are no root device hints, and no device has at least {} bytes",
            minimum.0
        ),
        reasons: devices.iter().map(|d| (d.name.clone(), format!("{} bytes are too few", d.size_bytes))).collect(),
    })
}
