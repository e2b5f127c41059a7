//! One blank machine in a network of its own boots in every other way: its firmware loads the ramdisk's ISO from the URL
//! that the BMC names, then the EFI program from the URL that DHCP names, its network card iPXE and that the ramdisk's kernel, and
//! in the end the live systems of its users.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ferric_tests::artefact;
use ferric_tests::ironic::Client;
use ferric_tests::live_iso;
use ferric_tests::namespace::{BRIDGE, BRIDGE_ADDRESS, Namespace};
use ferric_tests::process::{Process, program};
use serde_json::{Value, json};

const UUID: &str = "0c3f9a52-0a3b-4a57-9d0c-5f6f6d1f2b02";
const MAC: &str = "52:54:00:fe:44:2c";
const DISK_GIB: u64 = 5;
/// For one boot, emulated, on a busy host.
const BOOT: Duration = Duration::from_secs(300);
const LIVE: &str = "FERRIC-LIVE the user's own system";

/// Dropped in this order: the namespace goes last.
struct Lab {
    client: Client,
    conductor: Process,
    folder: tempfile::TempDir,
    namespace: Namespace,
}

impl Lab {
    fn start() -> Result<Self> {
        let namespace = Namespace::bridged()?;
        namespace.add_tap("tap0")?;
        let folder = tempfile::Builder::new().prefix("ferric-paths-").tempdir()?;
        let path = |name: &str| folder.path().join(name);
        let url = format!("http://{BRIDGE_ADDRESS}:6385");
        let config = json!({
            "ramdisk_efi": artefact::ramdisk("ferric.efi")?, "ramdisk_iso": artefact::ramdisk("ferric.iso")?,
            // A network of its own, without anybody else.
            "allow_unauthenticated_access_from_the_network": true, "journal_kib": 8192,
            "file_url_allowed_paths": [folder.path(), artefact::ramdisk("ferric.iso")?.parent(), "/boot"],
            "heartbeat_timeout_seconds": 30, "callback_timeout_seconds": BOOT.as_secs(),
            "dhcp": {"interface": BRIDGE, "range": ["172.31.77.100", "172.31.77.150"]},
            "bmc": {"account": {"user": "admin", "password": "secret"}, "machines": [
                {"uuid": UUID, "name": "machine-0", "macs": [MAC],
                 "qemu": {"state_dir": path("machine"), "console": path("console"),
                          "disks": [{"file": path("disk"), "bus": "nvme", "size_gib": DISK_GIB}],
                          "network": "tap,ifname=tap0,script=no,downscript=no"}}]},
        });
        fs::write(path("conductor.json"), config.to_string())?;
        let mut conductor = namespace.command(program("conductor-stub"));
        conductor.args(["serve", "--listen", &format!("{BRIDGE_ADDRESS}:6385"), "--state-dir"]).arg(path("conductor"));
        let mut conductor = Process::start(conductor.arg("--config").arg(path("conductor.json")))?;
        conductor.wait_for(&url, Duration::from_secs(20))?;
        let client = Client::connect_in(&namespace, &url)?;
        Ok(Self { client, conductor, folder, namespace })
    }

    fn provision(&mut self, target: &str) -> Result<()> {
        self.provision_with(target, json!({}))
    }

    fn provision_with(&mut self, target: &str, arguments: Value) -> Result<()> {
        let outcome = self.client.provision("node-0", target, arguments);
        outcome.with_context(|| format!("--- conductor\n{}\n--- console\n{}", self.conductor.log(), self.console()))
    }

    fn patch(&mut self, path: &str, value: Value) -> Result<()> {
        let patch = json!([{"op": "add", "path": path, "value": value}]);
        self.client.call("patch_node", json!({"node": "node-0", "patch": patch})).map(drop)
    }

    fn console(&self) -> String {
        let bytes = fs::read(self.folder.path().join("console")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn redfish(&self, path: &str) -> Result<Value> {
        let url = format!("http://127.0.0.1:8000/redfish/v1/Systems/{UUID}{path}");
        let answer = self.namespace.command("curl").args(["-sSf", "-u", "admin:secret", &url]).output()?;
        ensure!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
        Ok(serde_json::from_slice(&answer.stdout)?)
    }

    /// What the conductor was asked for under `/artefacts/`, by file name and `User-Agent`.
    fn fetched(&self) -> Result<String> {
        let url = format!("http://{BRIDGE_ADDRESS}:6385/stub/journal");
        let answer = self.namespace.command("curl").args(["-sSf", &url]).output()?;
        Ok(String::from_utf8(answer.stdout)?)
    }

    fn wait_until(&self, what: &str, is_so: impl Fn(&Self) -> Result<bool>) -> Result<()> {
        let start = Instant::now();
        while !is_so(self)? {
            ensure!(start.elapsed() < BOOT, "{what}: not so\n{}\n{}", self.conductor.log(), self.console());
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn disk(&self) -> PathBuf {
        self.folder.path().join("disk")
    }
}

/// Writes a mark to both ends of a disk.
fn mark(disk: &Path) -> Result<()> {
    let mut disk = File::options().write(true).open(disk)?;
    disk.write_all(&[0xa5; 4096])?;
    disk.seek(SeekFrom::End(-4096))?;
    disk.write_all(&[0xa5; 4096])?;
    Ok(disk.sync_all()?)
}

/// Both ends of a disk, and how much of it was ever written.
fn content(disk: &Path) -> Result<(Vec<u8>, u64)> {
    let mut disk = File::open(disk)?;
    let mut ends = vec![0; 8192];
    disk.read_exact(&mut ends[..4096])?;
    disk.seek(SeekFrom::End(-4096))?;
    disk.read_exact(&mut ends[4096..])?;
    Ok((ends, disk.metadata()?.blocks()))
}

/// Ends the conductor's dnsmasq and waits until it is said that another one is started.
fn kill_dnsmasq(lab: &mut Lab) -> Result<()> {
    let parent = lab.conductor.id().to_string();
    let found = Command::new("pgrep").args(["--parent", &parent, "--oldest", "--exact", "dnsmasq"]).output()?;
    let process = String::from_utf8(found.stdout)?;
    ensure!(!process.trim().is_empty(), "there is no dnsmasq\n{}", lab.conductor.log());
    assert!(Command::new("kill").args(["-KILL", process.trim()]).status()?.success());
    lab.conductor.wait_for("dnsmasq ended; it is started again", Duration::from_secs(20))
}

#[test]
fn a_machine_boots_an_iso_over_http_then_by_dhcp_and_ipxe_then_live_systems() -> Result<()> {
    let mut lab = Lab::start()?;
    let credentials = json!({"redfish_address": "http://127.0.0.1:8000", "redfish_username": "admin",
        "redfish_password": "secret", "deploy_iso": artefact::ramdisk("ferric.iso")?});
    let node =
        json!({"driver": "redfish", "name": "node-0", "boot_interface": "redfish-https", "driver_info": credentials});
    let node = lab.client.call("create_node", node)?;
    lab.client.call("create_port", json!({"node": node, "address": MAC}))?;
    lab.provision("manage")?;

    // HttpBootUri names the ISO; the firmware makes a RAM disk of it.
    lab.provision("inspect")?;
    let inventory = lab.client.call("inventory", json!({"node": node}))?;
    assert_eq!(inventory["inventory"]["interfaces"][0]["mac_address"], MAC);
    assert!(lab.fetched()?.contains("/agent.iso"), "the firmware did not fetch the ISO");
    assert!(!lab.fetched()?.contains("/agent.efi"));

    // DHCP names the EFI program, and the agent's heartbeat starts the cleaning.
    lab.patch("/boot_interface", json!("http"))?;
    lab.patch("/driver_info/deploy_iso", json!(""))?;
    kill_dnsmasq(&mut lab)?;
    lab.provision("provide")?;
    assert!(lab.fetched()?.contains("/agent.efi"), "the firmware did not fetch the EFI program");
    let dnsmasq = fs::read_to_string(lab.folder.path().join("conductor/dhcp/dnsmasq.log"))?;
    assert!(dnsmasq.contains("vendor class: HTTPClient:Arch:00016"), "{dnsmasq}");

    // Its network card loads iPXE by TFTP, and iPXE a kernel and an initramfs as anybody may have made them.
    lab.provision("manage")?;
    lab.patch("/boot_interface", json!("ipxe"))?;
    lab.patch("/driver_info/deploy_kernel", json!(artefact::ramdisk("ironic-python-agent.kernel")?))?;
    lab.patch("/driver_info/deploy_ramdisk", json!(artefact::ramdisk("ironic-python-agent.initramfs")?))?;
    lab.provision("inspect")?;
    assert!(lab.fetched()?.contains("/agent.initramfs"), "iPXE did not fetch the initramfs");
    let tftp = fs::read_to_string(lab.folder.path().join("conductor/dhcp/tftp.log"))?;
    assert!(tftp.contains("sent /usr/lib/ipxe/snponly.efi"), "{tftp}");

    // A live system of a user's, without any medium: a kernel and an initramfs. The disk is not its business.
    let (kernel, initrd) = live_iso::parts(lab.folder.path(), LIVE)?;
    lab.patch("/automated_clean", json!(false))?;
    lab.provision("provide")?;
    lab.patch("/boot_interface", json!("http-ipxe"))?;
    lab.patch("/deploy_interface", json!("ramdisk"))?;
    lab.patch(
        "/instance_info",
        json!({"kernel": kernel, "ramdisk": initrd, "ramdisk_kernel_arguments": "told=one quiet"}),
    )?;
    mark(&lab.disk())?;
    let before = content(&lab.disk())?;
    lab.provision("active")?;
    lab.wait_until("the live system is up", |lab| Ok(lab.console().contains(LIVE)))?;
    lab.wait_until("it was told so", |lab| Ok(lab.console().contains(" told=one quiet end of line")))?;
    assert!(lab.fetched()?.contains("/ipxe.efi"), "the firmware did not fetch iPXE");
    lab.provision("deleted")?;

    // Another one from a virtual CD, an ISO that is repacked so that its kernel can be told something, with a config drive beside it.
    let iso = live_iso::make(&lab.folder.path().join("cd"), LIVE)?;
    lab.patch("/boot_interface", json!("redfish-virtual-media"))?;
    lab.patch(
        "/instance_info",
        json!({"boot_iso": iso, "kernel_append_params": "told=two", "boot_iso_detach_after": "power off"}),
    )?;
    let drive = json!({"meta_data": {"name": "node-0"}, "user_data": "#cloud-config"});
    lab.provision_with("active", json!({"config_drive": drive}))?;
    lab.wait_until("the live system is up", |lab| Ok(lab.console().contains(LIVE)))?;
    lab.wait_until("it was told so", |lab| Ok(lab.console().contains("told=two end of line")))?;
    for medium in ["/VirtualMedia/Cd", "/VirtualMedia/Usb"] {
        assert_eq!(lab.redfish(medium)?["Inserted"], true, "{medium}");
    }
    lab.client.call("detach_media", json!({"node": node}))?;
    lab.wait_until("the medium is out", |lab| Ok(lab.redfish("/VirtualMedia/Cd")?["Inserted"] == false))?;
    assert_eq!(lab.redfish("")?["PowerState"], "On", "the live system goes on without it");
    // It ends by itself; from then on the disk is what boots.
    let off = format!("http://127.0.0.1:8000/redfish/v1/Systems/{UUID}/Actions/ComputerSystem.Reset");
    let mut curl = lab.namespace.command("curl");
    curl.args([
        "-sSf",
        "-u",
        "admin:secret",
        "-H",
        "Content-Type: application/json",
        "-d",
        r#"{"ResetType": "ForceOff"}"#,
    ]);
    ensure!(curl.arg(&off).output()?.status.success(), "the BMC does not switch it off");
    lab.wait_until("the config drive is out", |lab| Ok(lab.redfish("/VirtualMedia/Usb")?["Inserted"] == false))?;
    lab.provision("deleted")?;
    let system = lab.redfish("")?;
    assert_eq!((&system["PowerState"], &system["Boot"]["BootSourceOverrideTarget"]), (&json!("Off"), &json!("Hdd")));
    assert_eq!(content(&lab.disk())?, before);
    Ok(())
}
