//! Ironic's own clients, unmodified, take a machine through its life on our conductor.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use conductor_stub::boot_image::BootImage;
use conductor_stub::demo::machine::{MAC, Machine};
use ferric_tests::loop_device::LoopDevice;
use ferric_tests::process::Process;

use ferric_tests::deployment;

/// Installs the peers if they are not there, and finds them.
fn python() -> PathBuf {
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.ci/peers")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()).join("venv/bin/python")
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
    let mut script = Command::new(python());
    script.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/stub_clients.py"));
    script.args([machine.url.as_ref(), driver_info.as_os_str(), MAC.as_ref(), image.path.as_os_str()]);
    let mut script = Process::start(&mut script).unwrap();
    let done = script.wait_for("all done", Duration::from_secs(400));
    let logs = machine.logs();
    runtime.block_on(machine.stop());
    assert!(done.is_ok(), "{done:?}\n{logs}");
}
