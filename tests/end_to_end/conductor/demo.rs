//! `conductor-stub demo`: the whole life of a machine, and nothing left of it.

use std::process::Command;
use std::time::Duration;

use ferric_tests::process::{Process, program};

use super::assert_nothing_left;

const LIMIT: Duration = Duration::from_secs(170);

fn demo() -> Process {
    Process::start(Command::new(program("conductor-stub")).arg("demo")).unwrap()
}

/// All cases in one test: they would see each other's leftovers.
#[test]
fn the_demo_deploys_and_leaves_nothing_behind() {
    let mut whole = demo();
    let code = whole.wait(LIMIT).unwrap();
    let output = whole.log();
    assert_eq!(code, Some(0), "{output}");
    for word in ["inspect", "clean", "write_image", "identical; 2 partitions", "config drive found"] {
        assert!(output.contains(word), "no `{word}` in\n{output}");
    }
    assert_nothing_left("ferric-demo-");

    let mut kept = Process::start(Command::new(program("conductor-stub")).args(["demo", "--keep"])).unwrap();
    kept.wait_for("baremetal node list", LIMIT).unwrap();
    let log = kept.log();
    let url = log.split("OS_ENDPOINT=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let node = Command::new("curl")
        .args(["--silent", "--fail", "--header", "X-OpenStack-Ironic-API-Version: 1.95"])
        .arg(format!("{url}/v1/nodes/demo"))
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&node.stdout).contains("\"active\""), "{node:?}");
    let id = kept.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(kept.wait(LIMIT).unwrap(), Some(0), "{}", kept.log());
    assert_nothing_left("ferric-demo-");

    let mut interrupted = demo();
    interrupted.wait_for("inspect wait", LIMIT).unwrap();
    let id = interrupted.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(interrupted.wait(LIMIT).unwrap(), Some(1), "{}", interrupted.log());
    assert_nothing_left("ferric-demo-");
}
