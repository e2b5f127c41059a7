//! Consoles of machines: the files that their output goes to.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::bmc::Definition;
use crate::bmc::server::Setup;
use crate::files::AllowedFolders;
use crate::node::{Node, Port};

/// The files, as far as they are known.
#[derive(Debug)]
pub struct Consoles {
    /// Machines of the emulator that is served beside the conductor.
    machines: Vec<Definition>,
    /// Where files may be that nodes name.
    allowed: AllowedFolders,
}

impl Consoles {
    /// Those of the emulator's machines, and those below `allowed` that nodes name.
    pub fn new(emulator: Option<&Setup>, allowed: AllowedFolders) -> Self {
        Self { machines: emulator.map(|setup| setup.machines.clone()).unwrap_or_default(), allowed }
    }

    /// The file of a node, if it has one: what `driver_info/console_log` names, the log of its process, or the console of
    /// its machine in the emulator, which is known by its system or its address. It may not be there yet.
    pub fn file(&self, node: &Node, ports: &[Port]) -> Option<PathBuf> {
        let info = |key: &str| node.spec.driver_info.get(key).and_then(Value::as_str);
        let of_process = || info("log").filter(|_| node.spec.driver == "local-process");
        if let Some(named) = info("console_log").or_else(of_process) {
            return self.allowed.file(Path::new(named)).ok();
        }
        let system = info("redfish_system_id").unwrap_or_default();
        let is_its = |machine: &&Definition| {
            let has = |port: &Port| machine.macs.iter().any(|mac| mac.eq_ignore_ascii_case(port.address.as_str()));
            system.trim_end_matches('/').ends_with(&machine.uuid.to_string()) || ports.iter().any(has)
        };
        let machine = self.machines.iter().find(is_its).filter(|_| node.spec.driver == "redfish");
        machine.map(|machine| machine.console().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::node::Spec;

    fn node(driver: &str, driver_info: Value) -> Node {
        let driver_info = driver_info.as_object().cloned().unwrap_or_default();
        Node::new(Uuid::new_v4(), Spec { driver: driver.into(), driver_info, ..Spec::default() })
    }

    #[test]
    fn files_of_the_host_are_read_only_below_the_folders() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("console");
        std::fs::write(&log, "").unwrap();
        let allowed = AllowedFolders::new(&[folder.path().to_owned()], Path::new("/nowhere"));
        let consoles = Consoles::new(None, allowed);
        let file = |driver: &str, info: Value| consoles.file(&node(driver, info), &[]);
        let real = log.canonicalize().unwrap();
        assert_eq!(file("fake-hardware", json!({"console_log": log})), Some(real.clone()));
        assert_eq!(file("local-process", json!({"log": log})), Some(real));
        assert_eq!(file("redfish", json!({"log": log})), None);
        assert_eq!(file("fake-hardware", json!({"console_log": "/etc/passwd"})), None);
        assert_eq!(file("fake-hardware", json!({})), None);
    }

    #[test]
    fn a_machine_of_the_emulator_is_known_by_its_address() {
        let uuid = Uuid::new_v4();
        let setup = json!({"machines": [{"uuid": uuid, "name": "m", "macs": ["52:54:00:AA:BB:01"],
            "qemu": {"state_dir": "/x", "console": "/x/console"}}]});
        let setup: Setup = serde_json::from_value(setup).unwrap();
        let consoles = Consoles::new(Some(&setup), AllowedFolders::default());
        let port = |node: &Node, mac: &str| Port::new(node.uuid, mac.parse().unwrap());
        let with = |info: Value, mac: &str| {
            let node = node("redfish", info);
            consoles.file(&node, &[port(&node, mac)])
        };
        let console = Some(PathBuf::from("/x/console"));
        assert_eq!(with(json!({}), "52:54:00:aa:bb:01"), console);
        assert_eq!(
            with(json!({"redfish_system_id": format!("/redfish/v1/Systems/{uuid}")}), "52:54:00:aa:bb:02"),
            console
        );
        assert_eq!(with(json!({}), "52:54:00:aa:bb:02"), None);
    }
}
