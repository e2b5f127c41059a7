//! Calls of mdadm.

use std::time::Duration;

use ferric_hardware::tool::ToolError;

use crate::step::Step;
use crate::{ErrorKind, StepError};

/// No call takes that long unless something hangs.
const LIMIT: Duration = Duration::from_secs(300);
/// Exists while udev runs.
const UDEV: &str = "/run/udev/control";
/// As many arrays has no machine.
const MOST_ARRAYS: usize = 128;
/// How often a member that is missing is added.
const ATTEMPTS: usize = 3;
/// Pause between those attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// An array to be made.
#[derive(Debug)]
pub(crate) struct NewArray<'a> {
    /// As mdadm names it: `1`, `10`.
    pub(crate) level: &'a str,
    /// The place of its superblocks: `1` is that of the newest kind, `1.0` the end of its members.
    pub(crate) metadata: &'a str,
    /// Its name; that of its device without one.
    pub(crate) volume: Option<&'a str>,
    /// Devices that it is made of.
    pub(crate) members: &'a [String],
}

/// Runs it and returns what it printed.
///
/// # Errors
/// [`ErrorKind::SoftwareRaid`] with what it said.
pub(crate) fn run(step: &Step, arguments: &[&str]) -> Result<String, StepError> {
    let failed = |error: ToolError| ErrorKind::SoftwareRaid.of(error);
    let tool = step.site.tools.find("mdadm").map_err(failed)?;
    let cancelled = || step.cancel.is_cancelled();
    let mut run = tool.run(arguments.iter().copied()).timeout(LIMIT).cancelled(&cancelled);
    if !step.site.machine.exists(UDEV) {
        // It waits for udev to make the device otherwise.
        run = run.env("MDADM_NO_UDEV", "1");
    }
    Ok(run.output().map_err(failed)?.text())
}

/// Makes an array under the first free device name, which is returned. A member that mdadm left out is added.
///
/// # Errors
/// [`ErrorKind::SoftwareRaid`] when it cannot be made, or a member stays away.
pub(crate) fn create(step: &Step, array: &NewArray<'_>) -> Result<String, StepError> {
    // One that was stopped may be there still, without anything in it.
    let free = |name: &String| {
        let state = step.site.machine.read(format!("/sys/class/block/{name}/md/array_state"));
        matches!(state.as_deref(), None | Some("clear"))
    };
    let Some(name) = (0..MOST_ARRAYS).map(|number| format!("md{number}")).find(free) else {
        return Err(ErrorKind::SoftwareRaid.error("No free md (RAID) devices are left"));
    };
    let device = format!("/dev/{name}");
    step.progress.activity(format!("creating {device}"));
    let count = array.members.len().to_string();
    let metadata = format!("--metadata={}", array.metadata);
    let volume = array.volume.unwrap_or(&name);
    let mut arguments = vec!["--create", &device, "--force", "--run", &metadata, "--level", array.level];
    arguments.extend(["--name", volume, "--raid-devices", &count]);
    arguments.extend(array.members.iter().map(String::as_str));
    run(step, &arguments).map_err(|error| {
        let what = format!("Failed to create md device {device} on {}", array.members.join(" "));
        ErrorKind::SoftwareRaid.error(what).because(error)
    })?;
    for member in array.members {
        if !is_in(step, &name, member) {
            add(step, &device, member)?;
        }
    }
    tracing::info!(device, level = array.level, volume, members = ?array.members, "array created");
    Ok(device)
}

/// Whether a device is a working member of an array.
fn is_in(step: &Step, array: &str, member: &str) -> bool {
    let member = member.trim_start_matches("/dev/");
    let state = step.site.machine.read(format!("/sys/block/{array}/md/dev-{member}/state"));
    state.is_some_and(|state| !state.contains("faulty"))
}

fn add(step: &Step, array: &str, member: &str) -> Result<(), StepError> {
    tracing::warn!(array, member, "a member is missing: it is added");
    let mut attempt = 1;
    loop {
        match run(step, &["--add", array, member]) {
            Err(error) if attempt == ATTEMPTS => {
                return Err(ErrorKind::SoftwareRaid.error(format!("Failed re-add {member} to {array}")).because(error));
            }
            Err(error) => tracing::warn!(attempt, error = error.chain(), "it is not added"),
            Ok(_) => return Ok(()),
        }
        attempt += 1;
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    const MEMBERS: [&str; 2] = ["/dev/sda1", "/dev/sdb1"];

    /// What mdadm was asked for on a machine where `present` are members of every array.
    fn calls(present: &[&str], failures: usize) -> (Result<String, StepError>, Vec<String>) {
        let machine = Fake::new();
        machine.file("sys/class/block/md0/md/array_state", "clean");
        for member in present {
            machine.file(&format!("sys/block/md1/md/dev-{member}/state"), "in_sync");
        }
        let script = format!(
            "echo \"$*\" >> log\nif [ $1 = --add ] && [ $(grep -c -- --add log) -le {failures} ]; then exit 1; fi"
        );
        machine.program("mdadm", &script);
        let members = MEMBERS.map(str::to_string);
        let array = NewArray { level: "1", metadata: "1.0", volume: None, members: &members };
        let made = create(&machine.step(), &array);
        (made, machine.read("log").lines().map(str::to_string).collect())
    }

    #[test]
    fn an_array_gets_the_first_free_device_and_its_name() {
        let (made, calls) = calls(&["sda1", "sdb1"], 0);
        assert_eq!(made.unwrap(), "/dev/md1");
        let create =
            "--create /dev/md1 --force --run --metadata=1.0 --level 1 --name md1 --raid-devices 2 /dev/sda1 /dev/sdb1";
        assert_eq!(calls, [create]);
    }

    #[test]
    fn a_member_that_is_missing_is_added_as_often_as_it_takes() {
        let (made, calls) = calls(&["sda1"], 1);
        made.unwrap();
        assert_eq!(calls[1..], ["--add /dev/md1 /dev/sdb1", "--add /dev/md1 /dev/sdb1"]);
        let (failed, _) = self::calls(&["sda1"], 9);
        assert!(failed.unwrap_err().to_string().contains("Failed re-add /dev/sdb1 to /dev/md1"));
    }
}
