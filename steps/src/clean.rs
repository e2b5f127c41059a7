//! Cleaning: what removes a former user's traces from a machine, and what wears it in.
//!
//! - [`metadata`]: step `erase_devices_metadata`; `clear`: what it does to one disk
//! - [`erase`]: step `erase_devices`, the full erase
//! - [`express`]: step `erase_devices_express`
//! - [`raid`]: software RAID
//! - [`burnin`]: load tests
//! - [`pstore`], [`uefi_nvram`]: what the firmware remembers
//! - [`guard`]: which devices never; `member`: which belong to a software RAID
//! - [`record`]: what is kept of an erase or a burn-in, device by device; [`method`]: by which ways; [`bad_blocks`]

pub mod bad_blocks;
pub mod burnin;
mod clear;
mod discard;
pub mod erase;
pub mod express;
pub mod guard;
mod member;
pub mod metadata;
pub mod method;
mod overwrite;
pub mod pstore;
pub mod raid;
pub mod record;
mod samples;
pub mod uefi_nvram;
mod workers;

use ferric_hardware::block::{Listing, Reason};
use serde_json::{Map, Value};

use self::record::{Outcome, Record, Requested};
use crate::step::Step;
use crate::{ErrorKind, StepError, leftover};

/// The devices that may be erased, and those that may not. Volumes that a former system left active are taken down.
pub(crate) fn erasable(step: &Step, spared: raid::Spared) -> Result<Listing, StepError> {
    let mut listing = leftover::list_without(step);
    raid::leave_protected(step, spared, &mut listing)?;
    Ok(listing)
}

/// The records of the disks that were not touched. Those that keep a former user's data although nobody asked for that
/// have failed: a cleaning that passes over them must not be taken for done.
fn left_alone(listing: &Listing, requested: Requested, skip_read_only: bool) -> Vec<Record> {
    let shown = listing.rejected.iter().filter(|rejection| rejection.reason.is_listed());
    shown
        .map(|rejection| {
            let (device, reason) = (&rejection.device, &rejection.reason);
            let (outcome, words) = if keeps_data(reason) {
                let done = if requested == Requested::BurnIn { "burnt in" } else { "erased" };
                let words = format!("it cannot be {done}: {reason}. Free it, or name it in skip_block_devices");
                (Outcome::Failed, words)
            } else if *reason == Reason::ReadOnly && !skip_read_only {
                (Outcome::Failed, is_read_only(&device.name))
            } else {
                (Outcome::Left, reason.to_string())
            };
            Record::untouched(device, requested, outcome, words)
        })
        .collect()
}

fn is_read_only(device: &str) -> String {
    format!(
        "Failed to invoke erase of device {device} as the device is flagged read-only, and the conductor has not \
         signaled this is a permitted case."
    )
}

/// The records by device; when a device failed, in an error that names every such device. A cancelled device makes it a
/// cancelled step.
fn result(kind: ErrorKind, what: &str, records: Vec<Record>) -> Result<Value, StepError> {
    let is_bad = |record: &&Record| matches!(record.outcome, Outcome::Failed | Outcome::Cancelled);
    let bad: Vec<&Record> = records.iter().filter(is_bad).collect();
    let by_device: Map<String, Value> =
        records.iter().map(|record| (record.device.clone(), serde_json::json!(record))).collect();
    if bad.is_empty() {
        return Ok(Value::Object(by_device));
    }
    let list: Vec<String> = bad
        .iter()
        .map(|record| format!("\"{}\": {}", record.device, record.reason.as_deref().unwrap_or("unknown")))
        .collect();
    let text = format!("{what}: {}", list.join("; "));
    let cancelled = bad.iter().any(|record| record.outcome == Outcome::Cancelled);
    let error = if cancelled { StepError::cancelled(text) } else { kind.error(text) };
    Err(error.with_result(Value::Object(by_device)))
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
        let step = machine.step_with(|_| {}, json!({"properties": {"skip_block_devices": data}}));
        let listing = erasable(&step, Spared::KeptAndNeighbours).unwrap();
        let records = left_alone(&listing, Requested::Express, true);
        let reason = |device: &str| {
            let record = records.iter().find(|record| record.device == device).unwrap();
            assert_eq!(record.outcome, Outcome::Left);
            record.reason.clone().unwrap()
        };
        assert_eq!(reason("/dev/md0"), "skip_block_devices names it: {\"volume_name\":\"data\"}");
        assert_eq!(reason("/dev/md1"), "it shares disks with an array that skip_block_devices names by its volume");
        assert_eq!(reason("/dev/sda"), "in use by /dev/md0, /dev/md1");
        assert_eq!(left(data, Spared::KeptAndNeighbours), ["/dev/sdc", "/dev/md2"]);
    }
}
