//! A real Ironic, and a machine in a network of its own: BMC, DHCP and TFTP (dnsmasq, which Ironic tells what to say), files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use conductor_stub::boot_image::BootImage;
use ferric_tests::disk_image::{digest, run};
use ferric_tests::ironic::{Client, Ironic, Settings};
use ferric_tests::namespace::{BRIDGE, BRIDGE_ADDRESS};
use ferric_tests::network::{free_port, wait_for_port};
use ferric_tests::process::{Process, program};
use ferric_tests::{artefact, live_iso};
use serde_json::{Value, json};

use crate::boot::coreos;

pub(super) const UUID: &str = "0c3f9a52-0a3b-4a57-9d0c-5f6f6d1f2b03";
pub(super) const MAC: &str = "52:54:00:fe:44:2d";
/// What the user's own system says.
pub(super) const LIVE: &str = "FERRIC-LIVE under the real Ironic";
/// Of a rescue.
pub(super) const PASSWORD: &str = "open sesame";
const DISK_GIB: u64 = 5;
/// For one boot, emulated, on a busy host.
const BOOT: Duration = Duration::from_secs(300);

/// Dropped in the order of the fields.
pub(super) struct Lab {
    client: Client,
    node: String,
    ironic: Ironic,
    bmc: Process,
    dnsmasq: Process,
    files: Process,
    bmc_port: u16,
    files_port: u16,
    folder: tempfile::TempDir,
}

impl Lab {
    /// A lab whose node is enrolled. It is to be used inside the namespace.
    pub(super) fn start(image: &BootImage) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("ferric-ironic-boot-").tempdir()?;
        let path = |name: &str| folder.path().join(name);
        for name in ["http", "tftp", "hosts", "options"] {
            fs::create_dir(path(name))?;
        }
        for name in ["ironic-python-agent.kernel", "ironic-python-agent.initramfs", "esp.img"] {
            symlink(artefact::ramdisk(name)?.canonicalize()?, path("http").join(name))?;
        }
        symlink(image.path.canonicalize()?, path("http/image.raw"))?;
        live_iso::make(&path("http"), LIVE)?;
        let (files_port, bmc_port) = (free_port()?, free_port()?);
        let mut files = Command::new("python3");
        files.args(["-u", "-m", "http.server", "--bind", "0.0.0.0", "--directory"]).arg(path("http"));
        let files = Process::start(files.arg(files_port.to_string()))?;
        let dnsmasq = start_dnsmasq(folder.path())?;
        let ironic = Ironic::start(&Settings { require_tls: true, sections: sections(folder.path(), files_port) })?;
        let bmc = start_bmc(folder.path(), bmc_port)?;
        wait_for_port(bmc_port, Duration::from_secs(60))?;
        wait_for_port(files_port, Duration::from_secs(60))?;
        let client = Client::connect(ironic.url())?;
        let mut lab = Self { client, node: String::new(), ironic, bmc, dnsmasq, files, bmc_port, files_port, folder };
        lab.enrol(image)?;
        Ok(lab)
    }

    fn enrol(&mut self, image: &BootImage) -> Result<()> {
        let (kernel, ramdisk) = (self.url("ironic-python-agent.kernel"), self.url("ironic-python-agent.initramfs"));
        let node = self.client.call(
            "create_node",
            json!({"driver": "redfish", "name": "node-0", "boot_interface": "redfish-virtual-media",
                "driver_info": {
                    "redfish_address": format!("http://127.0.0.1:{}", self.bmc_port),
                    "redfish_username": "admin", "redfish_password": "secret",
                    "deploy_kernel": kernel, "deploy_ramdisk": ramdisk, "rescue_kernel": kernel, "rescue_ramdisk": ramdisk,
                    "bootloader": self.url("esp.img"), "fast_track": true,
                    // This network says nothing.
                    "kernel_append_params": "console=ttyS0 quiet panic=30 no_timer_check ipa-lldp-timeout=1"},
                "instance_info": self.instance(image)?,
                "properties": {"capabilities": "boot_mode:uefi"}}),
        )?;
        self.node = node.as_str().context("the node's id")?.to_owned();
        self.client.call("create_port", json!({"node": self.node, "address": MAC})).map(drop)
    }

    fn instance(&self, image: &BootImage) -> Result<Value> {
        Ok(json!({"image_source": self.url("image.raw"), "image_checksum": digest("sha256sum", &image.path)?,
            "image_disk_format": "raw"}))
    }

    /// The URL of a file that the lab serves.
    pub(super) fn url(&self, name: &str) -> String {
        format!("http://{BRIDGE_ADDRESS}:{}/{name}", self.files_port)
    }

    /// Moves the node by a verb and waits until it is there.
    pub(super) fn provision(&mut self, target: &str, arguments: Value) -> Result<()> {
        let (mut request, start) = (arguments, Instant::now());
        request["node"] = self.node.as_str().into();
        request["target"] = target.into();
        request["wait"] = json!(2 * BOOT.as_secs());
        let end = self.client.call("provision", request).with_context(|| self.logs())?;
        ensure!(end["last_error"].is_null(), "{target}: {end}\n{}", self.logs());
        eprintln!("{target} took {:.0?}", start.elapsed());
        Ok(())
    }

    /// Changes fields of the node.
    pub(super) fn patch(&mut self, changes: &[(&str, Value)]) -> Result<()> {
        let patch: Vec<Value> =
            changes.iter().map(|(path, value)| json!({"op": "add", "path": path, "value": value})).collect();
        self.client.call("patch_node", json!({"node": self.node, "patch": patch})).map(drop)
    }

    /// The node's record.
    pub(super) fn node(&mut self) -> Result<Value> {
        self.client.call("get_node", json!({"node": self.node}))
    }

    /// Takes a manageable node to a disk that boots, with one boot of the ramdisk by `interface`.
    pub(super) fn fast_life(&mut self, interface: &str, image: &BootImage) -> Result<()> {
        eprintln!("--- {interface}");
        let boots = self.boots();
        self.patch(&[("/boot_interface", json!(interface)), ("/instance_info", self.instance(image)?)])?;
        self.provision("inspect", json!({}))?;
        let inventory = self.client.call("inventory", json!({"node": self.node}))?;
        assert_eq!(inventory["inventory"]["interfaces"][0]["mac_address"], MAC);
        self.wait_until("the agent says that it lives", |lab| {
            Ok(!lab.node()?["driver_internal_info"]["agent_url"].is_null())
        })?;
        self.provision("provide", json!({}))?;
        assert_eq!(self.boots(), boots + 1, "fast track");
        let drive = json!({"meta_data": {"uuid": UUID, "hostname": "node-0"}, "user_data": "#cloud-config\n"});
        self.provision("active", json!({"config_drive": drive}))?;
        self.wait_for_console(&image.line)?;
        assert_eq!(self.boots(), boots + 2, "the disk's own boot is the only other one");
        let labels = labels(&self.folder.path().join("disk"))?;
        assert!(labels.iter().any(|label| label == "config-2"), "{labels:?}");
        Ok(())
    }

    /// Takes a manageable node to CoreOS: from its live ISO, with an agent that came by Ignition, by the step that installs it.
    pub(super) fn coreos_life(&mut self) -> Result<()> {
        let served = |name: &str| self.folder.path().join("http").join(name).display().to_string();
        symlink(artefact::static_agent()?, served("ferric-agent"))?;
        symlink(artefact::live_system("metal.raw.zst")?, served("metal.raw.zst"))?;
        let ignition = |arguments: &[&str]| run(&program("ferric-ignition").display().to_string(), arguments);
        let config = ignition(&[
            "config",
            &format!("--api-url={}", self.ironic.url().replace("127.0.0.1", BRIDGE_ADDRESS)),
            &format!("--binary-url={}", self.url("ferric-agent")),
            &format!("--binary-sha512={}", digest("sha512sum", Path::new(&served("ferric-agent")))?),
        ])?;
        fs::write(served("agent.ign"), config)?;
        let live = artefact::live_system("live.iso")?.display().to_string();
        ignition(&["iso", "embed", &live, "-i", &served("agent.ign"), "-o", &served("coreos.iso")])?;

        let sum = digest("sha256sum", Path::new(&served("metal.raw.zst")))?;
        let instance = json!({"image_source": self.url("metal.raw.zst"), "image_checksum": sum});
        self.patch(&[
            ("/driver_info/deploy_iso", json!(self.url("coreos.iso"))),
            ("/deploy_interface", json!("custom-agent")),
            ("/instance_info", instance),
        ])?;
        let remove = ["deploy_kernel", "deploy_ramdisk"]
            .map(|key| json!({"op": "remove", "path": format!("/driver_info/{key}")}));
        self.client.call("patch_node", json!({"node": self.node, "patch": remove}))?;
        let boots = self.boots();
        self.provision("provide", json!({}))?;
        let steps = json!([{"interface": "deploy", "step": "install_coreos", "priority": 80, "args": {}}]);
        let drive = json!({"user_data": coreos::user_data(), "meta_data": {"coreos_append_karg": ["console=ttyS0"]}});
        self.provision("active", json!({"deploy_steps": steps, "config_drive": drive}))?;
        self.wait_for_console(coreos::LINE)?;
        assert_eq!(self.boots(), boots + 2, "fast track, and the disk's own boot");
        Ok(())
    }

    /// Rescues the deployed machine, looks around there, and gives it back.
    pub(super) fn rescue_and_back(&mut self, image: &BootImage) -> Result<()> {
        self.provision("rescue", json!({"rescue_password": PASSWORD}))?;
        self.wait_until("somebody can log in", |lab| Ok(lab.rescued("id").is_ok_and(|who| who.contains("uid=0"))))?;
        self.provision("unrescue", json!({}))?;
        self.wait_for_console(&image.line)
    }

    /// Takes the instance away; cleaning is left out, which would be one boot more.
    pub(super) fn undeploy(&mut self) -> Result<()> {
        self.patch(&[("/automated_clean", json!(false))])?;
        self.provision("deleted", json!({}))?;
        self.patch(&[("/automated_clean", json!(true))])
    }

    /// How often the machine has been switched on.
    fn boots(&self) -> usize {
        self.ironic.log().matches("power state to power on by").count()
    }

    fn console(&self) -> String {
        let bytes = fs::read(self.folder.path().join("console")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn logs(&self) -> String {
        let ironic = self.ironic.log();
        let last: Vec<&str> = ironic.lines().rev().filter(|line| !line.contains(" DEBUG ")).take(60).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        format!(
            "--- Ironic\n{}\n--- BMC\n{}\n--- dnsmasq\n{}\n--- files\n{}\n--- console\n{}",
            last.join("\n"),
            self.bmc.log(),
            self.dnsmasq.log(),
            self.files.log(),
            self.console()
        )
    }

    fn wait_until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> Result<bool>) -> Result<()> {
        let start = Instant::now();
        while !is_so(self)? {
            ensure!(start.elapsed() < BOOT, "{what}: not so\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// Waits until the machine has said `text` since it was switched on.
    pub(super) fn wait_for_console(&mut self, text: &str) -> Result<()> {
        self.wait_until(text, |lab| Ok(lab.console().contains(text)))
    }

    /// A document of the machine's BMC.
    pub(super) fn redfish(&self, path: &str) -> Result<Value> {
        let url = format!("http://127.0.0.1:{}/redfish/v1/Systems/{UUID}{path}", self.bmc_port);
        let answer = Command::new("curl").args(["-sSf", "-u", "admin:secret", &url]).output()?;
        ensure!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
        Ok(serde_json::from_slice(&answer.stdout)?)
    }

    /// Runs a command in the rescued machine.
    fn rescued(&self, command: &str) -> Result<String> {
        let leases = fs::read_to_string(self.folder.path().join("leases"))?;
        let lease = leases.lines().rev().find(|lease| lease.contains(MAC)).context("no lease")?;
        let address = lease.split(' ').nth(2).context("a lease has an address")?;
        let output = Command::new("dbclient")
            .args(["-y", "-y", &format!("rescue@{address}"), command])
            .env("DROPBEAR_PASSWORD", PASSWORD)
            .env("HOME", self.folder.path())
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn sections(folder: &Path, files_port: u16) -> String {
    let folder = folder.display();
    format!(
        "
[DEFAULT]
my_ip = {BRIDGE_ADDRESS}
enabled_boot_interfaces = redfish-virtual-media,redfish-https,ipxe,http-ipxe
enabled_deploy_interfaces = direct,ramdisk,custom-agent
enabled_inspect_interfaces = agent,redfish
[api]
host_ip = 0.0.0.0
[service_catalog]
endpoint_override = http://{BRIDGE_ADDRESS}:@API_PORT@
[deploy]
http_root = {folder}/http
http_url = http://{BRIDGE_ADDRESS}:{files_port}
[inspector]
# else a boot from CD, in which no interface took part, ends every port's part in PXE
update_pxe_enabled = False
[dhcp]
dhcp_provider = dnsmasq
[dnsmasq]
dhcp_hostsdir = {folder}/hosts
dhcp_optsdir = {folder}/options
dhcp_leasefile = {folder}/leases
[pxe]
tftp_server = {BRIDGE_ADDRESS}
tftp_root = {folder}/tftp
loader_file_paths = snponly.efi:/usr/lib/ipxe/snponly.efi
"
    )
}

/// As Ironic's documentation has it; who is in no file of Ironic's gets an address, and nothing to boot.
fn start_dnsmasq(folder: &Path) -> Result<Process> {
    let file = |name: &str| -> PathBuf { folder.join(name) };
    let configuration = format!(
        "port=0
interface={BRIDGE}
bind-interfaces
user=root
pid-file=
log-facility=-
log-dhcp
dhcp-range=172.31.77.100,172.31.77.150,12h
dhcp-authoritative
no-ping
dhcp-leasefile={}
dhcp-hostsdir={}
dhcp-optsdir={}
dhcp-match=set:ipxe,175
enable-tftp
tftp-root={}
",
        file("leases").display(),
        file("hosts").display(),
        file("options").display(),
        file("tftp").display()
    );
    fs::write(file("dnsmasq.conf"), configuration)?;
    let mut command = Command::new("dnsmasq");
    command.arg("--keep-in-foreground").arg(format!("--conf-file={}", file("dnsmasq.conf").display()));
    let mut dnsmasq = Process::start(&mut command)?;
    dnsmasq.wait_for("DHCP, IP range", Duration::from_secs(20))?;
    Ok(dnsmasq)
}

fn start_bmc(folder: &Path, port: u16) -> Result<Process> {
    let machine = json!({"uuid": UUID, "name": "machine-0", "macs": [MAC],
        "qemu": {"state_dir": folder.join("machine"), "console": folder.join("console"), "memory_mib": 2048,
            "disks": [{"file": folder.join("disk"), "bus": "nvme", "size_gib": DISK_GIB}],
            "network": "tap,ifname=tap0,script=no,downscript=no"}});
    let file = folder.join("machine.json");
    fs::write(&file, machine.to_string())?;
    let mut command = Command::new(program("conductor-stub"));
    command.args(["bmc", "--user", "admin", "--listen", &format!("127.0.0.1:{port}"), "--machine"]).arg(&file);
    Process::start(command.env("BMC_PASSWORD", "secret"))
}

/// Labels of the file systems in the partitions of a disk.
fn labels(disk: &Path) -> Result<Vec<String>> {
    let shown = Command::new("partx").args(["--show", "--noheadings", "--output", "START"]).arg(disk).output()?;
    ensure!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let mut labels = Vec::new();
    for start in String::from_utf8(shown.stdout)?.split_whitespace() {
        let offset = (start.parse::<u64>()? * 512).to_string();
        let found =
            Command::new("blkid").args(["-p", "-o", "value", "-s", "LABEL", "-O", &offset]).arg(disk).output()?;
        labels.push(String::from_utf8(found.stdout)?.trim().to_owned());
    }
    Ok(labels)
}
