//! Cleaning: what removes a former user's traces from a machine, and what wears it in.
//!
//! - [`metadata`]: step `erase_devices_metadata`
//! - [`erase`]: step `erase_devices`, the full erase
//! - [`express`]: step `erase_devices_express`
//! - [`raid`]: software RAID
//! - [`burnin`]: load tests
//! - [`pstore`], [`uefi_nvram`]: what the firmware remembers
//! - [`guard`]: which devices never; `member`: which belong to a software RAID

pub mod burnin;
mod discard;
pub mod erase;
pub mod express;
pub mod guard;
mod member;
pub mod metadata;
mod overwrite;
pub mod pstore;
pub mod raid;
mod samples;
pub mod uefi_nvram;

use ferric_hardware::block::{Listing, Reason};
use ferric_hardware::open_device::DeviceError;
use ferric_hardware::watch::Watch;

use crate::step::Step;
use crate::{ErrorKind, StepError, leftover};

impl Watch for Step {
    fn advance(&self, bytes: u64) {
        self.progress.add(bytes);
    }

    fn cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }
}

/// What became of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is erased.
    Erased,
    /// It was left alone: it, or a partition of it, belongs to a software RAID.
    RaidMember,
}

/// The devices that may be erased, and those that may not. Volumes that a former system left active are taken down.
pub(crate) fn erasable(step: &Step, spared: raid::Spared) -> Result<Listing, StepError> {
    let mut listing = leftover::list_without(step);
    raid::leave_protected(step, spared, &mut listing)?;
    Ok(listing)
}

/// The disks that keep a former user's data although nobody asked for that, as failures: a cleaning that passes over
/// them must not be taken for done.
pub(crate) fn not_erasable(listing: &Listing) -> Failures {
    let mut failures = Failures::default();
    for rejection in listing.rejected.iter().filter(|rejection| keeps_data(&rejection.reason)) {
        let device = &rejection.device.name;
        let reason = format!("it cannot be erased: {}. Free it, or name it in skip_block_devices", rejection.reason);
        failures.add(device, DeviceError::Refused { device: device.clone(), reason });
    }
    failures
}

/// Whether a disk that is rejected for this reason should have been erased. What is read-only is up to `erase_devices`;
/// members of an array are up to the RAID steps.
fn keeps_data(reason: &Reason) -> bool {
    match reason {
        Reason::Mounted { .. }
        | Reason::Member { .. }
        | Reason::Swap(_)
        | Reason::Bcache(_)
        | Reason::OpenExclusively
        | Reason::BadSkipList(_)
        | Reason::UsageUnknown => true,
        Reason::Held(holders) => holders.iter().any(|holder| !holder.starts_with("/dev/md")),
        _ => false,
    }
}

/// What failed on which device, gathered while the work goes on with the others.
#[derive(Debug, Default)]
pub(crate) struct Failures(Vec<(String, DeviceError)>);

impl Failures {
    /// Remembers a failure on `device`.
    pub(crate) fn add(&mut self, device: &str, error: DeviceError) {
        tracing::error!(device, %error, "erasing failed");
        self.0.push((device.to_string(), error));
    }

    /// Success when nothing failed; else one error which names every device. A cancelled device makes it a cancelled step.
    pub(crate) fn into_result(self, what: &str) -> Result<(), StepError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let cancelled = self.0.iter().any(|(_, error)| matches!(error, DeviceError::Cancelled { .. }));
        let list: Vec<String> = self
            .0
            .iter()
            .map(|(device, error)| {
                let text = error.to_string();
                format!("\"{device}\": {}", text.strip_prefix(&format!("{device}: ")).unwrap_or(&text))
            })
            .collect();
        let text = format!("{what}: {}", list.join("; "));
        Err(if cancelled { StepError::cancelled(text) } else { ErrorKind::BlockDeviceErase.error(text) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::raid::Spared;
    use super::*;
    use crate::testing::Fake;

    #[tokio::test]
    async fn without_a_mount_table_no_disk_is_erased_and_the_step_fails() {
        let machine = Fake::new();
        machine.file("sys/class/block/sda/dev", "8:0");
        machine.file("sys/class/block/sda/size", "131072");
        machine.file("dev/sda", "former user's data");
        let step = machine.step_with(|_| {}, json!({}));
        let failed = metadata::erase_devices_metadata(&step).await.unwrap_err().to_string();
        assert!(failed.contains("/dev/sda") && failed.contains("no mount table"), "{failed}");
        assert_eq!(machine.read("dev/sda"), "former user's data");
    }
    #[test]
    fn what_is_kept_by_volume_name_is_left_alone_and_so_are_its_neighbours_by_a_fast_erase() {
        let machine = Fake::new();
        machine.arrays_on_shared_disks();
        let left = |skip: Value, spared: Spared| {
            let step = machine.step_with(|_| {}, json!({"properties": {"skip_block_devices": skip}}));
            let listing = erasable(&step, spared).unwrap();
            listing.eligible.iter().map(|device| device.name.clone()).collect::<Vec<_>>()
        };
        let data = json!([{"volume_name": "data"}]);
        assert_eq!(left(json!([]), Spared::KeptAndNeighbours), ["/dev/sdc", "/dev/md0", "/dev/md1", "/dev/md2"]);
        assert_eq!(left(data.clone(), Spared::Kept), ["/dev/sdc", "/dev/md1", "/dev/md2"]);
        assert_eq!(left(data, Spared::KeptAndNeighbours), ["/dev/sdc", "/dev/md2"]);
    }
}
