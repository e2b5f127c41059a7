//! `burnin_cpu` and `burnin_memory`: load of processors and memory, by stress-ng.

use serde_json::Value;

use super::tools::run;
use crate::StepError;
use crate::options::BurnIn;
use crate::step::Step;

/// Loads the processors (stress-ng).
///
/// # Errors
/// [`Execution`](crate::ErrorKind::Execution) when the tool is missing or finds something.
pub async fn burnin_cpu(step: &Step) -> Result<Value, StepError> {
    step.blocking(|step| {
        let load = BurnIn::of(&step.node).cpu;
        let mut arguments = vec!["--cpu".to_string(), load.workers];
        arguments.extend(["--timeout".to_string(), load.timeout, "--metrics-brief".to_string()]);
        arguments.extend(load.output_file.into_iter().flat_map(|file| ["--log-file".to_string(), file]));
        run(step, "stress-ng", "stress-ng (cpu)", &arguments)?;
        Ok(Value::Null)
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
        run(step, "stress-ng", "stress-ng (vm)", &arguments)?;
        Ok(Value::Null)
    })
    .await
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
}
