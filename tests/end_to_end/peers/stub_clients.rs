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

/// A conductor, and a BMC with one machine that never calls.
struct Bench {
    work: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    conductor: Server,
    bmc: BmcServer,
}

impl Bench {
    fn start(config: Config) -> Self {
        let work = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let machine = serde_json::json!({"uuid": "27946b59-9e44-4fa7-8e91-f3527a1ef094", "name": "machine-0",
            "macs": ["52:54:00:aa:bb:01"], "process": {"command": ["sleep", "600"], "log": work.path().join("machine.log")}});
        let machines = vec![serde_json::from_value(machine).unwrap()];
        let any = ([127, 0, 0, 1], 0).into();
        let setup = Setup { listen: any, account: None, tls: None, machines };
        let (bmc, conductor) = runtime.block_on(async {
            let bmc = BmcServer::start(setup).await.unwrap();
            (bmc, Server::start(config, &work.path().join("conductor"), any).await.unwrap())
        });
        Self { work, runtime, conductor, bmc }
    }

    /// The conductor's URL and the BMC's.
    fn urls(&self) -> [String; 2] {
        [self.conductor.address, self.bmc.address].map(|address| format!("http://{address}"))
    }

    /// An ISO, as far as a BMC looks.
    fn iso(&self) -> PathBuf {
        let iso = self.work.path().join("instance.iso");
        std::fs::write(&iso, vec![0; 1 << 20]).unwrap();
        iso
    }

    /// Runs a client until it says that all is done.
    fn runs(self, client: &mut Command) {
        let mut client = Process::start(client).unwrap();
        let done = client.wait_for("all done", Duration::from_secs(170));
        self.runtime.block_on(async {
            self.conductor.stop().await;
            self.bmc.stop().await;
        });
        assert!(done.is_ok(), "{done:?}\n{}", client.log());
    }
}

fn without_cleaning() -> Config {
    Config { automated_clean: false, ..Config::default() }
}

#[test]
fn openstacksdk_and_the_baremetal_command_find_what_they_look_for() {
    let bench = Bench::start(Config::default());
    let mut script = Command::new(python("venv"));
    script.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/stub_api.py")).args(bench.urls());
    bench.runs(&mut script);
}

#[test]
fn ansible_enrols_inspects_and_deploys() {
    let bench = Bench::start(without_cleaning());
    let program = python("ansible").with_file_name("ansible-playbook");
    let collections = program.ancestors().nth(2).unwrap().join("collections");
    let [url, bmc] = bench.urls();
    let mut playbook = Command::new(program);
    playbook.env("ANSIBLE_COLLECTIONS_PATH", collections).env("ANSIBLE_HOME", bench.work.path().join("ansible"));
    playbook.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/stub_ansible.yaml"));
    for (name, value) in [("url", url), ("bmc", bmc), ("iso", bench.iso().display().to_string())] {
        playbook.arg("--extra-vars").arg(format!("{name}={value}"));
    }
    bench.runs(&mut playbook);
}

#[test]
fn gophercloud_enrols_inspects_and_deploys() {
    let bench = Bench::start(without_cleaning());
    let program = bench.work.path().join("client");
    let mut build = Command::new("go");
    build
        .args(["build", "-o"])
        .arg(&program)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/stub_gophercloud"));
    // As Debian packages it: no module is fetched.
    build.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode").env("GOCACHE", bench.work.path().join("cache"));
    let built = build.output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let mut client = Command::new(program);
    client.args(bench.urls()).arg(bench.iso());
    bench.runs(&mut client);
}
