//! `burnin_disk`: every disk is written and read, and loses its content. What is spared is spared as by an erase.

use std::time::Duration;

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::open_device::DeviceError;
use ferric_hardware::tool::Tool;
use serde_json::Value;

use super::fio;
use super::smart::{self, Health};
use super::write_verify::{Extent, write_and_verify};
use crate::clean::member::holds_raid_member;
use crate::clean::method::Method;
use crate::clean::raid::Spared;
use crate::clean::record::{Outcome, Record, Recorder, Requested};
use crate::clean::workers::{self, Job};
use crate::clean::{erasable, guard, left_alone, result};
use crate::options::{BurnIn, DiskLoad, Erase};
use crate::site::Site;
use crate::step::Step;
use crate::{ErrorKind, StepError};

const IS_MEMBER: &str = "it, or a partition of it, belongs to a software RAID";

/// Wears every eligible disk in: by fio, or where that is missing by ourselves. Then the disks are asked for their health,
/// and test themselves when that is wanted. The result has the record of every disk, also of those left alone.
///
/// # Errors
/// [`ErrorKind::Execution`] names every disk that failed, with its bad blocks; [`ErrorKind::ProtectedDevice`] before
/// anything is touched; [`ErrorKind::Cleaning`] when a self-test fails, or the settings make no sense.
pub async fn burnin_disk(step: &Step) -> Result<Value, StepError> {
    step.blocking(|step| {
        let load = BurnIn::of(&step.node).disk;
        let options = step.site.options.erase.for_node(&step.node);
        let listing = erasable(step, Spared::KeptAndNeighbours)?;
        guard::check(&step.site.machine, &listing.eligible, &options).map_err(|error| match error.kind {
            ErrorKind::ProtectedDevice => error,
            // A disk that cannot be read fails the burn-in, not an erase.
            _ => ErrorKind::Execution.error("burning in the disks").because(error),
        })?;
        let is_member = |disk: &&EligibleDevice| {
            // One that cannot be read is worn in, and fails.
            holds_raid_member(&step.site.machine, disk).unwrap_or(false)
        };
        let (members, disks): (Vec<_>, Vec<_>) = listing.eligible.iter().partition(is_member);
        let left = |disk: &&EligibleDevice| Record::untouched(disk, Requested::BurnIn, Outcome::Left, IS_MEMBER.into());
        let mut records = match step.site.tools.find("fio") {
            _ if disks.is_empty() => Vec::new(),
            Ok(tool) => by_fio(step, &tool, &disks, &load)?,
            Err(missing) => {
                tracing::info!(%missing, "the disks are burnt in without it");
                by_ourselves(step, &disks, extent(&load)?, &options)
            }
        };
        records.extend(members.iter().map(left));
        records.extend(left_alone(&listing, Requested::BurnIn, true));
        let records = result(ErrorKind::Execution, "Failed to burn in the disk(s)", records)?;
        if load.smart_test {
            let names: Vec<&str> = disks.iter().map(|disk| disk.name.as_str()).collect();
            smart::self_tests(step, &names).map_err(|error| error.with_result(records.clone()))?;
        }
        Ok(records)
    })
    .await
}

fn by_fio(step: &Step, fio: &Tool, disks: &[&EligibleDevice], load: &DiskLoad) -> Result<Vec<Record>, StepError> {
    let recorders: Vec<Recorder> = disks.iter().map(|disk| Recorder::begin(disk, Requested::BurnIn)).collect();
    let names: Vec<&str> = disks.iter().map(|disk| disk.name.as_str()).collect();
    let mut bad_blocks = fio::run(step, fio, &names, load)?;
    let records = disks.iter().zip(recorders).map(|(disk, recorder)| {
        recorder.used(Method::Fio);
        let end = match bad_blocks.remove(&disk.name) {
            None => conclude(&step.site, disk, &recorder),
            Some(bad) => {
                let reason = bad.to_string();
                recorder.bad_blocks(bad);
                Err(DeviceError::Refused { device: disk.name.clone(), reason })
            }
        };
        recorder.end(end);
        recorder.record()
    });
    Ok(records.collect())
}

fn by_ourselves(step: &Step, disks: &[&EligibleDevice], extent: Extent, options: &Erase) -> Vec<Record> {
    step.progress.activity("burning in the disks");
    let all_at_once = Erase { concurrency: disks.len(), ..options.clone() };
    let site = step.site.clone();
    let work = move |job: &Job| {
        job.recorder.used(Method::WriteAndVerify);
        write_and_verify(&site.machine, job, extent)?;
        job.complete();
        conclude(&site, &job.disk, &job.recorder)
    };
    let groups = disks.iter().map(|disk| vec![(*disk).clone()]).collect();
    workers::run(step, groups, Requested::BurnIn, &all_at_once, work)
}

/// The last word has the disk.
fn conclude(site: &Site, disk: &EligibleDevice, recorder: &Recorder) -> Result<Outcome, DeviceError> {
    match smart::health(site, disk) {
        Health::Unknown => {}
        Health::Passed => recorder.health("passed"),
        Health::Failing(reason) => {
            recorder.health(&reason);
            return Err(DeviceError::Refused { device: disk.name.clone(), reason });
        }
    }
    Ok(Outcome::Passed)
}

/// How long the node wants it to go on: `fio_disk_runtime` where it is not 0, else `fio_disk_loops`.
fn extent(load: &DiskLoad) -> Result<Extent, StepError> {
    let invalid = |key: &str, value: &str| {
        ErrorKind::Cleaning.error(format!("agent_burnin_fio_disk_{key} must be a number, not {value:?}"))
    };
    let seconds = seconds(&load.runtime).ok_or_else(|| invalid("runtime", &load.runtime))?;
    let passes = load.loops.parse().map_err(|_| invalid("loops", &load.loops))?;
    Ok(if seconds > 0 { Extent::Time(Duration::from_secs(seconds)) } else { Extent::Passes(passes) })
}

/// A time as fio takes it: seconds, or with a unit (`s`, `m`, `h`, `d`).
fn seconds(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|last: char| last.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::Fake;

    #[tokio::test]
    async fn kept_arrays_are_not_burnt_in_and_disks_test_themselves_afterwards() {
        let machine = Fake::new();
        machine.arrays_on_shared_disks();
        machine.program("fio", "echo fio \"$@\" >> calls");
        machine.program("smartctl", "[ $1 = -H ] || echo smartctl \"$@\" >> calls");
        let node = json!({"driver_info": {"agent_burnin_fio_disk_smart_test": true},
                          "properties": {"skip_block_devices": [{"volume_name": "data"}]}});
        let result = burnin_disk(&machine.step_with(|options| options.erase.guard = false, node)).await.unwrap();
        assert_eq!(
            (&result["/dev/sdc"]["outcome"], &result["/dev/sdc"]["health"]),
            (&json!("passed"), &json!("passed"))
        );
        let calls = machine.read("calls");
        let (load, tests) = calls.split_once('\n').unwrap();
        assert!(load.starts_with("fio ") && load.ends_with("--name /dev/sdc --name /dev/md2"), "{load}");
        assert!(tests.starts_with("smartctl -t long /dev/sdc\nsmartctl -t long /dev/md2\n"), "{tests}");
    }

    #[tokio::test]
    async fn what_fio_or_the_disk_itself_reports_fails_the_disk_although_fio_succeeds() {
        let machine = Fake::new();
        machine.arrays_on_shared_disks();
        machine.program(
            "fio",
            "echo 'verify: bad magic header 0, wanted acca at file /dev/sdc offset 4096, length 4096 (x)' >&2",
        );
        machine.program("smartctl", "exit 8");
        let error =
            burnin_disk(&machine.step_with(|options| options.erase.guard = false, Value::Null)).await.unwrap_err();
        let text = error.chain();
        assert_eq!(error.kind, ErrorKind::Execution);
        assert!(text.contains("\"/dev/sdc\": bad blocks: 1 (byte 4096 holds something else"), "{text}");
        assert!(text.contains("\"/dev/md2\": its SMART status says that it is failing"), "{text}");
        assert_eq!(error.result().unwrap()["/dev/sdc"]["bad_blocks"], json!([4096]));
    }

    #[test]
    fn times_are_those_of_fio() {
        assert_eq!(["0", "90", "90s", "2m", "1h", "1d"].map(seconds), [0, 90, 90, 120, 3600, 86400].map(Some));
        assert_eq!(["", "x", "1w", "-1", "1.5"].map(seconds), [None; 5]);
    }
}
