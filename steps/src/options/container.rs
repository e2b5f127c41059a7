//! Options about containers that steps run.

use std::path::PathBuf;

/// Which containers may run, and how (`[container]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Run any container image as a step (`allow_arbitrary_containers`).
    pub allow_any: bool,
    /// Container images that may run as steps (`allowed_containers`).
    pub allowed: Vec<String>,
    /// File of container steps (`container_steps_file`).
    pub steps_file: PathBuf,
    /// The program that runs containers (`runner`).
    pub runner: Runner,
    /// Words of the command line to pull a container image (`pull_options`).
    pub pull_options: Vec<String>,
    /// Words of the command line to run a container (`run_options`).
    pub run_options: Vec<String>,
    /// Refuse to install bootable containers (`disable_bootc_deploy` of `[DEFAULT]`).
    pub disable_bootc: bool,
}

impl Default for Container {
    fn default() -> Self {
        Self {
            allow_any: false,
            allowed: Vec::new(),
            steps_file: PathBuf::from("/etc/ironic-python-agent.d/mysteps.yaml"),
            runner: Runner::Podman,
            pull_options: Vec::new(),
            run_options: vec!["--rm".to_string(), "--network=host".to_string()],
            disable_bootc: false,
        }
    }
}

/// A program that runs containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runner {
    /// podman(1).
    Podman,
    /// docker(1).
    Docker,
}

impl Runner {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Podman, Self::Docker];

    /// Name of the program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Docker => "docker",
        }
    }
}
