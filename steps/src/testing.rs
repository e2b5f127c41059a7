//! A machine in a directory, with programs that are shell scripts: what unit tests of this crate work on.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use ferric_hardware::machine::Machine;
use ferric_hardware::tool::Tools;
use serde_json::Value;

use crate::options::Options;
use crate::step::Context;

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

    /// A context for this machine, without a node.
    pub(crate) fn context(&self) -> Context {
        self.context_with(|_| {}, Value::Null)
    }

    /// A context for this machine with options and a node.
    pub(crate) fn context_with(&self, change: impl FnOnce(&mut Options), node: Value) -> Context {
        let mut options = Options {
            host_root: self.path().join("no-host"),
            steps_dir: self.path().join("steps.d"),
            ..Options::default()
        };
        change(&mut options);
        Context {
            node: Arc::new(node),
            tools: Tools::in_directories([self.path().join("programs")], None),
            ..Context::new(Machine::at(self.path()), Arc::new(options))
        }
    }
}
