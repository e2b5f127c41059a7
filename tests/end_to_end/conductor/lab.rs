//! `conductor-stub lab`, by Ironic's own client, and nothing left of it.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use ferric_tests::peers;
use ferric_tests::process::{Process, program};

use super::{assert_nothing_left, left_behind};

const LIMIT: Duration = Duration::from_secs(170);
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/nodes.yaml");

/// What the lab says one is to export, and where the client is.
struct Shell {
    endpoint: String,
}

impl Shell {
    fn baremetal(&self, words: &str) -> Output {
        let client = peers::folder().unwrap().join("venv/bin/baremetal");
        Command::new(client)
            .args(words.split(' '))
            .env("OS_AUTH_TYPE", "none")
            .env("OS_ENDPOINT", &self.endpoint)
            .output()
            .unwrap()
    }

    /// What a command that succeeds prints.
    fn value(&self, words: &str) -> String {
        let output = self.baremetal(words);
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

fn start(machines: &str) -> Process {
    Process::start(Command::new(program("conductor-stub")).args(["lab", "--machines", machines])).unwrap()
}

fn stop(lab: &mut Process) {
    assert!(Command::new("kill").args(["-INT", &lab.id().to_string()]).status().unwrap().success());
    assert_eq!(lab.wait(LIMIT).unwrap(), Some(0), "{}", lab.log());
}

/// The word behind `text`.
fn after(log: &str, text: &str) -> String {
    log.split(text).nth(1).unwrap().split_whitespace().next().unwrap().to_owned()
}

#[test]
fn a_lab_is_there_at_once_and_gone_afterwards() {
    // Two at the same time, and the demo beside them: Ironic's port is one's only.
    let (mut lab, mut other) = (start("2"), start("1"));
    lab.wait_for("Ctrl-C ends the lab", LIMIT).unwrap();
    other.wait_for("Ctrl-C ends the lab", LIMIT).unwrap();
    let log = lab.log();
    let shell = Shell { endpoint: after(&log, "OS_ENDPOINT=") };
    let beside = Shell { endpoint: after(&other.log(), "OS_ENDPOINT=") };
    assert_ne!(shell.endpoint, beside.endpoint);
    assert_eq!(beside.value("node list -f value -c Name"), "machine-0");
    stop(&mut other);

    assert_eq!(shell.value("node list -f value -c Name --sort name"), "machine-0\nmachine-1");
    shell.value("node manage machine-0 --wait");
    assert_eq!(shell.value("node show machine-0 -f value -c provision_state"), "manageable");
    // Its BMC switches a real machine.
    shell.value("node power on machine-1 --power-timeout 60");
    let started = std::time::Instant::now();
    while shell.value("node show machine-1 -f value -c power_state") != "power on" {
        assert!(started.elapsed() < LIMIT, "{}", lab.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(left_behind("ferric-lab-").iter().any(|line| line.contains("qemu-system")), "{}", lab.log());

    shell.value(&format!("create {EXAMPLE}"));
    assert_eq!(shell.value("node show rack1-node1 -f value -c driver"), "redfish");

    if log.contains("baremetal node inspect") && !log.contains("There is no ramdisk") {
        shell.value("node manage machine-1 --wait");
        shell.value("node inspect machine-1");
        shell.value("node inspect machine-0 --wait 400");
        while shell.value("node show machine-1 -f value -c provision_state") != "manageable" {
            assert!(started.elapsed() < 3 * LIMIT, "{}", lab.log());
            std::thread::sleep(Duration::from_millis(500));
        }
        let inventories = ["machine-0", "machine-1"].map(|name| shell.value(&format!("node inventory save {name}")));
        // One server of the network that they share has given each its address.
        let addresses = inventories.each_ref().map(|inventory| {
            assert!(inventory.contains("/dev/nvme0n1"), "{inventory}");
            let inventory: serde_json::Value = serde_json::from_str(inventory).unwrap();
            let interfaces = inventory["inventory"]["interfaces"].as_array().unwrap();
            let mut addresses = interfaces.iter().filter_map(|interface| interface["ipv4_address"].as_str());
            addresses.find(|address| address.starts_with("192.168.77.")).unwrap_or_default().to_owned()
        });
        assert!(addresses[0] != addresses[1] && !addresses.contains(&String::new()), "{addresses:?}\n{inventories:?}");
    }

    let folder = after(&log, "console: ");
    let folder = Path::new(&folder).parent().unwrap();
    stop(&mut lab);
    assert_nothing_left("ferric-lab-");
    assert!(!folder.exists(), "{} is left", folder.display());
}
