//! One machine under a real Ironic: BMC, disk, agent, and a server of images.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferric_tests::ironic::{Client, Ironic, Settings};
use ferric_tests::loop_device::LoopDevice;
use ferric_tests::network::{free_port, wait_for_port};
use ferric_tests::process::{Process, program};
use serde_json::{Value, json};

use super::containers::Containers;

const UUID: &str = "27946b59-9e44-4fa7-8e91-f3527a1ef094";
pub(super) const MAC: &str = "52:54:00:aa:bb:01";

/// How long a program of the lab may take to do its part on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// Steps of the lab's own: one that waits until it may go on, one that fails, one that writes to the disk.
const PLUGIN: &str = r#"#!/bin/sh
folder=$(dirname "$0")/..
case $1 in
list)
    step='"interface": "deploy", "priority": 0'
    text='{"text": {"description": "What is written to the start of the disk", "required": true}}'
    steps="[{\"step\": \"pause\", $step}, {\"step\": \"fail\", $step}, {\"step\": \"stamp\", $step, \"argsinfo\": $text}]"
    echo "{\"manager\": \"LabHardwareManager\", \"version\": \"1\", \"support\": 3,
           \"steps\": {\"clean\": $steps, \"deploy\": $steps, \"service\": $steps}}" ;;
run)
    request=$(cat)
    field() { printf %s "$request" | jq -re "$1"; }
    case $(field .step) in
    fail) echo "the lab wants it so" >&2; exit 1 ;;
    pause)
        touch "$folder/pausing"
        while [ -e "$folder/pausing" ]; do sleep 0.1; done ;;
    stamp) field .args.text | dd of="$(field .allowed_devices[0])" conv=notrunc,fsync status=none ;;
    esac ;;
esac
"#;

/// Everything that one test needs; dropped in the order of the fields.
pub(super) struct Lab {
    pub(super) client: Client,
    /// The node's UUID at Ironic.
    pub(super) node: String,
    bmc_port: u16,
    _bmc: Process,
    _images: Process,
    pub(super) containers: Containers,
    pub(super) ironic: Ironic,
    pub(super) disk: LoopDevice,
    image_port: u16,
    pub(super) folder: tempfile::TempDir,
}

impl Lab {
    /// A lab whose machine nobody has enrolled.
    pub(super) fn bare(mut settings: Settings) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("ferric-lab-").tempdir()?;
        std::fs::create_dir_all(folder.path().join("images"))?;
        let disk = LoopDevice::new(512 << 20)?;
        let containers = Containers::start(folder.path())?;
        settings.sections += &containers.section();
        let ironic = Ironic::start(&settings)?;
        let image_port = free_port()?;
        let images = Process::start(
            Command::new("python3")
                .args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"])
                .arg(folder.path().join("images"))
                .arg(image_port.to_string()),
        )?;
        let bmc_port = free_port()?;
        let bmc = start_bmc(folder.path(), bmc_port, &ironic, &disk, &containers)?;
        wait_for_port(image_port, LIMIT)?;
        wait_for_port(bmc_port, LIMIT)?;
        let (client, node) = (Client::connect(ironic.url())?, String::new());
        Ok(Self { client, node, bmc_port, _bmc: bmc, _images: images, containers, ironic, disk, image_port, folder })
    }

    /// A lab whose node is enrolled and manageable.
    pub(super) fn new(settings: Settings) -> Result<Self> {
        let mut lab = Self::bare(settings)?;
        let mut driver_info = lab.ramdisks();
        driver_info["redfish_address"] = format!("http://127.0.0.1:{}", lab.bmc_port).into();
        driver_info["redfish_system_id"] = format!("/redfish/v1/Systems/{UUID}").into();
        let node = lab.client.call(
            "create_node",
            json!({"driver": "redfish", "name": "node-0", "driver_info": driver_info,
                "properties": {"root_device": {"name": lab.disk.path()}, "cpu_arch": "x86_64"}}),
        )?;
        lab.node = node.as_str().context("the node's id")?.to_string();
        lab.client.call("create_port", json!({"node": lab.node, "address": MAC}))?;
        lab.client.provision(&lab.node, "manage", json!({}))?;
        Ok(lab)
    }

    /// What Ironic wants to hear about ramdisks; the machine of the lab boots none.
    pub(super) fn ramdisks(&self) -> Value {
        let (kernel, ramdisk) = (self.ironic.dummy_file("kernel"), self.ironic.dummy_file("ramdisk"));
        json!({"deploy_kernel": kernel, "deploy_ramdisk": ramdisk, "rescue_kernel": kernel, "rescue_ramdisk": ramdisk})
    }

    /// The machine's BMC as a BareMetalHost names it.
    pub(super) fn bmc_address(&self) -> String {
        format!("redfish+http://127.0.0.1:{}/redfish/v1/Systems/{UUID}", self.bmc_port)
    }

    /// Where images are put to be served.
    pub(super) fn images(&self) -> PathBuf {
        self.folder.path().join("images")
    }

    /// The URL of a file in [`Lab::images`].
    pub(super) fn image_url(&self, file: &Path) -> String {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        format!("http://127.0.0.1:{}/{name}", self.image_port)
    }

    /// Moves the node; on failure the error holds the agent's log.
    pub(super) fn provision(&mut self, target: &str, arguments: Value) -> Result<()> {
        let outcome = self.client.provision(&self.node.clone(), target, arguments);
        outcome.with_context(|| format!("agent log:\n{}", self.agent_log()))
    }

    /// Sets the node's `instance_info` and deploys it.
    pub(super) fn deploy(&mut self, instance_info: Value, arguments: Value) -> Result<()> {
        self.patch(json!([{"op": "replace", "path": "/instance_info", "value": instance_info}]))?;
        self.provision("active", arguments)
    }

    /// Changes the node's record by a JSON patch.
    pub(super) fn patch(&mut self, patch: Value) -> Result<()> {
        self.client.call("patch_node", json!({"node": self.node, "patch": patch})).map(drop)
    }

    /// Waits until the node, on its way since [`Lab::start`], is in `state`.
    pub(super) fn reach(&mut self, state: &str) -> Result<()> {
        let end = self.client.call("wait", json!({"node": self.node, "state": state, "timeout": 240}))?;
        ensure!(end["provision_state"] == state, "{end}; agent log:\n{}", self.agent_log());
        Ok(())
    }

    /// What the agents of this machine have logged.
    pub(super) fn agent_log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("agent.log")).unwrap_or_default()
    }

    /// Waits until a step `pause` runs; it does so until [`Lab::resume`].
    pub(super) fn wait_for_pause(&self) -> Result<()> {
        let start = std::time::Instant::now();
        while !self.pausing() {
            ensure!(start.elapsed() < LIMIT, "no step pauses:\n{}", self.agent_log());
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Lets the step `pause` end.
    pub(super) fn resume(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.folder.path().join("pausing"))?)
    }

    /// Whether a step `pause` runs, or ran until it was killed.
    fn pausing(&self) -> bool {
        self.folder.path().join("pausing").exists()
    }

    /// Starts to move the node, and returns at once.
    pub(super) fn start(&mut self, target: &str, arguments: Value) -> Result<()> {
        let mut request = arguments;
        request["node"] = self.node.as_str().into();
        request["target"] = target.into();
        self.client.call("provision", request).map(drop)
    }

    /// Brings the node back from a failed cleaning to `manageable`.
    pub(super) fn recover(&mut self) -> Result<()> {
        self.client.call("end_maintenance", json!({"node": self.node}))?;
        self.start("manage", json!({}))?;
        self.reach("manageable")
    }

    /// Ends the agent as a crash would.
    pub(super) fn kill_agent(&self) -> Result<()> {
        let status = Command::new("kill").args(["-9", &self.agent_pid()?.to_string()]).status()?;
        ensure!(status.success(), "the agent could not be killed");
        Ok(())
    }

    /// The process id of the agent that runs now.
    fn agent_pid(&self) -> Result<u32> {
        let pattern = format!("ferric-agent run .*--state-dir={}", self.state_dir().display());
        let found = Command::new("pgrep").args(["-f", &format!("^[^ ]*{pattern}")]).output()?;
        let text = String::from_utf8_lossy(&found.stdout).into_owned();
        let pids: Vec<&str> = text.lines().collect();
        ensure!(pids.len() == 1, "expected one agent, found {pids:?}");
        Ok(pids[0].parse()?)
    }

    fn state_dir(&self) -> PathBuf {
        self.folder.path().join("agent-state")
    }
}

fn start_bmc(folder: &Path, port: u16, ironic: &Ironic, disk: &LoopDevice, containers: &Containers) -> Result<Process> {
    let steps = folder.join("steps.d");
    std::fs::create_dir(&steps)?;
    std::fs::write(steps.join("lab"), PLUGIN)?;
    std::fs::set_permissions(steps.join("lab"), std::fs::Permissions::from_mode(0o755))?;
    let hardware = folder.join("hardware.json");
    let simulated = json!({"interfaces": [{"name": "eth0", "mac_address": MAC, "ipv4_address": "192.0.2.10", "has_carrier": true}]});
    std::fs::write(&hardware, simulated.to_string())?;
    let agent = [
        program("ferric-agent").display().to_string(),
        "run".into(),
        format!("--api-url={}", ironic.url()),
        "--inspection-collectors=default,logs".into(),
        "--listen-host=127.0.0.1".into(),
        format!("--listen-port={}", free_port()?),
        "--advertise-host=127.0.0.1".into(),
        format!("--allow-device={}", disk.path().display()),
        format!("--simulated-hardware={}", hardware.display()),
        format!("--state-dir={}", folder.join("agent-state").display()),
        format!("--steps-dir={}", steps.display()),
        "--coreos-native-install".into(),
        "--debug".into(),
    ];
    // Switching on is a new boot: whatever an earlier one kept in memory is gone. An agent that dies is started again,
    // as systemd does on a real machine; one that ends well has switched the machine off.
    let state = folder.join("agent-state");
    let boot = format!("rm -rf {}; until setpriv --pdeathsig KILL \"$@\"; do sleep 1; done", state.display());
    let command: Vec<String> = ["sh", "-c", &boot, "boot"].map(String::from).into_iter().chain(agent).collect();
    let machine = json!({"uuid": UUID, "name": "node-0", "macs": [MAC],
        "process": {"command": command, "log": folder.join("agent.log"), "environment": containers.environment()}});
    let file = folder.join("machine.json");
    std::fs::write(&file, machine.to_string())?;
    let mut command = Command::new(program("conductor-stub"));
    command.args(["bmc", "--listen", &format!("127.0.0.1:{port}"), "--machine"]).arg(&file);
    Process::start(&mut command)
}
