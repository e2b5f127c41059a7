//! `erase_devices_express`: NVMe devices erase themselves, all others lose their metadata.

use ferric_hardware::nvme;
use ferric_hardware::open_device::DeviceError;
use serde_json::Value;

use super::erase::{self, Own};
use super::member::holds_raid_member;
use super::raid::Spared;
use super::record::{Outcome, Requested};
use super::workers::{self, Job};
use super::{clear, erasable, guard, left_alone, metadata, result};
use crate::options::Erase;
use crate::site::Site;
use crate::step::Step;
use crate::{ErrorKind, StepError};

/// Erases every eligible disk the fast way. A device that cannot erase itself loses its metadata. Members of software
/// RAID are left to `delete_configuration`. The result has the record of every device.
///
/// # Errors
/// As `erase_devices_metadata`.
pub async fn erase_devices_express(step: &Step) -> Result<Value, StepError> {
    step.blocking(|step| {
        let options = step.site.options.erase.for_node(&step.node);
        let listing = erasable(step, Spared::KeptAndNeighbours)?;
        let disks = &listing.eligible;
        guard::check(&step.site.machine, disks, &options)?;
        step.progress.activity("erasing devices");
        let permitted = erase::permitted(step, disks);
        let (site, chosen) = (step.site.clone(), options.clone());
        let work = move |job: &Job| erase_disk(&site, job, &chosen, &|name| permitted.contains(name));
        let mut records = workers::run(step, erase::groups(disks), Requested::Express, &options, work);
        records.extend(left_alone(&listing, Requested::Express, true));
        result(ErrorKind::BlockDeviceErase, "Failed to conduct an express erase on the device(s)", records)
    })
    .await
}

fn erase_disk(site: &Site, job: &Job, options: &Erase, may_go: &dyn Fn(&str) -> bool) -> Result<Outcome, DeviceError> {
    if nvme::is_namespace(&job.disk.name) && !holds_raid_member(&site.machine, &job.disk)? {
        match erase::by_itself(site, job, options, may_go)? {
            // What it keeps of its metadata (a controller that only unlinks its blocks) goes too.
            Own::Erased => {
                clear::wipe(&site.machine, &job.disk)?;
                return Ok(Outcome::Erased);
            }
            Own::Missing => {}
            Own::Failed(error) => tracing::warn!(%error, "the device could not erase itself: only its metadata goes"),
        }
    }
    metadata::erase_disk(&site.machine, job)
}
