//! The disk burn-in by fio, with the settings of the Python agent.

use std::collections::HashMap;
use std::path::Path;

use ferric_hardware::tool::Tool;

use super::tools::failed;
use crate::clean::bad_blocks::{BadBlocks, Fault};
use crate::options::DiskLoad;
use crate::step::Step;
use crate::{ErrorKind, StepError};

const WHAT: &str = "fio (disk)";
/// As the Python agent has it, but without files of every bad block in the ramdisk's working directory.
const FIXED: &str = "--rw readwrite --bs 4k --direct 1 --ioengine libaio --iodepth 32 --verify crc32c \
                     --verify_state_save 0 --continue_on_error verify --time_based";

/// Loads the disks, all at once, and returns the bad blocks of each that has some. fio itself ends with success when
/// blocks hold something else than it has written.
///
/// # Errors
/// When fio fails without naming a disk, or the step is cancelled.
pub(super) fn run(
    step: &Step,
    fio: &Tool,
    disks: &[&str],
    load: &DiskLoad,
) -> Result<HashMap<String, BadBlocks>, StepError> {
    let mut arguments: Vec<&str> = FIXED.split_whitespace().collect();
    arguments.extend(["--loops", &load.loops, "--runtime", &load.runtime]);
    if let Some(file) = &load.output_file {
        arguments.extend(["--output-format", "json", "--output", file]);
    }
    arguments.extend(disks.iter().flat_map(|disk| ["--name", *disk]));
    step.progress.activity(format!("burning in with {WHAT}"));
    let mut report = Report::default();
    let cancelled = || step.cancel.is_cancelled();
    let ended = fio.run(&arguments).cancelled(&cancelled).on_line(&mut |line| report.take(line)).output();
    if let Some(file) = &load.output_file {
        // Errors go there as well.
        let places = [Some(Path::new("/")), step.site.tools.host_root()]
            .map(|root| root.map(|root| root.join(file.trim_start_matches('/'))));
        let text = places.into_iter().flatten().find_map(|place| std::fs::read_to_string(place).ok());
        text.unwrap_or_default().lines().for_each(|line| report.take(line));
    }
    report.bad.retain(|disk, _| disks.contains(&disk.as_str()));
    match (ended, report.error) {
        (Err(error), _) if report.bad.is_empty() || step.cancel.is_cancelled() => Err(failed(WHAT, error)),
        (Ok(_), Some(error)) if report.bad.is_empty() => {
            Err(ErrorKind::Execution.error(format!("{WHAT} failed with error: its report has error {error}")))
        }
        _ => Ok(report.bad),
    }
}

/// What fio has said.
#[derive(Debug, Default)]
struct Report {
    bad: HashMap<String, BadBlocks>,
    /// The error of a job, whatever fio ended with.
    error: Option<u64>,
}

impl Report {
    fn take(&mut self, line: &str) {
        if let Some((disk, byte, fault)) = fault(line) {
            self.bad.entry(disk.to_string()).or_default().note(byte, fault);
        } else if let Some(error) = job_error(line) {
            self.error = Some(error);
        }
    }
}

/// The disk, the byte and what is wrong there:
/// - `verify: bad magic header 0, wanted acca at file /dev/sda offset 4096, length 4096 (requested block: …)`
/// - `crc32c: verify failed at file /dev/sda offset 4096, length 0 (requested block: …)`
/// - `fio: io_u error on file /dev/sda: Input/output error: write offset=4096, buflen=4096`
fn fault(line: &str) -> Option<(&str, u64, Fault)> {
    if let Some((_, rest)) = line.split_once("io_u error on file ") {
        let (disk, rest) = rest.split_once(": ")?;
        let (text, rest) = rest.rsplit_once(" offset=")?;
        let fault = if text.ends_with("write") { Fault::Unwritable } else { Fault::Unreadable };
        return Some((disk, rest.split(',').next()?.parse().ok()?, fault));
    }
    let (_, rest) = line.split_once("verify").and_then(|(_, rest)| rest.split_once(" at file "))?;
    let (disk, rest) = rest.split_once(" offset ")?;
    Some((disk, rest.split(',').next()?.parse().ok()?, Fault::Forgetful))
}

/// The error of a job, when it has one: `/dev/sda: (groupid=0, jobs=1): err=84 (): pid=…`, as JSON `"error" : 84,`.
fn job_error(line: &str) -> Option<u64> {
    let text = line.split_once("): err=").map(|(_, rest)| rest);
    let json = || line.trim().strip_prefix("\"error\" : ");
    let number: String = text.or_else(json)?.trim_start().chars().take_while(char::is_ascii_digit).collect();
    number.parse().ok().filter(|error| *error != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fio_says_of_blocks_is_understood() {
        for (line, expected) in [
            (
                "verify: bad magic header af70, wanted acca at file /dev/loop0 offset 4096, length 4096 (requested \
                 block: offset=4096, length=4096)",
                Some(("/dev/loop0", 4096, Fault::Forgetful)),
            ),
            (
                "crc32c: verify failed at file /dev/sda offset 8192, length 0 (requested block: offset=8192, length=4096)",
                Some(("/dev/sda", 8192, Fault::Forgetful)),
            ),
            (
                "fio: io_u error on file /dev/sda: Input/output error: write offset=16777216, buflen=4096",
                Some(("/dev/sda", 16_777_216, Fault::Unwritable)),
            ),
            (
                "fio: io_u error on file /dev/sda: Input/output error: read offset=0, buflen=4096",
                Some(("/dev/sda", 0, Fault::Unreadable)),
            ),
            ("/dev/sda: (g=0): rw=rw, bs=(R) 4096B-4096B, ioengine=libaio, iodepth=32", None),
            ("fio: time_based requires a runtime/timeout setting", None),
        ] {
            assert_eq!(fault(line), expected, "{line}");
        }
        assert_eq!(job_error("/dev/sda: (groupid=0, jobs=1): err=84 (): pid=1: Sat"), Some(84));
        assert_eq!(job_error("/dev/sda: (groupid=0, jobs=1): err= 0: pid=1: Sat"), None);
        assert_eq!(job_error("      \"error\" : 5,"), Some(5));
    }
}
