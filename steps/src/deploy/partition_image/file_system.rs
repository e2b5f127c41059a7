//! File systems and swap space, by the programs that make them.

use ferric_hardware::tool::{Tool, ToolError};

use crate::step::Step;
use crate::{ErrorKind, StepError};

/// How to make one file system.
#[derive(Debug)]
pub(super) struct FileSystem {
    program: Tool,
    arguments: Vec<String>,
}

impl FileSystem {
    /// Finds the program for this kind (`ext4`, `vfat`, `swap`…).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParameters`] for what cannot be the name of a file system, [`ErrorKind::Execution`] when its
    /// program is missing.
    pub(super) fn new(step: &Step, kind: &str, label: &str) -> Result<Self, StepError> {
        // It becomes a part of the name of a program.
        if kind.is_empty() || !kind.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(ErrorKind::InvalidParameters.error(format!("{kind:?} is no file system")));
        }
        let program = if kind == "swap" { "mkswap".to_string() } else { format!("mkfs.{kind}") };
        let mut arguments = Vec::new();
        if kind.starts_with("ext") {
            arguments.push("-F");
        }
        let flag = if ["vfat", "msdos", "fat"].contains(&kind) { "-n" } else { "-L" };
        arguments.extend([flag, label]);
        Ok(Self {
            program: step.site.tools.find(&program)?,
            arguments: arguments.into_iter().map(str::to_string).collect(),
        })
    }

    /// Makes it on the partition with this node.
    ///
    /// # Errors
    /// [`ErrorKind::Deployment`] with what the program said.
    pub(super) fn make(&self, step: &Step, node: &str) -> Result<(), StepError> {
        let cancelled = || step.cancel.is_cancelled();
        let run = self.program.run(self.arguments.iter().map(String::as_str)).arg(node).cancelled(&cancelled);
        match run.output() {
            Ok(_) => Ok(()),
            Err(ToolError::Cancelled { command }) => Err(StepError::cancelled(command)),
            Err(error) => Err(ErrorKind::Deployment.of(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use ferric_hardware::machine::Machine;
    use ferric_hardware::tool::Tools;

    use super::*;
    use crate::options::Options;
    use crate::site::Site;

    #[test]
    fn what_is_no_name_of_a_file_system_becomes_no_program() {
        let step = Step::new(Site::new(Machine::at("/nonexistent"), Options::default()));
        for kind in ["", "../sh", "ext4 -c", "a/b"] {
            let error = FileSystem::new(&step, kind, "ephemeral0").unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidParameters, "{kind}");
        }
    }

    #[test]
    fn a_missing_program_is_named() {
        let mut step = Step::new(Site::new(Machine::at("/nonexistent"), Options::default()));
        step.site.tools = Tools::default();
        let error = FileSystem::new(&step, "xfs", "ephemeral0").unwrap_err().to_string();
        assert!(error.contains("mkfs.xfs is not installed"), "{error}");
    }
}
