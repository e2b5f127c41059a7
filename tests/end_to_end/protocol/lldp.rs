//! LLDP beside a real speaker of it, lldpd, in network namespaces.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use ferric_hardware::lldp::{Capture, Tlv};
use ferric_hardware::machine::Machine;
use ferric_tests::namespace::Namespace;
use ferric_tests::process::Process;

/// Never waited for: the tests end long before, or do not end.
const LONG: Duration = Duration::from_secs(3600);
const CHASSIS_ID: u8 = 1;
const PORT_ID: u8 = 2;
const SYSTEM_NAME: u8 = 5;
const END: u8 = 0;

/// A machine whose sysfs has these interfaces, each with or without a link.
fn machine(interfaces: &[(&str, bool)]) -> (tempfile::TempDir, Machine) {
    let root = tempfile::tempdir().unwrap();
    for (name, has_link) in interfaces {
        let directory = root.path().join("sys/class/net").join(name);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("carrier"), if *has_link { "1\n" } else { "0\n" }).unwrap();
        symlink(".", directory.join("device")).unwrap();
    }
    let machine = Machine::at(root.path());
    (root, machine)
}

fn lldpd(namespace: &Namespace, socket: &Path) -> Process {
    let mut command = namespace.command("lldpd");
    command.args(["-d", "-I", "eth0", "-C", "eth0", "-S", "a switch of the test", "-u"]).arg(socket);
    Process::start(&mut command).unwrap()
}

#[test]
fn a_capture_ends_when_every_link_has_heard_its_switch() {
    let (here, there) = Namespace::pair().unwrap();
    here.ip(&["link", "add", "spare0", "type", "veth", "peer", "name", "spare1"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let _speaker = lldpd(&there, &folder.path().join("socket"));
    // Nothing is plugged into the second one: it is not waited for.
    let (_root, machine) = machine(&[("eth0", true), ("spare0", false)]);
    let heard = here.inside(|| Ok(Capture::start(&machine, LONG).wait())).unwrap();
    assert_eq!(heard["spare0"], []);
    let kinds: Vec<u8> = heard["eth0"].iter().map(|Tlv(kind, _)| *kind).collect();
    assert_eq!(kinds[..2], [CHASSIS_ID, PORT_ID]);
    assert!(kinds.contains(&SYSTEM_NAME), "{kinds:?}");
    assert_eq!((kinds.last(), kinds.iter().filter(|kind| **kind == END).count()), (Some(&END), 1));
    let said = |text: &str| heard["eth0"].iter().any(|Tlv(_, value)| value.contains(&hex(text)));
    assert!(said("a switch of the test"), "{heard:?}");
}

#[test]
fn a_silent_network_is_given_up_after_the_limit() {
    let (here, _there) = Namespace::pair().unwrap();
    let (_root, machine) = machine(&[("eth0", true), ("missing0", true)]);
    let heard = here.inside(|| Ok(Capture::start(&machine, Duration::from_millis(600)).wait())).unwrap();
    assert_eq!(heard.into_iter().collect::<Vec<_>>(), [("eth0".to_string(), Vec::new())]);
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}
