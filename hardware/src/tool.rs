//! External programs: found in this root file system, else in the host's (run there by chroot), else named in a clear
//! error. Nothing here goes through a shell.

mod error;
mod run;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub use error::ToolError;
use run::Program;
pub use run::{Invocation, Output};

/// Where programs live inside the host root; its own `PATH` is not known.
const HOST_DIRECTORIES: [&str; 6] = ["usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"];

/// Where to look for programs, in order.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    directories: Vec<PathBuf>,
    host_root: Option<PathBuf>,
}

/// A program that was found.
#[derive(Debug, Clone)]
pub struct Tool(Program);

impl Tools {
    /// The directories of this process' `PATH`, then those of the host root (for example `/mnt/coreos`).
    pub fn of_environment(host_root: Option<&Path>) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self::in_directories(std::env::split_paths(&path), host_root)
    }

    /// Exactly these directories, then those of the host root. A host root of `/` is no second place.
    pub fn in_directories(directories: impl IntoIterator<Item = PathBuf>, host_root: Option<&Path>) -> Self {
        Self {
            directories: directories.into_iter().filter(|directory| directory.is_absolute()).collect(),
            host_root: host_root.filter(|root| *root != Path::new("/") && root.is_dir()).map(Path::to_path_buf),
        }
    }

    /// Finds the program `name`.
    ///
    /// # Errors
    /// [`ToolError::Missing`] when it is in none of the places.
    pub fn find(&self, name: &str) -> Result<Tool, ToolError> {
        self.find_here(name).or_else(|| self.find_in_host(name)).ok_or_else(|| ToolError::Missing {
            name: name.to_string(),
            searched: match &self.host_root {
                Some(root) => format!("this root file system and {}", root.display()),
                None => "this root file system (no host root is mounted)".to_string(),
            },
        })
    }

    /// Finds the program `name` in the host root only, for programs that make sense nowhere else (`systemctl`).
    ///
    /// # Errors
    /// [`ToolError::Missing`] when it is not there; without a host root this root file system is the host's.
    pub fn find_on_host(&self, name: &str) -> Result<Tool, ToolError> {
        match &self.host_root {
            None => self.find(name),
            Some(root) => self
                .find_in_host(name)
                .ok_or_else(|| ToolError::Missing { name: name.to_string(), searched: root.display().to_string() }),
        }
    }

    /// The host root, when it is another file system than ours.
    pub fn host_root(&self) -> Option<&Path> {
        self.host_root.as_deref()
    }

    fn find_here(&self, name: &str) -> Option<Tool> {
        let program = self.directories.iter().map(|directory| directory.join(name)).find(|path| is_executable(path))?;
        Some(Tool(Program { name: name.to_string(), path: program, root: None }))
    }

    fn find_in_host(&self, name: &str) -> Option<Tool> {
        let root = self.host_root.as_ref()?;
        let directory = HOST_DIRECTORIES.iter().find(|directory| {
            let path = root.join(directory).join(name);
            // An absolute link inside the host root can only be followed after the chroot.
            path.is_symlink() || is_executable(&path)
        })?;
        Some(Tool(Program {
            name: name.to_string(),
            path: Path::new("/").join(directory).join(name),
            root: Some(root.clone()),
        }))
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

impl Tool {
    /// A program given by its path, which is not searched for.
    pub fn at(program: impl Into<PathBuf>) -> Self {
        let path = program.into();
        Self(Program { name: path.display().to_string(), path, root: None })
    }

    /// The root directory it will run in, when that is not ours: file names in its arguments are seen from there.
    pub fn root(&self) -> Option<&Path> {
        self.0.root.as_deref()
    }

    /// Starts to describe one run of it.
    pub fn run<'a>(&self, arguments: impl IntoIterator<Item = impl Into<std::ffi::OsString>>) -> Invocation<'a> {
        Invocation::new(self.0.clone(), arguments)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn script(directory: &Path, name: &str, body: &str) {
        std::fs::create_dir_all(directory).unwrap();
        let path = directory.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn tools(directory: &Path) -> Tools {
        Tools::in_directories([directory.to_path_buf()], None)
    }

    #[test]
    fn a_missing_program_is_named_with_the_places_searched() {
        let host = tempfile::tempdir().unwrap();
        let error = Tools::in_directories([], Some(host.path())).find("mdadm").unwrap_err().to_string();
        assert!(error.contains("mdadm is not installed"), "{error}");
        assert!(error.contains(&host.path().display().to_string()), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_executed_is_not_a_program() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("tool"), "text").unwrap();
        assert!(tools(directory.path()).find("tool").is_err());
    }

    #[test]
    fn output_is_collected_and_lines_are_seen_as_they_come() {
        let directory = tempfile::tempdir().unwrap();
        script(directory.path(), "tool", "printf 'one %s\\n' \"$1\"; echo two >&2; cat");
        let mut lines = Vec::new();
        let tool = tools(directory.path()).find("tool").unwrap();
        let output =
            tool.run(["a b"]).stdin("three\n").on_line(&mut |line| lines.push(line.to_string())).output().unwrap();
        assert_eq!(output.text(), "one a b\nthree\n");
        lines.sort();
        assert_eq!(lines, ["one a b", "three", "two"]);
    }

    #[test]
    fn a_failure_carries_exit_code_and_the_end_of_stderr() {
        let directory = tempfile::tempdir().unwrap();
        script(directory.path(), "tool", "echo 'disk is on fire' >&2; exit 3");
        let error = tools(directory.path()).find("tool").unwrap().run(["--now"]).output().unwrap_err();
        assert_eq!(error.to_string(), "tool --now failed with exit code 3: disk is on fire");
    }

    #[test]
    fn a_program_that_hangs_is_stopped_with_its_children() {
        let directory = tempfile::tempdir().unwrap();
        script(directory.path(), "tool", "sleep 600 & echo started; wait");
        let tool = tools(directory.path()).find("tool").unwrap();
        let error = tool.run([""; 0]).timeout(Duration::from_millis(200)).output().unwrap_err();
        assert!(matches!(error, ToolError::TimedOut { .. }), "{error}");
    }

    #[test]
    fn a_run_ends_when_it_is_cancelled() {
        let directory = tempfile::tempdir().unwrap();
        script(directory.path(), "tool", "exec sleep 600");
        let tool = tools(directory.path()).find("tool").unwrap();
        let error = tool.run([""; 0]).cancelled(&|| true).output().unwrap_err();
        assert!(matches!(error, ToolError::Cancelled { .. }), "{error}");
    }

    #[test]
    fn secrets_do_not_appear_in_errors() {
        let directory = tempfile::tempdir().unwrap();
        script(directory.path(), "tool", "exit 1");
        let tool = tools(directory.path()).find("tool").unwrap();
        let error = tool.run(["--password"]).secret_arg("hunter2").output().unwrap_err().to_string();
        assert_eq!(error, "tool --password <...> failed with exit code 1");
    }
}
