//! The step `install_coreos` of a running agent with the real coreos-installer, which is found in the host root and
//! started there, as in the agent's container.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferric_tests::conductor::{Conductor, NODE, TOKEN};
use ferric_tests::coreos_image::{BootPartition, KERNEL_ARGUMENTS, full_metal_image, metal_image};
use ferric_tests::disk_image::{compressed, digest, run};
use ferric_tests::fault_server::{Behaviour, Fault, FaultServer};
use ferric_tests::file_server::FileServer;
use ferric_tests::loop_device::LoopDevice;
use ferric_tests::network::free_port;
use ferric_tests::peers;
use ferric_tests::process::{Process, program};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(120);
/// Older content of the disk, which shows whether anything was written.
const OLD: &[u8] = b"an older installation";

/// Nothing but mounts: a host root with coreos-installer in it and the socket of a udev daemon, which it insists on.
const NAMESPACE: &str = "set -e
mount -t tmpfs tmpfs /run
mkdir /run/udev
: >/run/udev/control
mount --rbind / \"$HOST_ROOT\"
mount --bind \"$HOST_TOOLS\" \"$HOST_ROOT/usr/local/bin\"
mount --bind \"$HOST_TMP\" \"$HOST_ROOT/tmp\"
exec \"$@\"";
/// This machine has no udev: its database is what blkid finds,
const LSBLK: &str = r#"#!/bin/sh
/usr/bin/lsblk "$@" | while read -r line; do
    device=${line#NAME=\"} device=${device%%\"*}
    found() { blkid -p -s "$1" -o value "$device" 2>/dev/null; }
    printf '%s\n' "$line" | sed "s|LABEL=\"\"|LABEL=\"$(found LABEL)\"|
        s|FSTYPE=\"\"|FSTYPE=\"$(found TYPE)\"|; s|UUID=\"\"|UUID=\"$(found UUID)\"|"
done
"#;
/// and its kernel does not read partition tables.
const UDEVADM: &str = "#!/bin/sh\npartx -u \"$LOOP_DEVICE\" 2>/dev/null || partx -a \"$LOOP_DEVICE\"\n";

/// A running agent with one disk.
pub(super) struct Lab {
    pub(super) agent: Process,
    port: u16,
    pub(super) disk: LoopDevice,
    pub(super) server: FileServer,
    host_tmp: PathBuf,
    pub(super) images: PathBuf,
    _folder: tempfile::TempDir,
    _conductor: Conductor,
}

impl Lab {
    pub(super) fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| -> Result<PathBuf> {
            let path = folder.path().join(name);
            fs::create_dir(&path)?;
            Ok(path)
        };
        let (tools, host_root, host_tmp) = (path("tools")?, path("host")?, path("tmp")?);
        let (state, images) = (path("state")?, path("images")?);
        fs::copy(peers::folder()?.join("bin/coreos-installer"), tools.join("coreos-installer"))?;
        for (name, text) in [("lsblk", LSBLK), ("udevadm", UDEVADM)] {
            fs::write(tools.join(name), text)?;
            fs::set_permissions(tools.join(name), fs::Permissions::from_mode(0o755))?;
        }
        metal_image(&images)?;
        let server = FileServer::start(&images)?;
        let disk = LoopDevice::new(256 << 20)?;
        let (conductor, port) = (Conductor::start()?, free_port()?);
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", NAMESPACE, "sh"]);
        command.arg(program("ferric-agent")).args(["run", "--debug", "--use-stderr", "--listen-host", "127.0.0.1"]);
        command.args(["--listen-port", &port.to_string(), "--advertise-host", "127.0.0.1"]);
        command.args(["--api-url", &format!("http://127.0.0.1:{}", conductor.port())]);
        command.arg("--allow-device").arg(disk.path()).arg("--state-dir").arg(state).arg("--host-root").arg(&host_root);
        command
            .env("HOST_ROOT", host_root)
            .env("HOST_TOOLS", tools)
            .env("HOST_TMP", &host_tmp)
            .env("LOOP_DEVICE", disk.path());
        let agent = Process::start(&mut command)?;
        conductor.heartbeat(LIMIT).map_err(|error| error.context(agent.log()))?;
        Ok(Self { agent, port, disk, server, host_tmp, images, _folder: folder, _conductor: conductor })
    }

    /// Has the agent execute the step, and returns the whole command as the conductor sees it in the end.
    pub(super) fn install(&self, instance_info: &Value, arguments: &Value) -> Result<Value> {
        let node = json!({"uuid": NODE, "automated_clean": false, "instance_info": instance_info});
        let step = json!({"interface": "deploy", "step": "install_coreos", "priority": 60, "args": arguments});
        let command =
            json!({"name": "deploy.execute_deploy_step", "params": {"node": node, "ports": [], "step": step}});
        let url = format!("https://127.0.0.1:{}/v1/commands/?wait=true&agent_token={TOKEN}", self.port);
        let limit = LIMIT.as_secs().to_string();
        let output = Command::new("curl")
            .args(["-sSk", "--max-time", &limit, "-H", "Content-Type: application/json", "-d"])
            .args([command.to_string(), url])
            .output()?;
        ensure!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), self.agent.log());
        serde_json::from_slice(&output.stdout).context("the agent's answer is no JSON")
    }

    fn boot_partition(&self) -> Result<BootPartition> {
        self.disk.read()?;
        BootPartition::of_disk(&self.disk.file())
    }

    fn make_old(&self) -> Result<()> {
        Ok(fs::write(self.disk.path(), OLD.repeat(1000))?)
    }

    /// A table with one partition, which a failed installation must not leave.
    fn make_partitioned(&self) -> Result<()> {
        let disk = self.disk.path().display().to_string();
        run("sgdisk", &["--zap-all", &disk]).or_else(|_| run("sgdisk", &["--clear", &disk]))?;
        run("sgdisk", &["--new", "1:1M:+8M", &disk]).map(drop)
    }

    fn has_partitions(&self) -> Result<bool> {
        let shown = Command::new("partx").args(["--show", "--noheadings"]).arg(self.disk.path()).output()?;
        Ok(!shown.stdout.is_empty())
    }

    /// The coreos-installer that the agent runs now.
    fn installer(&self) -> Option<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.agent.id())).ok()?.flatten();
        let children: String = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok()).collect();
        let is_it =
            |id: &&str| fs::read(format!("/proc/{id}/comm")).is_ok_and(|name| name.starts_with(b"coreos-install"));
        children.split_whitespace().find(is_it).map(str::to_owned)
    }

    fn is_old(&self) -> Result<bool> {
        Ok(self.disk.read()?.starts_with(&OLD.repeat(1000)))
    }
}

#[test]
fn the_real_installer_puts_ignition_and_kernel_arguments_on_the_boot_partition() -> Result<()> {
    let lab = Lab::start()?;
    let ignition = json!({"ignition": {"version": "3.4.0"}, "passwd": {"users": [{"name": "core"}]}});
    let image = lab.server.url("coreos.raw.xz");
    let configdrive = json!({"user_data": ignition, "meta_data": {"coreos_append_karg": ["ip=dhcp", "console=ttyS0"]}});

    // What cannot work is refused, in one line, and the disk is as it was.
    lab.make_old()?;
    for (ignition, reason) in [
        (json!("{"), "The Ignition configuration is not valid JSON"),
        (json!({"ignition": {"version": "2.2.0"}}), "has version 2.2.0"),
        (json!({"passwd": {}}), "has no ignition.version"),
    ] {
        let refused = lab.install(&json!({"image_source": image}), &json!({"ignition": ignition}))?;
        assert_eq!(refused["command_status"], "FAILED", "{refused}");
        let message = refused["command_error"]["details"].as_str().unwrap_or_default();
        assert!(message.contains(reason) && !message.contains('\n'), "{refused}");
        assert!(lab.is_old()?, "the disk was written");
    }
    assert_eq!(lab.server.requests().matches("GET ").count(), 0, "{}", lab.server.requests());

    let missing = lab.install(&json!({"image_source": lab.server.url("missing.raw.xz")}), &json!({}))?;
    let message = missing["command_error"]["details"].as_str().unwrap_or_default();
    assert!(message.contains("coreos-installer failed with code 1") && message.contains("404"), "{missing}");
    assert_eq!(lab.server.requests().matches("GET /missing.raw.xz ").count(), 1, "{}", lab.server.requests());
    assert!(lab.is_old()?, "the disk was written");

    let installed = lab.install(&json!({"image_source": image, "configdrive": configdrive}), &json!({}))?;
    assert_eq!(installed["command_status"], "SUCCEEDED", "{installed}\n{}", lab.agent.log());
    assert_eq!(installed["command_result"]["deploy_result"], Value::Null);
    let boot = lab.boot_partition()?;
    let config = boot.ignition()?;
    assert_eq!(config["passwd"], ignition["passwd"]);
    assert!(boot.stat("ignition/config.ign")?.contains("Mode:  0600"), "{}", boot.stat("ignition/config.ign")?);
    assert_eq!(boot.kernel_arguments()?, format!("{KERNEL_ARGUMENTS} ip=dhcp console=ttyS0"));

    // An image with a digest is verified on its way.
    let raw = digest("sha256sum", &lab.images.join("coreos.raw.xz"))?;
    let described =
        |digest: &str| json!({"image_source": image, "image_os_hash_algo": "sha256", "image_os_hash_value": digest});
    let network = json!({"links": [{"id": "eth0", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01"}],
        "networks": [{"link": "eth0", "type": "ipv4", "ip_address": "192.0.2.5", "netmask": "255.255.255.0"}]});
    let other = json!({"ignition": {"version": "3.3.0"}, "systemd": {"units": [{"name": "other.service"}]}});
    let mut again = described(&raw);
    again["configdrive"] = json!({"network_data": network});
    let arguments = json!({"ignition": other, "append_karg": "a=1", "delete_karg": "root=LABEL=root", "firstboot_args": "rd.neednet=1"});
    let installed = lab.install(&again, &arguments)?;
    assert_eq!(installed["command_status"], "SUCCEEDED", "{installed}\n{}", lab.agent.log());
    let boot = lab.boot_partition()?;
    assert_eq!(boot.ignition()?["systemd"], other["systemd"]);
    assert_eq!(boot.kernel_arguments()?, KERNEL_ARGUMENTS.replace(" root=LABEL=root", " a=1"));
    assert_eq!(boot.read("ignition.firstboot")?, b"set ignition_network_kcmdline=\"rd.neednet=1\"\n");
    assert!(boot.initramfs()?.len() > b"no initramfs".len(), "the network configuration was not copied");

    let wrong = lab.install(&described(&"0".repeat(64)), &json!({}))?;
    let message = wrong["command_error"]["details"].as_str().unwrap_or_default();
    assert!(message.contains("Image failed to verify against checksum"), "{wrong}\n{}", lab.agent.log());
    assert!(lab.disk.read()?[..1 << 20].iter().all(|byte| *byte == 0), "something bootable stayed");
    let left: Vec<_> = fs::read_dir(&lab.host_tmp)?.collect();
    assert!(left.is_empty(), "files stayed in the host's /tmp: {left:?}");
    Ok(())
}

/// Whoever looks at the node sees why, and whoever switches the machine on sees no half of a system.
#[test]
fn what_the_real_installer_does_not_finish_says_why_and_leaves_no_partition() -> Result<()> {
    let lab = Lab::start()?;
    let image = fs::read(lab.images.join("coreos.raw.xz"))?;
    fs::write(lab.images.join("cut.raw.xz"), &image[..image.len() / 2])?;
    let large = lab.images.join("large.raw");
    fs::copy(lab.images.join("coreos.raw"), &large)?;
    fs::File::options().write(true).open(&large)?.set_len(320 << 20)?;
    compressed(&large, "xz")?;
    full_metal_image(&lab.images)?;
    let arguments = json!({"ignition": {"ignition": {"version": "3.4.0"}}});
    for (name, reason) in [
        ("cut.raw.xz", "Error: decoding"),
        ("large.raw.xz", "No space left on device"),
        ("full.raw.xz", "No space left on device"),
    ] {
        lab.make_partitioned()?;
        assert!(lab.has_partitions()?);
        let failed = lab.install(&json!({"image_source": lab.server.url(name)}), &arguments)?;
        assert_eq!(failed["command_status"], "FAILED", "{name}");
        let message = failed["command_error"]["details"].as_str().unwrap_or_default();
        assert!(
            message.contains("coreos-installer failed with code 1: ") && message.contains(reason),
            "{name}: {failed}"
        );
        assert!(!lab.has_partitions()?, "{name}");
    }

    // Somebody ends it in the middle, and again when it is tried again.
    lab.make_partitioned()?;
    let server = FaultServer::start(image.clone(), Behaviour::default(), vec![Fault::Stall(image.len() / 2); 8])?;
    let failed = std::thread::scope(|scope| -> Result<Value> {
        let killer = scope.spawn(|| -> Result<()> {
            for attempt in 1..=3 {
                let start = std::time::Instant::now();
                while server.journal().len() < attempt || lab.installer().is_none() {
                    ensure!(start.elapsed() < LIMIT, "coreos-installer does not run: {}", lab.agent.log());
                    std::thread::sleep(Duration::from_millis(20));
                }
                // Some bytes of the image have come.
                std::thread::sleep(Duration::from_millis(300));
                let id = lab.installer().context("coreos-installer has ended by itself")?;
                ensure!(Command::new("kill").args(["-KILL", &id]).status()?.success());
            }
            Ok(())
        });
        let failed = lab.install(&json!({"image_source": server.url("/coreos.raw.xz")}), &arguments);
        killer.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the killer panicked")))?;
        failed
    })?;
    let message = failed["command_error"]["details"].as_str().unwrap_or_default();
    assert!(message.contains("coreos-installer was ended by signal 9"), "{failed}");
    assert!(!lab.has_partitions()?);
    Ok(())
}
