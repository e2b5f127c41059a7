//! What survives a restart of the process within one boot of the machine: token, node, certificate, commands. It lies
//! in a tmpfs directory, readable by root alone, and is worthless after a reboot.

use std::fs::DirBuilder;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ferric_hardware::machine::Machine;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::warn;

use crate::private_file;
use crate::registry::Record;
use crate::tls::Certificate;

/// What is kept.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    /// The token in force.
    pub token: Option<String>,
    /// The last answer to a look-up.
    pub lookup: Value,
    /// The self-signed certificate: the conductor refuses another one within a boot.
    pub certificate: Option<Certificate>,
    /// What `standby.get_partition_uuids` answers.
    pub partition_uuids: Value,
    /// All commands.
    pub commands: Vec<Record>,
}

/// A state together with the boot it belongs to.
#[derive(Serialize, Deserialize)]
struct Kept<S> {
    boot_id: String,
    state: S,
}

/// Where it is kept.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    boot_id: Option<String>,
    writing: Mutex<()>,
}

impl Store {
    /// The store in `directory` for the current boot of `machine`.
    pub fn new(directory: &Path, machine: &Machine) -> Self {
        Self {
            path: directory.join("state.json"),
            boot_id: machine.read("/proc/sys/kernel/random/boot_id"),
            writing: Mutex::new(()),
        }
    }

    /// Writes the state; a failure is only logged, as it costs no more than what a restart would bring back.
    pub fn save(&self, state: &State) {
        let Some(boot_id) = self.boot_id.clone() else { return };
        let _one_at_a_time = self.writing.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Err(error) = self.write(&Kept { boot_id, state }) {
            warn!(path = %self.path.display(), %error, "cannot keep the state for a restart");
        }
    }

    fn write(&self, kept: &Kept<&State>) -> std::io::Result<()> {
        if let Some(directory) = self.path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let new = self.path.with_extension("new");
        private_file::create(&new)?.write_all(&serde_json::to_vec(kept)?)?;
        std::fs::rename(new, &self.path)
    }

    /// The state that an agent left earlier in this boot.
    pub fn load(&self) -> Option<State> {
        let text = private_file::read(&self.path)
            .inspect_err(|error| match error.kind() {
                ErrorKind::NotFound => {}
                _ => warn!(path = %self.path.display(), %error, "the kept state cannot be read"),
            })
            .ok()?;
        let kept: Kept<State> = serde_json::from_slice(&text)
            .inspect_err(|error| warn!(path = %self.path.display(), %error, "the kept state cannot be read"))
            .ok()?;
        (Some(&kept.boot_id) == self.boot_id.as_ref()).then_some(kept.state)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn machine(boot_id: &str) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("proc/sys/kernel/random");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("boot_id"), boot_id).unwrap();
        let machine = Machine::at(root.path());
        (root, machine)
    }

    #[test]
    fn state_is_private_and_belongs_to_one_boot() {
        let directory = tempfile::tempdir().unwrap();
        let state = State {
            token: Some("t".into()),
            lookup: serde_json::json!({"node": {"uuid": "u"}}),
            certificate: None,
            partition_uuids: Value::Null,
            commands: Vec::new(),
        };
        let place = directory.path().join("agent");
        let (_root, first_boot) = machine("1\n");
        assert!(Store::new(&place, &first_boot).load().is_none());
        Store::new(&place, &first_boot).save(&state);
        let mode = place.join("state.json").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(Store::new(&place, &first_boot).load().unwrap().token.as_deref(), Some("t"));

        let (_root, second_boot) = machine("2\n");
        assert!(Store::new(&place, &second_boot).load().is_none());
    }
}
