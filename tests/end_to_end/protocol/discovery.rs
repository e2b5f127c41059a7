//! An agent that is told nothing but `mdns` finds the Ironic of its network.

use std::net::IpAddr;
use std::time::Duration;

use ferric_tests::conductor::Conductor;
use ferric_tests::loop_device::LoopDevice;
use ferric_tests::namespace::Namespace;
use ferric_tests::peers;
use ferric_tests::process::{Process, program};
use serde_json::json;

const IRONIC: &str = "192.0.2.1";
const LIMIT: Duration = Duration::from_secs(120);

/// An agent that knows no URL and asks for one, for three seconds per attempt.
fn agent(network: &Namespace, folder: &std::path::Path, attempts: u32, arguments: &[&str]) -> Process {
    let conf = folder.join("agent.conf");
    std::fs::write(&conf, format!("[DEFAULT]\napi_url = mdns\n[mdns]\nlookup_attempts = {attempts}\n")).unwrap();
    let hardware = folder.join("hardware.json");
    let interface = json!({"name": "eth0", "mac_address": "52:54:00:aa:bb:01", "has_carrier": true});
    std::fs::write(&hardware, json!({"interfaces": [interface]}).to_string()).unwrap();
    let mut command = network.command(program("ferric-agent"));
    command.arg("run").arg(format!("--simulated-hardware={}", hardware.display())).args(arguments);
    command.arg(format!("--config-file={}", conf.display()));
    command.arg(format!("--state-dir={}", folder.join("state").display()));
    Process::start(&mut command).unwrap()
}

#[test]
fn ironics_own_announcement_leads_to_ironic() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), LoopDevice::new(64 << 20).unwrap());
    let (there, here) = Namespace::pair().unwrap();
    let conductor = there.inside(|| Conductor::start_at(IRONIC.parse::<IpAddr>()?)).unwrap();
    let url = format!("http://{IRONIC}:{}", conductor.port());
    let mut announcer = Process::start(
        there
            .command(peers::folder().unwrap().join("venv/bin/python"))
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/announce.py"))
            .args([IRONIC, "baremetal", &url])
            // One option that an announcement may set, and one that it may not.
            .args([&format!("ipa_inspection_callback_url={url}/somewhere"), "ipa_listen_port=1"]),
    )
    .unwrap();
    announcer.wait_for("announced", LIMIT).unwrap();

    let allowed = format!("--allow-device={}", disk.path().display());
    let agent = agent(&here, folder.path(), 30, &["--listen-port=9999", &allowed]);
    let heartbeat = conductor.heartbeat(LIMIT).map_err(|error| error.context(agent.log())).unwrap();
    assert_eq!(heartbeat["callback_url"], "https://192.0.2.2:9999");
    let inspected = conductor.received("/somewhere");
    assert_eq!(inspected[0]["inventory"]["interfaces"][0]["mac_address"], "52:54:00:aa:bb:01", "{}", agent.log());
}

#[test]
fn without_an_answer_an_agent_that_relies_on_it_ends() {
    let (folder, network) = (tempfile::tempdir().unwrap(), Namespace::new().unwrap());
    let mut agent = agent(&network, folder.path(), 1, &["--allow-device=/dev/null"]);
    assert_eq!(agent.wait(LIMIT).unwrap(), Some(1));
    assert!(agent.log().contains("names the service baremetal"), "{}", agent.log());
}
