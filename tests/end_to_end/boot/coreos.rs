//! Two blank machines behind BMCs, and a conductor that is told to use CoreOS (`IRONIC_USE_COREOS_IPA`): from the stream
//! that it downloads at its start to CoreOS on their disks, whose first boot runs the Ignition of their user. One machine
//! gets its live system as virtual media and is installed by coreos-installer, the other gets it over HTTP and is installed
//! by the agent itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ferric_tests::artefact;
use ferric_tests::disk_image::digest;
use ferric_tests::file_server::FileServer;
use ferric_tests::ironic::Client;
use ferric_tests::network::free_port;
use ferric_tests::process::{Process, program};
use ferric_tests::registry::Registry;
use serde_json::{Value, json};
use tokio::net::TcpSocket;

/// For one boot, emulated, on a busy host.
const BOOT: Duration = Duration::from_secs(400);
/// Agents take no disk below 4 GiB as their root disk.
const DISK_GIB: u64 = 5;
/// This host, as a guest of QEMU's user network sees it.
const HOST: &str = "10.0.2.2";
/// What the installed system says when Ignition has done what its user wants.
pub(super) const LINE: &str = "FERRIC-COREOS: Ignition was here";

/// How a machine comes to CoreOS.
struct Way {
    name: &'static str,
    mac: &'static str,
    boot_interface: &'static str,
    /// A digest lets the agent install by itself.
    is_native: bool,
}

const WAYS: [Way; 2] = [
    Way { name: "media", mac: "52:54:00:fe:44:31", boot_interface: "redfish-virtual-media", is_native: false },
    Way { name: "native", mac: "52:54:00:fe:44:32", boot_interface: "redfish-https", is_native: true },
];

/// Dropped in the order of the fields.
struct Lab {
    client: Client,
    conductor: Process,
    web: FileServer,
    folder: tempfile::TempDir,
}

impl Lab {
    /// A conductor that has downloaded CoreOS and enrolled the machines; its agents' registry is to be at this port.
    fn start(registry_port: u16) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("ferric-coreos-").tempdir()?;
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("web"))?;
        let web = FileServer::start(&path("web"))?;
        fs::write(path("stream.json"), stream(&path("web"), &web)?.to_string())?;
        let api = free_port()?;
        let (mut machines, mut nodes) = (Vec::new(), Vec::new());
        for (number, way) in WAYS.iter().enumerate() {
            let (agent, bmc_uuid) = (free_port()?, format!("0c3f9a52-0a3b-4a57-9d0c-5f6f6d1f2b1{number}"));
            let console = path(way.name);
            machines.push(json!({"uuid": bmc_uuid, "name": way.name, "macs": [way.mac],
                "qemu": {"state_dir": path(&format!("{}-state", way.name)), "console": console, "memory_mib": 2048,
                    "disks": [{"file": path(&format!("{}-disk", way.name)), "bus": "nvme", "size_gib": DISK_GIB}],
                    "network": format!("user,hostfwd=tcp:127.0.0.1:{agent}-:9999")}}));
            let driver_info = json!({"redfish_address": "http://127.0.0.1:@BMC@", "redfish_username": "admin",
                "redfish_password": "secret", "redfish_system_id": format!("/redfish/v1/Systems/{bmc_uuid}"),
                // The way back to the agent leads through QEMU's port forwarding.
                "kernel_append_params": format!("%default% ipa-advertise-host=127.0.0.1 ipa-advertise-port={agent}")});
            nodes.push((way, driver_info));
        }
        let bmc = free_port()?;
        let config = json!({
            "public_url": format!("http://{HOST}:{api}"), "external_http_url": format!("http://127.0.0.1:{api}"),
            "coreos_ipa": {"images": path("images"), "stream": path("stream.json"), "agent_options": ["coreos_native_install=true"]},
            "bmc": {"listen": format!("127.0.0.1:{bmc}"), "account": {"user": "admin", "password": "secret"}, "machines": machines},
            "heartbeat_timeout_seconds": 30, "callback_timeout_seconds": BOOT.as_secs(), "fast_track": true,
        });
        fs::write(path("conductor.json"), config.to_string())?;
        let mut command = Command::new(program("conductor-stub"));
        command.args(["serve", "--listen", &format!("127.0.0.1:{api}"), "--state-dir"]).arg(path("conductor"));
        command
            .env("IRONIC_USE_COREOS_IPA", "true")
            .env("IRONIC_AGENT_IMAGE", format!("{HOST}:{registry_port}/ferric/agent:1"))
            .env("IRONIC_AGENT_PODMAN_FLAGS", "--tls-verify=false")
            .env("IRONIC_KERNEL_PARAMS", "console=ttyS0 quiet no_timer_check systemd.journald.forward_to_console=1");
        let mut conductor = Process::start(command.arg("--config").arg(path("conductor.json")))?;
        conductor.wait_for(&format!("http://127.0.0.1:{api}\n"), Duration::from_secs(60))?;
        let mut client = Client::connect(&format!("http://127.0.0.1:{api}"))?;
        for (way, driver_info) in nodes {
            let driver_info: Value = serde_json::from_str(&driver_info.to_string().replace("@BMC@", &bmc.to_string()))?;
            let node = client.call(
                "create_node",
                json!({"driver": "redfish", "name": way.name, "boot_interface": way.boot_interface,
                    "deploy_interface": "custom-agent", "driver_info": driver_info, "instance_info": instance(way, &path("web"), &web)?}),
            )?;
            client.call("create_port", json!({"node": node, "address": way.mac}))?;
        }
        Ok(Self { client, conductor, web, folder })
    }

    /// Moves both nodes by a verb and waits until they are in `state`.
    fn provision(
        &mut self,
        target: &str,
        state: &str,
        arguments: &Value,
        meanwhile: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<()> {
        let start = Instant::now();
        for way in &WAYS {
            let mut request = arguments.clone();
            request["node"] = way.name.into();
            request["target"] = target.into();
            self.client.call("provision", request)?;
        }
        meanwhile(self)?;
        for way in &WAYS {
            let request = json!({"node": way.name, "state": state, "timeout": 2 * BOOT.as_secs()});
            let end = self.client.call("wait", request)?;
            ensure!(
                end["provision_state"] == state && end["last_error"].is_null(),
                "{}: {end}\n{}",
                way.name,
                self.logs()
            );
        }
        eprintln!("{target} took {:.0?}", start.elapsed());
        Ok(())
    }

    fn console(&self, way: &Way) -> String {
        let bytes = fs::read(self.folder.path().join(way.name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until so many consoles have said it.
    fn wait_for_consoles(&self, number: usize, text: &str) -> Result<()> {
        let start = Instant::now();
        while WAYS.iter().filter(|way| self.console(way).contains(text)).count() < number {
            ensure!(start.elapsed() < BOOT, "not on {number} consoles: {text}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    fn logs(&self) -> String {
        let consoles: Vec<String> =
            WAYS.iter().map(|way| format!("--- console of {}\n{}", way.name, self.console(way))).collect();
        format!("--- conductor\n{}\n--- files\n{}\n{}", self.conductor.log(), self.web.requests(), consoles.join("\n"))
    }
}

/// Stream metadata as Fedora's, of what `make live-system` made.
fn stream(web: &Path, server: &FileServer) -> Result<Value> {
    let file = |name: &str| -> Result<Value> {
        let source = artefact::live_system(name)?;
        std::os::unix::fs::symlink(&source, web.join(name))?;
        Ok(json!({"location": server.url(name), "signature": "", "sha256": digest("sha256sum", &source)?}))
    };
    let pxe = json!({"kernel": file("vmlinuz")?, "initramfs": file("initramfs.img")?, "rootfs": file("rootfs.img")?});
    let formats = json!({"pxe": pxe, "iso": {"disk": file("live.iso")?}, "raw.zst": {"disk": file("metal.raw.zst")?}});
    Ok(
        json!({"stream": "tests", "architectures": {"x86_64": {"artifacts": {"metal": {"release": "1.0", "formats": formats}}}}}),
    )
}

fn instance(way: &Way, web: &Path, server: &FileServer) -> Result<Value> {
    let image: PathBuf = web.join("metal.raw.zst");
    let mut instance = json!({"image_source": format!("http://{HOST}:{}/metal.raw.zst", server.port())});
    if way.is_native {
        instance["image_os_hash_algo"] = "sha256".into();
        instance["image_os_hash_value"] = digest("sha256sum", &image)?.into();
    }
    Ok(instance)
}

/// The Ignition config of the machines' user: a file, and a unit that shows it when the first boot is over and its mark is gone.
pub(super) fn user_data() -> Value {
    let unit = "[Unit]\nAfter=ignition-firstboot-complete.service\n[Service]\nType=oneshot\nStandardOutput=tty\nTTYPath=/dev/ttyS0\n\
                ExecStart=/usr/bin/test ! -e /boot/ignition.firstboot\nExecStart=/bin/cat /etc/line\n[Install]\nWantedBy=multi-user.target\n";
    let source = format!("data:,{}%0A", LINE.replace(' ', "%20"));
    json!({"ignition": {"version": "3.3.0"},
        "storage": {"files": [{"path": "/etc/line", "contents": {"source": source}}]},
        "systemd": {"units": [{"name": "line.service", "enabled": true, "contents": unit}]}})
}

#[test]
fn blank_machines_become_coreos_by_a_live_system_that_the_conductor_downloads() -> Result<()> {
    let images = tempfile::tempdir()?;
    let registry_port = free_port()?;
    Registry::start(images.path(), registry_port)?.push("localhost/ferric-agent:latest", "ferric/agent:1")?;
    // Bound, so that nobody else takes the port, but refusing connections.
    let down = TcpSocket::new_v4()?;
    down.set_reuseaddr(true)?;
    down.bind(([127, 0, 0, 1], registry_port).into())?;
    let mut lab = Lab::start(registry_port)?;

    lab.provision("manage", "manageable", &json!({}), |_| Ok(()))?;
    let mut registry = None;
    lab.provision("inspect", "manageable", &json!({}), |lab| {
        // The conductor would be told soon; one machine is a while behind the other.
        lab.wait_for_consoles(1, "ferric: the agent does not run (failure 1): ferric-agent-image.service")?;
        drop(down);
        registry = Some(Registry::start(images.path(), registry_port)?);
        Ok(())
    })?;
    for way in &WAYS {
        let inventory = lab.client.call("inventory", json!({"node": way.name}))?;
        assert_eq!(inventory["inventory"]["interfaces"][0]["mac_address"], way.mac);
        assert_eq!(inventory["inventory"]["boot"]["current_boot_mode"], "uefi");
    }
    lab.provision("provide", "available", &json!({}), |_| Ok(()))?;
    let steps = json!([{"interface": "deploy", "step": "install_coreos", "priority": 80, "args": {}}]);
    let drive = json!({"user_data": user_data(), "meta_data": {"coreos_append_karg": ["console=ttyS0"]}});
    lab.provision("active", "active", &json!({"deploy_steps": steps, "config_drive": drive}), |_| Ok(()))?;
    let again = lab.conductor.log().matches("the ramdisk is up already").count();
    assert_eq!(again, 2 * WAYS.len(), "cleaning and deployment go on with what inspection has booted\n{}", lab.logs());
    lab.wait_for_consoles(WAYS.len(), LINE)?;
    assert!(lab.web.requests().contains("GET /metal.raw.zst"), "{}", lab.web.requests());
    Ok(())
}
