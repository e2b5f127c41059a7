//! A blank virtual machine behind a BMC becomes a deployed one: the conductor switches it on by Redfish, its UEFI
//! firmware boots the ramdisk, openstacksdk says what is to happen, and in the end the machine boots its own disk.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use conductor_stub::boot_image::BootImage;
use ferric_tests::artefact;
use ferric_tests::ironic::Client;
use ferric_tests::network::{free_port, wait_for_port};
use ferric_tests::process::{Process, program};
use serde_json::{Value, json};

use ferric_tests::deployment;

const UUID: &str = "0c3f9a52-0a3b-4a57-9d0c-5f6f6d1f2b01";
const MAC: &str = "52:54:00:fe:44:2b";
/// Agents take no disk below 4 GiB as their root disk.
const DISK_GIB: u64 = 5;
/// For one boot, emulated, on a busy host.
const BOOT: Duration = Duration::from_secs(300);

/// Everything that one test needs; dropped in the order of the fields.
struct Lab {
    client: Client,
    node: String,
    conductor: Process,
    bmc: Process,
    bmc_port: u16,
    api_port: u16,
    folder: tempfile::TempDir,
}

impl Lab {
    /// A conductor, a BMC, and an enrolled node that boots in this way.
    fn start(boot_interface: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("ferric-boot-").tempdir()?;
        let (api_port, agent, bmc_port) = (free_port()?, free_port()?, free_port()?);
        let conductor = start_conductor(folder.path(), api_port)?;
        let bmc = start_bmc(folder.path(), bmc_port, agent)?;
        wait_for_port(api_port, Duration::from_secs(20))?;
        wait_for_port(bmc_port, Duration::from_secs(20))?;
        let mut client = Client::connect(&format!("http://127.0.0.1:{api_port}"))?;
        let node = client.call(
            "create_node",
            json!({"driver": "redfish", "name": "node-0", "boot_interface": boot_interface,
                "driver_info": {
                    "redfish_address": format!("http://127.0.0.1:{bmc_port}"),
                    "redfish_username": "admin", "redfish_password": "secret",
                    // The way back to the agent leads through QEMU's port forwarding.
                    "kernel_append_params": format!("ipa-advertise-host=127.0.0.1 ipa-advertise-port={agent}")}}),
        )?;
        let node = node.as_str().context("the node's id")?.to_owned();
        client.call("create_port", json!({"node": node, "address": MAC}))?;
        Ok(Self { client, node, conductor, bmc, bmc_port, api_port, folder })
    }

    fn provision(&mut self, target: &str) -> Result<()> {
        let outcome = self.client.provision(&self.node, target, json!({}));
        outcome.with_context(|| self.logs())
    }

    fn console(&self) -> String {
        let bytes = fs::read(self.folder.path().join("console")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn logs(&self) -> String {
        let (conductor, bmc) = (self.conductor.log(), self.bmc.log());
        format!("--- conductor\n{conductor}\n--- BMC\n{bmc}\n--- console\n{}", self.console())
    }

    fn wait_for_console(&self, text: &str) -> Result<()> {
        let start = std::time::Instant::now();
        while !self.console().contains(text) {
            ensure!(start.elapsed() < BOOT, "the console does not say `{text}`\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// A document of the machine's BMC.
    fn redfish(&self, path: &str) -> Result<Value> {
        let url = format!("http://127.0.0.1:{}/redfish/v1/Systems/{UUID}{path}", self.bmc_port);
        Ok(serde_json::from_slice(&curl(&[&url])?)?)
    }

    /// Nothing inserted, nothing published, and the disk is what boots.
    fn assert_clear(&self) -> Result<()> {
        assert_eq!(self.redfish("")?["Boot"]["BootSourceOverrideTarget"], "Hdd");
        assert_eq!(self.redfish("/VirtualMedia/Cd")?["Inserted"], false);
        let media: Value =
            serde_json::from_slice(&curl(&[&format!("http://127.0.0.1:{}/stub/media", self.api_port)])?)?;
        assert_eq!(media["published"], json!([]));
        Ok(())
    }
}

/// What the BMC or the conductor answers.
fn curl(arguments: &[&str]) -> Result<Vec<u8>> {
    let answer = Command::new("curl").args(["-sSf", "-u", "admin:secret"]).args(arguments).output()?;
    ensure!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    Ok(answer.stdout)
}

/// Guests of QEMU's user network find this host at 10.0.2.2; the BMC is on the host itself.
fn start_conductor(folder: &Path, port: u16) -> Result<Process> {
    let config = folder.join("conductor.json");
    let options = json!({
        "public_url": format!("http://10.0.2.2:{port}"), "external_http_url": format!("http://127.0.0.1:{port}"),
        "ramdisk_efi": artefact::ramdisk("ferric.efi")?, "ramdisk_iso": artefact::ramdisk("ferric.iso")?,
        "file_url_allowed_paths": [deployment::programs().cache],
        "heartbeat_timeout_seconds": 30, "callback_timeout_seconds": BOOT.as_secs(),
    });
    fs::write(&config, options.to_string())?;
    let mut command = Command::new(program("conductor-stub"));
    command.args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--state-dir"]).arg(folder.join("conductor"));
    Process::start(command.arg("--config").arg(config))
}

fn start_bmc(folder: &Path, port: u16, agent: u16) -> Result<Process> {
    let disk = folder.join("disk");
    File::create(&disk)?.set_len(DISK_GIB << 30)?;
    let machine = json!({"uuid": UUID, "name": "machine-0", "macs": [MAC],
        "qemu": {"state_dir": folder.join("machine"), "console": folder.join("console"), "memory_mib": 1024,
            "disks": [{"file": disk, "bus": "nvme"}],
            "network": format!("user,hostfwd=tcp:127.0.0.1:{agent}-:9999")}});
    let file = folder.join("machine.json");
    fs::write(&file, machine.to_string())?;
    let mut command = Command::new(program("conductor-stub"));
    command.args(["bmc", "--user", "admin", "--listen", &format!("127.0.0.1:{port}"), "--machine"]).arg(&file);
    Process::start(command.env("BMC_PASSWORD", "secret"))
}

/// The configuration of docs/boot.md: a blank machine, its BMC, what it boots and what it is to become.
#[test]
fn one_command_takes_a_blank_machine_to_a_deployed_one() -> Result<()> {
    let image = BootImage::get(&deployment::programs().cache)?;
    let folder = tempfile::Builder::new().prefix("ferric-boot-").tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let (api, agent, bmc) = (free_port()?, free_port()?, free_port()?);
    let config = json!({
        "public_url": format!("http://10.0.2.2:{api}"),
        "ramdisk_efi": artefact::ramdisk("ferric.efi")?,
        "file_url_allowed_paths": [deployment::programs().cache],
        "bmc": {"listen": format!("127.0.0.1:{bmc}"), "account": {"user": "admin", "password": "secret"}, "machines": [
            {"uuid": UUID, "name": "machine-0", "macs": [MAC], "qemu": {"state_dir": path("machine"), "console": path("console"),
             "disks": [{"file": path("disk"), "bus": "nvme", "size_gib": DISK_GIB}], "network": format!("user,hostfwd=tcp:127.0.0.1:{agent}-:9999")}}]},
        "heartbeat_timeout_seconds": 30, "fast_track": true,
        "nodes": [{"name": "node-0", "ports": [MAC], "boot_interface": "redfish-https",
            "driver_info": {"redfish_address": format!("http://127.0.0.1:{bmc}"), "redfish_username": "admin", "redfish_password": "secret",
                "kernel_append_params": format!("ipa-advertise-host=127.0.0.1 ipa-advertise-port={agent}")},
            "instance_info": {"image_source": image.path, "image_os_hash_algo": "sha256", "image_os_hash_value": sha256(&image.path)?}}],
    });
    fs::write(path("conductor.json"), config.to_string())?;
    let mut command = Command::new(program("conductor-stub"));
    command.args(["serve", "--listen", &format!("127.0.0.1:{api}"), "--state-dir"]).arg(path("conductor"));
    let mut conductor = Process::start(command.arg("--config").arg(path("conductor.json")))?;
    let console = || String::from_utf8_lossy(&fs::read(path("console")).unwrap_or_default()).into_owned();
    // `node-0 is active`, or why it is not.
    conductor.wait_for("\nnode-0", 4 * BOOT).with_context(console)?;
    ensure!(conductor.log().contains("\nnode-0 is active\n"), "{}\n{}", conductor.log(), console());
    let again = conductor.log().matches("the ramdisk is up already").count();
    assert_eq!(again, 2, "cleaning and deployment go on with what inspection has booted\n{}", conductor.log());

    let start = std::time::Instant::now();
    while !console().contains(&image.line) {
        ensure!(start.elapsed() < BOOT, "the deployed disk does not boot\n{}\n{}", conductor.log(), console());
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut client = Client::connect(&format!("http://127.0.0.1:{api}"))?;
    let inventory = client.call("inventory", json!({"node": "node-0"}))?;
    assert_eq!(inventory["inventory"]["disks"][0]["name"], "/dev/nvme0n1");
    assert_eq!(inventory["inventory"]["boot"]["current_boot_mode"], "uefi");
    assert_eq!(inventory["inventory"]["interfaces"][0]["mac_address"], MAC);
    Ok(())
}

fn sha256(file: &Path) -> Result<String> {
    let output = Command::new("sha256sum").arg(file).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.split(' ').next().context("sha256sum prints a digest")?.to_owned())
}

#[test]
fn a_blank_machine_is_deployed_by_virtual_media() -> Result<()> {
    let image = BootImage::get(&deployment::programs().cache)?;
    let mut lab = Lab::start("redfish-virtual-media")?;
    lab.provision("manage")?;
    lab.provision("inspect")?;
    assert_eq!(lab.redfish("")?["PowerState"], "Off");
    lab.provision("provide")?;
    let source = json!([{"op": "add", "path": "/instance_info/image_source", "value": image.path}]);
    lab.client.call("patch_node", json!({"node": lab.node, "patch": source}))?;
    lab.provision("active")?;
    lab.wait_for_console(&image.line)?;
    lab.assert_clear()
}

#[test]
fn a_medium_that_cannot_be_inserted_leaves_nothing_behind() -> Result<()> {
    let mut lab = Lab::start("redfish-virtual-media")?;
    lab.provision("manage")?;
    let refusal = r#"[{"path": "InsertMedia", "status": 400, "message": "no such image"}]"#;
    let dead_url = r#"{"path": "/artefacts/", "times": 1, "action": "status", "status": 404}"#;
    let json = "Content-Type: application/json";
    for (url, fault, reason) in [
        (format!("http://127.0.0.1:{}/faults", lab.bmc_port), refusal, "no such image"),
        (format!("http://127.0.0.1:{}/stub/faults", lab.api_port), dead_url, "404"),
    ] {
        curl(&["-H", json, "-d", fault, &url])?;
        let error = lab.provision("inspect").unwrap_err().root_cause().to_string();
        assert!(error.starts_with("inspect ended inspect failed") && error.contains(reason), "{error}");
        assert_eq!(lab.redfish("")?["PowerState"], "Off");
        lab.assert_clear()?;
        lab.provision("manage")?;
    }
    Ok(())
}
