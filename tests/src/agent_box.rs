//! A captured machine in which an agent runs that could do harm to this one (`tests/peers/box.sh` tells how it cannot).

use std::path::{Path, PathBuf};
use std::process::Command;

/// A command that runs in the box.
#[derive(Debug)]
pub struct AgentBox {
    /// One of `hardware/fixtures`.
    pub machine: &'static str,
    /// Kernel command line.
    pub kernel_arguments: String,
    /// What can be read inside, besides the system's programs, under its own path.
    pub folders: Vec<PathBuf>,
}

impl AgentBox {
    /// `program` in the box, to which arguments can be added. Its network is that of the thread that starts it, which
    /// should be in a [namespace](crate::namespace::Namespace).
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/box.sh"))
            .args([self.machine, &self.kernel_arguments])
            .args(&self.folders)
            .arg("--")
            .arg(program);
        command
    }
}
