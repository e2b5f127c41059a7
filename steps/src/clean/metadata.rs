//! `erase_devices_metadata`: partition tables and signatures go, content stays.

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::machine::Machine;
use ferric_hardware::open_device::DeviceError;
use ferric_hardware::units::Bytes;
use serde_json::Value;

use super::clear::{self, Cleared, ends};
use super::method::Method;
use super::raid::Spared;
use super::record::{Found, Outcome, Record, Requested, Verified};
use super::workers::{self, Job};
use super::{erasable, guard, left_alone, result};
use crate::options::Erase;
use crate::step::Step;
use crate::{ErrorKind, StepError};

/// Erases the metadata of every eligible disk, partitions before their disk. Members of software RAID are left to
/// `delete_configuration`. Goes on with the other disks when one fails. The result has the record of every device.
///
/// # Errors
/// [`ErrorKind::ProtectedDevice`] before anything is touched;
/// [`ErrorKind::BlockDeviceErase`] with every failed device.
pub async fn erase_devices_metadata(step: &Step) -> Result<Value, StepError> {
    step.blocking(|step| {
        let options = step.site.options.erase.for_node(&step.node);
        let listing = erasable(step, Spared::KeptAndNeighbours)?;
        guard::check(&step.site.machine, &listing.eligible, &options)?;
        step.progress.activity("erasing metadata");
        let groups = listing.eligible.iter().map(|disk| vec![disk.clone()]).collect();
        let machine = step.site.machine.clone();
        let work = move |job: &Job| erase_disk(&machine, job);
        let mut records = workers::run(step, groups, Requested::Metadata, &options, work);
        records.extend(left_alone(&listing, Requested::Metadata, true));
        result(ErrorKind::BlockDeviceErase, "Failed to erase the metadata on the device(s)", records)
    })
    .await
}

/// Erases the metadata of disks that somebody has named.
pub fn erase_named(step: &Step, disks: &[EligibleDevice], options: &Erase) -> Vec<Record> {
    let groups = disks.iter().map(|disk| vec![disk.clone()]).collect();
    let machine = step.site.machine.clone();
    let work = move |job: &Job| erase_disk(&machine, job);
    workers::run(step, groups, Requested::Metadata, options, work)
}

/// Erases the metadata of a job's disk.
pub(super) fn erase_disk(machine: &Machine, job: &Job) -> Result<Outcome, DeviceError> {
    job.activity("metadata");
    let Cleared { bytes, left } = clear::clear(machine, &job.disk)?;
    if bytes > 0 {
        job.recorder.used(Method::Metadata);
        job.recorder.erased(bytes);
    }
    if let Some(reason) = left {
        return Ok(job.recorder.leave(reason));
    }
    job.recorder.verified(Verified { samples: 2, bytes: ends(Bytes(job.disk.size_bytes)), found: Found::Zeros });
    job.complete();
    Ok(Outcome::Erased)
}
