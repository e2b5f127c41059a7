//! Ironic's clients, unmodified, on our conductor: its own take a machine through its life, others choose and deploy.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use conductor_stub::bmc::server::{BmcServer, Setup};
use conductor_stub::boot_image::BootImage;
use conductor_stub::config::Config;
use conductor_stub::demo::machine::{MAC, Machine};
use conductor_stub::server::Server;
use ferric_tests::loop_device::LoopDevice;
use ferric_tests::process::Process;

use ferric_tests::deployment;

/// Installs the peers if they are not there, and finds Python with those of `environment`.
fn python(environment: &str) -> PathBuf {
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.ci/peers")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()).join(environment).join("bin/python")
}

#[test]
fn metalsmith_deploys_what_it_is_to_find() {
    let work = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = Config { require_tls: false, ..Config::default() };
    let conductor = runtime.block_on(Server::start(config, work.path(), ([127, 0, 0, 1], 0).into())).unwrap();
    let mut script = Command::new(python("clients"));
    script.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/stub_metalsmith.py")).arg(&conductor.url);
    let mut script = Process::start(&mut script).unwrap();
    let done = script.wait_for("all done", Duration::from_secs(170));
    assert!(done.is_ok(), "{done:?}\n{}", script.log());
}

#[test]
fn openstacksdk_and_the_baremetal_command_drive_a_life() {
    let image = BootImage::get(&deployment::programs().cache).unwrap();
    let disk = LoopDevice::new(1 << 30).unwrap();
    let work = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let machine = runtime.block_on(Machine::start(&deployment::programs(), work.path(), disk.path())).unwrap();
    let driver_info = work.path().join("driver_info.json");
    std::fs::write(&driver_info, machine.driver_info().to_string()).unwrap();
    let mut script = Command::new(python("venv"));
    script.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/stub_clients.py"));
    script.args([machine.url.as_ref(), driver_info.as_os_str(), MAC.as_ref(), image.path.as_os_str()]);
    let mut script = Process::start(&mut script).unwrap();
    let done = script.wait_for("all done", Duration::from_secs(400));
    let logs = machine.logs();
    runtime.block_on(machine.stop());
    assert!(done.is_ok(), "{done:?}\n{logs}");
}

#[test]
fn openstacksdk_and_the_baremetal_command_find_what_they_look_for() {
    let work = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let machine = serde_json::json!({"uuid": "27946b59-9e44-4fa7-8e91-f3527a1ef094", "name": "machine-0",
        "macs": ["52:54:00:aa:bb:01"], "process": {"command": ["sleep", "600"], "log": work.path().join("machine.log")}});
    let machines = vec![serde_json::from_value(machine).unwrap()];
    let any = ([127, 0, 0, 1], 0).into();
    let setup = Setup { listen: any, account: None, tls: None, machines };
    let (bmc, conductor) = runtime.block_on(async {
        let bmc = BmcServer::start(setup).await.unwrap();
        (bmc, Server::start(Config::default(), &work.path().join("conductor"), any).await.unwrap())
    });
    let mut script = Command::new(python("venv"));
    script.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/stub_api.py"));
    script.args([format!("http://{}", conductor.address), format!("http://{}", bmc.address)]);
    let mut script = Process::start(&mut script).unwrap();
    let done = script.wait_for("all done", Duration::from_secs(170));
    assert!(done.is_ok(), "{done:?}\n{}", script.log());
}
