//! `erase_devices`: every eligible disk is made unreadable, by its own erase command where it has one.

use std::collections::BTreeMap;
use std::sync::Mutex;

use ferric_hardware::block::{EligibleDevice, Reason};
use ferric_hardware::open_device::{Access, DeviceError, OpenDevice};
use ferric_hardware::{ata, nvme, partitions};
use serde_json::{Map, Value};

use super::member::{holds_raid_member, may_go};
use super::raid::Spared;
use super::samples::Samples;
use super::{Outcome, discard, erasable, guard, not_erasable, overwrite};
use crate::StepError;
use crate::options::Erase;
use crate::step::Step;

/// Erases every eligible disk. The result has an entry of value null per device, skipped ones included.
///
/// # Errors
/// [`ProtectedDevice`](crate::ErrorKind::ProtectedDevice) before anything is touched;
/// [`BlockDeviceErase`](crate::ErrorKind::BlockDeviceErase) with every failed device.
pub async fn erase_devices(step: &Step) -> Result<Value, StepError> {
    step.blocking(erase_all).await
}

fn erase_all(step: &Step) -> Result<Value, StepError> {
    let options = step.site.options.erase.for_node(&step.node);
    let listing = erasable(step, Spared::Kept)?;
    let disks = &listing.eligible;
    guard::check(&step.site.machine, disks, &options)?;
    step.progress.activity("erasing devices");
    step.progress.total(disks.iter().map(|disk| disk.size_bytes).sum());
    let failures = Mutex::new(not_erasable(&listing));
    let add = |device: &str, error| failures.lock().unwrap_or_else(|e| e.into_inner()).add(device, error);
    let read_only: Vec<&str> =
        listing.rejected.iter().filter(|r| r.reason == Reason::ReadOnly).map(|r| r.device.name.as_str()).collect();
    if !options.skip_read_only {
        read_only.iter().for_each(|name| add(name, is_read_only(name)));
    }
    let may_go = |name: &str| may_go(&step.site.machine, disks, name);
    let queue = Mutex::new(groups(disks));
    std::thread::scope(|scope| {
        for _ in 0..options.concurrency {
            scope.spawn(|| {
                loop {
                    let Some(group) = queue.lock().unwrap_or_else(|e| e.into_inner()).pop() else { return };
                    for disk in group {
                        let span = tracing::info_span!("erase", device = %disk.name);
                        if let Err(error) = span.in_scope(|| erase_disk(step, disk, &options, &may_go)) {
                            add(&disk.name, error);
                        }
                    }
                }
            });
        }
    });
    failures.into_inner().unwrap_or_else(|e| e.into_inner()).into_result("Failed to erase the device(s)")?;
    let names = disks.iter().map(|disk| disk.name.as_str()).chain(read_only);
    Ok(Value::Object(names.map(|name| (name.to_string(), Value::Null)).collect::<Map<_, _>>()))
}

/// Erases one disk completely: by its own command; when that fails, by discard or by overwriting, as far as that is
/// permitted; by overwriting when it has none.
/// `may_go` says of the other namespaces of an NVMe controller whether they may be erased with it.
///
/// # Errors
/// When no permitted way succeeded, or the step was cancelled.
pub fn erase_disk(
    step: &Step,
    disk: &EligibleDevice,
    options: &Erase,
    may_go: &dyn Fn(&str) -> bool,
) -> Result<Outcome, DeviceError> {
    if step.cancel.is_cancelled() {
        return Err(DeviceError::Cancelled { device: disk.name.clone() });
    }
    if holds_raid_member(&step.site.machine, disk)? {
        tracing::info!("skipped: member of a software RAID");
        return Ok(Outcome::RaidMember);
    }
    match by_itself(step, disk, options, may_go) {
        Ok(true) => step.progress.add(disk.size_bytes),
        Ok(false) => overwrite::overwrite(&step.site.machine, disk, options, step)?,
        Err(error @ DeviceError::Cancelled { .. }) => return Err(error),
        // A discard is looked at in samples only: it stands in for a command that failed, not for overwriting.
        Err(error) => {
            tracing::warn!(%error, "the device could not erase itself");
            if !by_discard(step, disk, options)? {
                if !options.continue_if_secure_erase_failed {
                    return Err(error);
                }
                overwrite::overwrite(&step.site.machine, disk, options, step)?;
            }
        }
    }
    forget_partitions(step, disk)
}

/// Lets the disk erase itself. False when it has no command for that.
fn by_itself(
    step: &Step,
    disk: &EligibleDevice,
    options: &Erase,
    may_go: &dyn Fn(&str) -> bool,
) -> Result<bool, DeviceError> {
    let machine = &step.site.machine;
    let samples = || Samples::take(&OpenDevice::open(machine, disk, Access::Read)?);
    let before = if nvme::is_namespace(&disk.name) && options.nvme {
        let before = samples()?;
        let how = nvme::erase(machine, disk, may_go, step)?;
        tracing::info!(?how, "the device erased itself");
        before
    } else if ata::may_be_ata(&disk.name) && options.ata {
        let before = samples()?;
        match ata::erase(machine, disk) {
            Err(DeviceError::Unsupported { reason, .. }) => {
                tracing::info!(reason, "no ATA secure erase");
                return Ok(false);
            }
            result => result?,
        }
        tracing::info!("the device erased itself");
        before
    } else {
        return Ok(false);
    };
    let after = OpenDevice::open(machine, disk, Access::Read)?;
    after.flush()?;
    before.verify_gone(&after)?;
    Ok(true)
}

/// Discards the disk when that is permitted. False when it is not, or when the disk did not become zeros.
fn by_discard(step: &Step, disk: &EligibleDevice, options: &Erase) -> Result<bool, DeviceError> {
    if !options.discard {
        return Ok(false);
    }
    match discard::discard(&step.site.machine, disk, step) {
        Ok(()) => {
            tracing::info!("discarded");
            Ok(true)
        }
        Err(error @ DeviceError::Cancelled { .. }) => Err(error),
        Err(error) => {
            tracing::warn!(%error, "discarding did not erase the device");
            Ok(false)
        }
    }
}

/// The last act on every erased disk: its partitions are no more.
fn forget_partitions(step: &Step, disk: &EligibleDevice) -> Result<Outcome, DeviceError> {
    let open = OpenDevice::open(&step.site.machine, disk, Access::Write)?;
    partitions::forget(&step.site.machine, disk, &open)?;
    Ok(Outcome::Erased)
}

/// Disks that must be erased one after the other: the namespaces of one controller, which may format all at once.
fn groups(disks: &[EligibleDevice]) -> Vec<Vec<&EligibleDevice>> {
    let mut groups: BTreeMap<&str, Vec<&EligibleDevice>> = BTreeMap::new();
    for disk in disks {
        groups.entry(nvme::controller(&disk.name).unwrap_or(&disk.name)).or_default().push(disk);
    }
    groups.into_values().rev().collect()
}

fn is_read_only(device: &str) -> DeviceError {
    let reason = format!(
        "Failed to invoke erase of device {device} as the device is flagged read-only, and the conductor has not \
         signaled this is a permitted case."
    );
    DeviceError::Refused { device: device.to_string(), reason }
}
