//! A machine in a directory, with programs that are shell scripts: what unit tests of this crate work on.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use ferric_hardware::machine::Machine;
use ferric_hardware::tool::Tools;
use serde_json::Value;

use crate::options::Options;
use crate::site::Site;
use crate::step::Step;

/// A machine without disks, network and tools but those that a test gives it.
#[derive(Debug)]
pub(crate) struct Fake {
    root: tempfile::TempDir,
}

impl Fake {
    pub(crate) fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    /// A program by that name; its script runs in the machine's directory.
    pub(crate) fn program(&self, name: &str, script: &str) {
        self.executable(&format!("programs/{name}"), script);
    }

    /// A script anywhere in the machine.
    pub(crate) fn executable(&self, path: &str, script: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\ncd {}\n{script}\n", self.path().display())).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Puts a file into the machine.
    pub(crate) fn file(&self, path: &str, content: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// The content of a file of the machine.
    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path().join(path)).unwrap()
    }

    /// The machine with the default options.
    pub(crate) fn site(&self) -> Site {
        self.step().site
    }

    /// A step on this machine, without a node.
    pub(crate) fn step(&self) -> Step {
        self.step_with(|_| {}, Value::Null)
    }

    /// A step on this machine with options and a node.
    pub(crate) fn step_with(&self, change: impl FnOnce(&mut Options), node: Value) -> Step {
        let mut options = Options {
            host_root: self.path().join("no-host"),
            steps_dir: self.path().join("steps.d"),
            ..Options::default()
        };
        change(&mut options);
        let tools = Tools::in_directories([self.path().join("programs")], None);
        let site = Site { tools, ..Site::new(Machine::at(self.path()), options) };
        Step { node: Arc::new(node), ..Step::new(site) }
    }
}
