//! What disks say of themselves after a burn-in: their SMART health, and self-tests where those are wanted.

use std::time::Duration;

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::nvme;

use super::tools::{failed, invoke, pause};
use crate::site::Site;
use crate::step::Step;
use crate::{ErrorKind, StepError};

const SMARTCTL: &str = "smartctl";
/// How often a self-test is looked at.
const POLL: Duration = Duration::from_secs(30);
/// An answer about health takes no time.
const LIMIT: Duration = Duration::from_secs(60);
/// The bit of smartctl's exit code that says that the disk is failing.
const IS_FAILING: i32 = 1 << 3;
/// The bits that say that it could not be asked.
const NOT_ASKED: i32 = 0b111;

/// What a disk says of its health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Health {
    Passed,
    Failing(String),
    /// It does not say, or nobody can ask it.
    Unknown,
}

/// Asks a disk for its health: an NVMe device itself, any other by smartctl where that is installed.
pub(super) fn health(site: &Site, disk: &EligibleDevice) -> Health {
    if nvme::is_namespace(&disk.name) {
        return match nvme::health(&site.machine, disk) {
            Ok(health) if health.warnings().is_empty() => Health::Passed,
            Ok(health) => Health::Failing(health.warnings().join(", ")),
            Err(error) => {
                tracing::info!(%error, "its health is not known");
                Health::Unknown
            }
        };
    }
    let Ok(tool) = site.tools.find(SMARTCTL) else { return Health::Unknown };
    let asked = tool.run(["-H", &disk.name]).timeout(LIMIT).output_any_code();
    match asked.ok().and_then(|output| output.code) {
        Some(code) if code & IS_FAILING != 0 => Health::Failing("its SMART status says that it is failing".to_string()),
        Some(code) if code & NOT_ASKED == 0 => Health::Passed,
        _ => Health::Unknown,
    }
}

/// Starts the long self-test of every disk and waits for all of them.
pub(super) fn self_tests(step: &Step, disks: &[&str]) -> Result<(), StepError> {
    let tool = step.site.tools.find(SMARTCTL).map_err(|error| failed(SMARTCTL, error))?;
    for disk in disks {
        invoke(step, &tool, &["-t", "long", disk], SMARTCTL)?;
    }
    for disk in disks {
        step.progress.activity(format!("waiting for the self-test of {disk}"));
        // The exit code is a bit mask that also speaks of the past: the report counts.
        loop {
            let report = tool.run(["-c", disk]).output_any_code().map_err(|error| failed(SMARTCTL, error))?;
            match self_test(&report.text()) {
                SelfTest::Passed => break,
                SelfTest::Running => pause(step, POLL)?,
                SelfTest::Failed(code) => {
                    return Err(
                        ErrorKind::Cleaning.error(format!("{disk}: its SMART self-test failed (status {code})"))
                    );
                }
            }
        }
    }
    Ok(())
}

/// What a disk says of its last self-test.
#[derive(Debug, PartialEq, Eq)]
enum SelfTest {
    Passed,
    Running,
    Failed(u8),
}

/// The status byte in `Self-test execution status:      ( 249)`: the upper half says how it ended, 15 is not yet.
fn self_test(report: &str) -> SelfTest {
    let line = report.lines().find(|line| line.starts_with("Self-test execution status:"));
    let code = line.and_then(|line| line.split(['(', ')']).nth(1)?.trim().parse::<u8>().ok());
    match code.map(|code| (code, code >> 4)) {
        None | Some((_, 0)) => SelfTest::Passed,
        Some((_, 15)) => SelfTest::Running,
        Some((code, _)) => SelfTest::Failed(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn self_tests_pass_run_or_fail() {
        let report = |code: &str| format!("x\nSelf-test execution status:      ( {code})\tThe previous...\n");
        assert_eq!(self_test(&report("  0")), SelfTest::Passed);
        assert_eq!(self_test(&report("249")), SelfTest::Running);
        assert_eq!(self_test(&report("121")), SelfTest::Failed(121));
        assert_eq!(self_test("no such disk"), SelfTest::Passed);
    }
}
