//! `burnin_gpu`: load of the graphics processors, by gpu_burn.

use std::path::Path;

use ferric_hardware::tool::Tool;
use serde_json::Value;

use super::tools::failed;
use crate::options::BurnIn;
use crate::step::Step;
use crate::{ErrorKind, StepError};

/// Loads the graphics processors (gpu_burn).
///
/// # Errors
/// [`ErrorKind::Execution`] when the program is missing or finds something, or when fewer processors are found than the
/// node says.
pub async fn burnin_gpu(step: &Step) -> Result<Value, StepError> {
    step.blocking(|step| {
        let load = BurnIn::of(&step.node).gpu;
        let tool = Tool::at(Path::new(&load.directory).join("gpu_burn"));
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
