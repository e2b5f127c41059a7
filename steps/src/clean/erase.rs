//! `erase_devices`: every eligible disk is made unreadable, by its own erase command where it has one.

use std::collections::{BTreeMap, HashSet};

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::open_device::{Access, DeviceError, OpenDevice};
use ferric_hardware::scsi::sanitize;
use ferric_hardware::{ata, nvme, partitions};
use serde_json::Value;

use super::member::{holds_raid_member, may_go};
use super::method::Method;
use super::raid::Spared;
use super::record::{Found, Outcome, Record, Requested};
use super::samples::{self, Places, Samples};
use super::workers::{self, Job};
use super::{discard, erasable, guard, left_alone, overwrite, result};
use crate::options::Erase;
use crate::site::Site;
use crate::step::Step;
use crate::{ErrorKind, StepError};

/// Erases every eligible disk. The result has the record of every device, of those too that were left alone.
///
/// # Errors
/// [`ErrorKind::ProtectedDevice`] before anything is touched;
/// [`ErrorKind::BlockDeviceErase`] with every failed device.
pub async fn erase_devices(step: &Step) -> Result<Value, StepError> {
    step.blocking(|step| {
        let options = step.site.options.erase.for_node(&step.node);
        let listing = erasable(step, Spared::Kept)?;
        guard::check(&step.site.machine, &listing.eligible, &options)?;
        step.progress.activity("erasing devices");
        let permitted = permitted(step, &listing.eligible);
        let (site, chosen) = (step.site.clone(), options.clone());
        let work = move |job: &Job| erase_disk(&site, job, &chosen, &|name| permitted.contains(name));
        let mut records = workers::run(step, groups(&listing.eligible), Requested::Full, &options, work);
        records.extend(left_alone(&listing, Requested::Full, options.skip_read_only));
        result(ErrorKind::BlockDeviceErase, "Failed to erase the device(s)", records)
    })
    .await
}

/// Erases disks that somebody has named, and no other namespace of their controllers with them.
pub fn erase_named(step: &Step, disks: &[EligibleDevice], options: &Erase) -> Vec<Record> {
    let (site, chosen) = (step.site.clone(), options.clone());
    let work = move |job: &Job| erase_disk(&site, job, &chosen, &|_| false);
    workers::run(step, groups(disks), Requested::Full, options, work)
}

/// The disks that may go with another one of their controller.
pub(super) fn permitted(step: &Step, disks: &[EligibleDevice]) -> HashSet<String> {
    let names = disks.iter().map(|disk| disk.name.clone());
    names.filter(|name| may_go(&step.site.machine, disks, name)).collect()
}

/// Erases one disk completely: by its own command; when that fails, by discard or by overwriting, as far as that is
/// permitted; by overwriting when it has none.
fn erase_disk(site: &Site, job: &Job, options: &Erase, may_go: &dyn Fn(&str) -> bool) -> Result<Outcome, DeviceError> {
    if holds_raid_member(&site.machine, &job.disk)? {
        return Ok(job.recorder.leave("it, or a partition of it, belongs to a software RAID"));
    }
    match by_itself(site, job, options, may_go)? {
        Own::Erased => {}
        Own::Missing => overwrite(site, job, options)?,
        // A discard is looked at in samples only: it stands in for a command that failed, not for overwriting.
        Own::Failed(error) => {
            tracing::warn!(%error, "the device could not erase itself");
            if !discard(site, job, options)? {
                if !options.continue_if_secure_erase_failed {
                    job.recorder.not_used(Method::Overwrite, "not permitted (agent_continue_if_secure_erase_failed)");
                    return Err(error);
                }
                overwrite(site, job, options)?;
            }
        }
    }
    if job.recorder.record().verified.is_none() {
        return Ok(job.recorder.leave("neither random passes nor zeros are asked for"));
    }
    // The last act on every erased disk: its partitions are no more.
    let open = OpenDevice::open(&site.machine, &job.disk, Access::Write)?;
    partitions::forget(&site.machine, &job.disk, &open)?;
    Ok(Outcome::Erased)
}

/// What came of the device's own commands.
pub(super) enum Own {
    Erased,
    /// It has none that may be used.
    Missing,
    Failed(DeviceError),
}

/// Lets the disk erase itself, by the first of its commands that works.
///
/// # Errors
/// [`DeviceError::Cancelled`].
pub(super) fn by_itself(
    site: &Site,
    job: &Job,
    options: &Erase,
    may_go: &dyn Fn(&str) -> bool,
) -> Result<Own, DeviceError> {
    let is_nvme = nvme::is_namespace(&job.disk.name);
    let (permitted, option) = match is_nvme {
        true => (options.nvme, "agent_enable_nvme_secure_erase"),
        false => (options.ata, "agent_enable_ata_secure_erase"),
    };
    let mut failed = None;
    let mut missing = None;
    for method in Method::own(&job.disk.name) {
        if !permitted {
            job.recorder.not_used(method, format!("not permitted ({option})"));
            continue;
        }
        match attempt(site, job, options, method, may_go) {
            Ok(used) => {
                job.recorder.used(used);
                job.recorder.erased(job.disk.size_bytes);
                job.complete();
                return Ok(Own::Erased);
            }
            Err(error @ DeviceError::Cancelled { .. }) => return Err(error),
            Err(error) => {
                let is_missing = matches!(error, DeviceError::Unsupported { .. });
                job.recorder.not_used(method, own_words(&job.disk, &error));
                let first = if is_missing { &mut missing } else { &mut failed };
                first.get_or_insert(error);
            }
        }
    }
    // An NVMe device without such a command is one that failed, as for IPA.
    let failed = failed.or(missing.filter(|_| is_nvme));
    Ok(failed.map_or(Own::Missing, Own::Failed))
}

/// Has the disk erase itself by this command, and looks whether it did. Returns what it did.
fn attempt(
    site: &Site,
    job: &Job,
    options: &Erase,
    method: Method,
    may_go: &dyn Fn(&str) -> bool,
) -> Result<Method, DeviceError> {
    let (machine, disk) = (&site.machine, &job.disk);
    job.activity(&method.to_string());
    let before = OpenDevice::open(machine, disk, Access::Read)?;
    let places = Places::of(before.size(), options.verify_percent);
    let samples = Samples::take(&before, &places, job)?;
    drop(before);
    let used = match method {
        Method::Nvme(action) => Method::Nvme(nvme::erase(machine, disk, action, may_go, job)?),
        Method::Ata(action) => ata::erase(machine, disk, action, job).map(|()| method)?,
        Method::Scsi(action) => sanitize::erase(machine, disk, action, job).map(|()| method)?,
        Method::Discard | Method::Overwrite | Method::Metadata | Method::Fio | Method::WriteAndVerify => method,
    };
    let after = OpenDevice::open(machine, disk, Access::Read)?;
    after.flush()?;
    job.recorder.verified(samples.verify_gone(&after, job)?);
    Ok(used)
}

/// Discards the disk when that is permitted. False when it is not, or when the disk did not become zeros.
fn discard(site: &Site, job: &Job, options: &Erase) -> Result<bool, DeviceError> {
    if !options.discard {
        job.recorder.not_used(Method::Discard, "not permitted (enable_discard_erase)");
        return Ok(false);
    }
    job.activity("discard");
    let done = discard::discard(&site.machine, job).and_then(|()| verify_zeros(site, job, options));
    match done {
        Ok(()) => {
            job.recorder.used(Method::Discard);
            job.recorder.erased(job.disk.size_bytes);
            Ok(true)
        }
        Err(error @ DeviceError::Cancelled { .. }) => Err(error),
        Err(error) => {
            job.recorder.not_used(Method::Discard, own_words(&job.disk, &error));
            Ok(false)
        }
    }
}

/// Overwrites the disk, and looks at it. Without any pass nothing is done, and nothing verified.
fn overwrite(site: &Site, job: &Job, options: &Erase) -> Result<(), DeviceError> {
    if options.iterations == 0 && !options.zeroize {
        return Ok(());
    }
    job.activity("overwrite");
    let open = |access| OpenDevice::open(&site.machine, &job.disk, access);
    let before = match options.zeroize {
        true => None,
        false => {
            let device = open(Access::Read)?;
            Some(Samples::take(&device, &Places::of(device.size(), options.verify_percent), job)?)
        }
    };
    job.recorder.used(Method::Overwrite);
    overwrite::overwrite(&site.machine, job, options)?;
    match before {
        None => verify_zeros(site, job, options),
        Some(samples) => {
            let verified = samples.verify_gone(&open(Access::Read)?, job)?;
            job.recorder.verified(verified);
            Ok(())
        }
    }
}

fn verify_zeros(site: &Site, job: &Job, options: &Erase) -> Result<(), DeviceError> {
    let device = OpenDevice::open(&site.machine, &job.disk, Access::Read)?;
    let places = Places::of(device.size(), options.verify_percent);
    let verified = samples::verify_zero(&device, &places, job)?;
    debug_assert_eq!(verified.found, Found::Zeros);
    job.recorder.verified(verified);
    Ok(())
}

/// The error without the name of the device.
pub(super) fn own_words(disk: &EligibleDevice, error: &DeviceError) -> String {
    let text = error.to_string();
    text.strip_prefix(&format!("{}: ", disk.name)).unwrap_or(&text).to_string()
}

/// Disks that must be erased one after the other: the namespaces of one controller, which may format all at once.
pub(super) fn groups(disks: &[EligibleDevice]) -> Vec<Vec<EligibleDevice>> {
    let mut groups: BTreeMap<&str, Vec<EligibleDevice>> = BTreeMap::new();
    for disk in disks {
        groups.entry(nvme::controller(&disk.name).unwrap_or(&disk.name)).or_default().push(disk.clone());
    }
    groups.into_values().collect()
}
