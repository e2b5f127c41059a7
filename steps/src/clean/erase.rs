//! `erase_devices`: every eligible disk is made unreadable, by its own erase command where it has one.

use std::collections::BTreeMap;
use std::sync::Mutex;

use ferric_hardware::block::{EligibleDevice, Reason};
use ferric_hardware::opened::{Access, DeviceError, OpenDevice};
use ferric_hardware::{ata, nvme, partitions, signature};
use serde_json::{Map, Value};

use super::samples::Samples;
use super::{Outcome, discard, erasable, guard, not_erasable, on_thread, overwrite};
use crate::StepError;
use crate::options::Erase;
use crate::step::{Arguments, Context};

/// Erases every eligible disk. The result has an entry of value null per device, skipped ones included.
///
/// # Errors
/// [`StepError::ProtectedDevice`] before anything is touched; [`StepError::BlockDeviceErase`] with every failed device.
pub async fn erase_devices(context: &Context, _arguments: &Arguments) -> Result<Value, StepError> {
    on_thread(context, erase_all).await
}

fn erase_all(context: &Context) -> Result<Value, StepError> {
    let options = context.options.erase.for_node(&context.node);
    let listing = erasable(context)?;
    let disks = &listing.eligible;
    guard::check(&context.machine, disks, &options)?;
    context.progress.activity("erasing devices");
    context.progress.total(disks.iter().map(|disk| disk.size_bytes).sum());
    let failures = Mutex::new(not_erasable(&listing));
    let add = |device: &str, error| failures.lock().unwrap_or_else(|e| e.into_inner()).add(device, error);
    let read_only: Vec<&str> =
        listing.rejected.iter().filter(|r| r.reason == Reason::ReadOnly).map(|r| r.device.name.as_str()).collect();
    if !options.skip_read_only {
        read_only.iter().for_each(|name| add(name, is_read_only(name)));
    }
    let may_go = |name: &str| disks.iter().any(|disk| disk.name == name);
    let queue = Mutex::new(groups(disks));
    std::thread::scope(|scope| {
        for _ in 0..options.concurrency {
            scope.spawn(|| {
                loop {
                    let Some(group) = queue.lock().unwrap_or_else(|e| e.into_inner()).pop() else { return };
                    for disk in group {
                        let span = tracing::info_span!("erase", device = %disk.name);
                        if let Err(error) = span.in_scope(|| erase_disk(context, disk, &options, &may_go)) {
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

/// Erases one disk completely: by its own command, else by discard when that is permitted, else by overwriting.
/// `may_go` says of the other namespaces of an NVMe controller whether they may be erased with it.
///
/// # Errors
/// When no permitted way succeeded, or the step was cancelled.
pub fn erase_disk(
    context: &Context,
    disk: &EligibleDevice,
    options: &Erase,
    may_go: &dyn Fn(&str) -> bool,
) -> Result<Outcome, DeviceError> {
    if context.cancel.is_cancelled() {
        return Err(DeviceError::Cancelled { device: disk.name.clone() });
    }
    for device in std::iter::once(disk).chain(disk.partitions()) {
        if signature::is_raid_member(&OpenDevice::open(&context.machine, device, Access::Read)?)? {
            tracing::info!(member = %device.name, "skipped: member of a software RAID");
            return Ok(Outcome::RaidMember);
        }
    }
    match by_itself(context, disk, options, may_go) {
        Ok(true) => {
            context.progress.add(disk.size_bytes);
            return forget_partitions(context, disk);
        }
        Ok(false) => {}
        Err(error @ DeviceError::Cancelled { .. }) => return Err(error),
        Err(error) if !options.continue_if_secure_erase_failed && !options.discard => return Err(error),
        Err(error) => {
            tracing::warn!(%error, "the device could not erase itself");
            if by_discard(context, disk, options)? {
                return forget_partitions(context, disk);
            }
            if !options.continue_if_secure_erase_failed {
                return Err(error);
            }
        }
    }
    if !by_discard(context, disk, options)? {
        overwrite::overwrite(&context.machine, disk, options, context)?;
        tracing::info!("overwritten");
    }
    forget_partitions(context, disk)
}

/// Lets the disk erase itself. False when it has no command for that.
fn by_itself(
    context: &Context,
    disk: &EligibleDevice,
    options: &Erase,
    may_go: &dyn Fn(&str) -> bool,
) -> Result<bool, DeviceError> {
    let machine = &context.machine;
    let samples = || Samples::take(&OpenDevice::open(machine, disk, Access::Read)?);
    let before = if nvme::is_namespace(&disk.name) && options.nvme {
        let before = samples()?;
        let how = nvme::erase(machine, disk, may_go, context)?;
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
fn by_discard(context: &Context, disk: &EligibleDevice, options: &Erase) -> Result<bool, DeviceError> {
    if !options.discard {
        return Ok(false);
    }
    match discard::discard(&context.machine, disk, context) {
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
fn forget_partitions(context: &Context, disk: &EligibleDevice) -> Result<Outcome, DeviceError> {
    let open = OpenDevice::open(&context.machine, disk, Access::Write)?;
    partitions::forget(&context.machine, disk, &open)?;
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
