//! Burn-in: wearing the machine in with load, by the tools that are known for it. The settings are the node's.

mod network;

use std::time::Duration;

use ferric_hardware::block;
use ferric_hardware::tool::{Tool, ToolError};
use serde_json::Value;

use super::raid::{self, Spared};
use crate::options::BurnIn;
use crate::step::Step;
use crate::{ErrorKind, StepError};

pub use network::burnin_network;

/// How often a SMART self-test is looked at.
const SMART_POLL: Duration = Duration::from_secs(30);
/// How often cancellation is looked at meanwhile.
const TICK: Duration = Duration::from_millis(200);

/// Loads the processors (stress-ng).
///
/// # Errors
/// [`ErrorKind::Execution`] when the tool is missing or finds something.
pub async fn burnin_cpu(step: &Step) -> Result<Value, StepError> {
    step.blocking(|step| {
        let load = BurnIn::of(&step.node).cpu;
        let mut arguments = vec!["--cpu".to_string(), load.workers];
        arguments.extend(["--timeout".to_string(), load.timeout, "--metrics-brief".to_string()]);
        arguments.extend(load.output_file.into_iter().flat_map(|file| ["--log-file".to_string(), file]));
        run(step, "stress-ng", "stress-ng (cpu)", &arguments)
    })
    .await
}

/// Loads the memory (stress-ng).
///
/// # Errors
/// As [`burnin_cpu`].
pub async fn burnin_memory(step: &Step) -> Result<Value, StepError> {
    step.blocking(|step| {
        let load = BurnIn::of(&step.node).memory;
        let mut arguments = vec!["--vm".to_string(), load.workers, "--vm-bytes".to_string(), load.bytes];
        arguments.extend(["--timeout".to_string(), load.timeout, "--metrics-brief".to_string()]);
        arguments.extend(load.output_file.into_iter().flat_map(|file| ["--log-file".to_string(), file]));
        run(step, "stress-ng", "stress-ng (vm)", &arguments)
    })
    .await
}

/// Loads every eligible disk, which loses its content (fio), and then has the disks test themselves when that is wanted.
///
/// # Errors
/// As [`burnin_cpu`]; [`ErrorKind::Cleaning`] when a self-test fails.
pub async fn burnin_disk(step: &Step) -> Result<Value, StepError> {
    step.blocking(|step| {
        let load = BurnIn::of(&step.node).disk;
        let mut listing = block::list(&step.site.machine, &step.device_policy());
        raid::leave_protected(step, Spared::KeptAndNeighbours, &mut listing)?;
        let disks: Vec<String> = listing.eligible.iter().map(|disk| disk.name.clone()).collect();
        if disks.is_empty() {
            tracing::info!("no eligible disk to burn in");
            return Ok(Value::Null);
        }
        let fixed = "--rw readwrite --bs 4k --direct 1 --ioengine libaio --iodepth 32 --verify crc32c --verify_dump 1 \
                     --continue_on_error verify --time_based";
        let mut arguments: Vec<String> = fixed.split_whitespace().map(str::to_string).collect();
        arguments.extend(["--loops".to_string(), load.loops, "--runtime".to_string(), load.runtime]);
        if let Some(file) = load.output_file {
            arguments.extend(["--output-format".to_string(), "json".to_string(), "--output".to_string(), file]);
        }
        arguments.extend(disks.iter().flat_map(|disk| ["--name".to_string(), disk.clone()]));
        run(step, "fio", "fio (disk)", &arguments)?;
        if load.smart_test {
            smart_tests(step, &disks)?;
        }
        Ok(Value::Null)
    })
    .await
}

/// Loads the graphics processors (gpu_burn).
///
/// # Errors
/// As [`burnin_cpu`]; also when fewer processors are found than the node says.
pub async fn burnin_gpu(step: &Step) -> Result<Value, StepError> {
    step.blocking(|step| {
        let load = BurnIn::of(&step.node).gpu;
        let tool = Tool::at(std::path::Path::new(&load.directory).join("gpu_burn"));
        let cancelled = || step.cancel.is_cancelled();
        let gpu_burn = |arguments: &[&str]| {
            // It finds its kernels in its working directory.
            let run = tool.run(arguments).directory(&load.directory).cancelled(&cancelled);
            run.output().map(|output| output.text()).map_err(|error| failed("gpu-burn", error))
        };
        let wanted = load.count;
        if wanted > 0 {
            let listed = gpu_burn(&["-l"])?;
            let found = listed.lines().filter(|line| line.trim_start().starts_with("ID ")).count() as u64;
            if found != wanted {
                return Err(
                    ErrorKind::Execution.error(format!("gpu-burn: {wanted} GPUs are expected, {found} were found"))
                );
            }
        }
        step.progress.activity("burning in the GPUs");
        gpu_burn(&["-m", &load.memory, &load.timeout])?;
        Ok(Value::Null)
    })
    .await
}

/// Finds and runs a tool; `what` is how errors call it.
fn run(step: &Step, name: &str, what: &str, arguments: &[String]) -> Result<Value, StepError> {
    step.progress.activity(format!("burning in with {what}"));
    let tool = step.site.tools.find(name).map_err(|error| failed(what, error))?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    invoke(step, &tool, &arguments, what)?;
    Ok(Value::Null)
}

fn invoke(step: &Step, tool: &Tool, arguments: &[&str], what: &str) -> Result<String, StepError> {
    let cancelled = || step.cancel.is_cancelled();
    let output = tool.run(arguments).cancelled(&cancelled).output().map_err(|error| failed(what, error))?;
    Ok(output.text())
}

fn failed(what: &str, error: ToolError) -> StepError {
    match error {
        ToolError::Cancelled { .. } => StepError::cancelled(error),
        error => ErrorKind::Execution.error(format!("{what} failed with error")).because(error),
    }
}

/// Waits, unless the step is cancelled meanwhile.
fn pause(step: &Step, length: Duration) -> Result<(), StepError> {
    let until = std::time::Instant::now() + length;
    while std::time::Instant::now() < until {
        if step.cancel.is_cancelled() {
            return Err(StepError::cancelled("burn-in"));
        }
        std::thread::sleep(TICK);
    }
    Ok(())
}

/// Starts the long self-test of every disk and waits for all of them.
fn smart_tests(step: &Step, disks: &[String]) -> Result<(), StepError> {
    const WHAT: &str = "smartctl";
    let tool = step.site.tools.find(WHAT).map_err(|error| failed(WHAT, error))?;
    for disk in disks {
        invoke(step, &tool, &["-t", "long", disk], WHAT)?;
    }
    for disk in disks {
        step.progress.activity(format!("waiting for the self-test of {disk}"));
        // The exit code is a bit mask that also speaks of the past: the report counts.
        loop {
            let report = tool.run(["-c", disk]).output_any_code().map_err(|error| failed(WHAT, error))?;
            match self_test(&report.text()) {
                SelfTest::Passed => break,
                SelfTest::Running => pause(step, SMART_POLL)?,
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
    use std::sync::Arc;

    use ferric_hardware::machine::Machine;
    use ferric_hardware::tool::Tools;
    use serde_json::json;

    use super::*;
    use crate::options::Options;
    use crate::site::Site;
    use crate::testing::Fake;

    /// A step whose only tools are the given scripts.
    fn step(scripts: &[(&str, &str)], driver_info: Value) -> (tempfile::TempDir, Step) {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        for (name, body) in scripts {
            let path = directory.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut step = Step::new(Site::new(Machine::host(), Options::default()));
        step.site.tools = Tools::in_directories([directory.path().to_path_buf()], None);
        step.node = Arc::new(json!({"driver_info": driver_info}));
        (directory, step)
    }

    #[tokio::test]
    async fn settings_of_the_node_reach_the_tool() {
        let script = r#"printf '%s\n' "$*" > "$(dirname "$0")/called""#;
        let (directory, step) = step(&[("stress-ng", script)], json!({"agent_burnin_cpu_timeout": 7}));
        burnin_cpu(&step).await.unwrap();
        let called = std::fs::read_to_string(directory.path().join("called")).unwrap();
        assert_eq!(called, "--cpu 0 --timeout 7 --metrics-brief\n");
    }

    #[tokio::test]
    async fn a_missing_tool_and_a_failing_one_are_named() {
        let (_none, without) = step(&[], Value::Null);
        let error = burnin_memory(&without).await.unwrap_err().chain();
        assert!(error.starts_with("stress-ng (vm) failed with error: stress-ng is not installed"), "{error}");
        let (_directory, step) = step(&[("stress-ng", "echo 'bad memory' >&2; exit 2")], Value::Null);
        let error = burnin_memory(&step).await.unwrap_err().chain();
        assert!(error.contains("bad memory"), "{error}");
    }

    #[tokio::test]
    async fn kept_arrays_are_not_burnt_in_and_disks_test_themselves_afterwards() {
        let machine = Fake::new();
        machine.arrays_on_shared_disks();
        machine.program("fio", "echo fio \"$@\" >> calls");
        machine.program("smartctl", "echo smartctl \"$@\" >> calls");
        let node = json!({"driver_info": {"agent_burnin_fio_disk_smart_test": true},
                          "properties": {"skip_block_devices": [{"volume_name": "data"}]}});
        burnin_disk(&machine.step_with(|_| {}, node)).await.unwrap();
        let calls = machine.read("calls");
        let (load, tests) = calls.split_once('\n').unwrap();
        assert!(load.starts_with("fio ") && load.ends_with("--name /dev/sdc --name /dev/md2"), "{load}");
        assert!(tests.starts_with("smartctl -t long /dev/sdc\nsmartctl -t long /dev/md2\n"), "{tests}");
    }

    #[test]
    fn self_tests_pass_run_or_fail() {
        let report = |code: &str| format!("x\nSelf-test execution status:      ( {code})\tThe previous...\n");
        assert_eq!(self_test(&report("  0")), SelfTest::Passed);
        assert_eq!(self_test(&report("249")), SelfTest::Running);
        assert_eq!(self_test(&report("121")), SelfTest::Failed(121));
        assert_eq!(self_test("no such disk"), SelfTest::Passed);
    }
}
