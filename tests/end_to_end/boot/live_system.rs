//! The agent on a live system of CoreOS' kind (`tests/live_system`), in a virtual machine: the real Ignition applies what
//! `ferric-ignition` made, systemd starts the unit, and the conductor finds the agent.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ferric_tests::artefact;
use ferric_tests::certificates::Certificates;
use ferric_tests::conductor::{Conductor, NODE, TOKEN};
use ferric_tests::coreos_image::{BootPartition, KERNEL_ARGUMENTS};
use ferric_tests::disk_image::{digest, run};
use ferric_tests::file_server::FileServer;
use ferric_tests::ironic::Client;
use ferric_tests::network::{free_port, wait_for_port};
use ferric_tests::process::{Process, program};
use ferric_tests::qemu::{Firmware, Machine};
use ferric_tests::qmp;
use ferric_tests::registry::{PASSWORD, Registry, USER};
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use super::coreos;

const MAC: &str = "52:54:00:fe:44:2e";
/// For one boot, emulated, on a busy host.
const BOOT: Duration = Duration::from_secs(400);
/// Agents take no disk below 4 GiB as their root disk.
const DISK_BYTES: u64 = 5 << 30;
/// This host, as a guest of QEMU's user network sees it.
const HOST: &str = "10.0.2.2";

/// A BIOS machine on QEMU's user network, with these further settings of it.
fn machine(network: &str) -> Command {
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-accel", "tcg", "-machine", "q35", "-cpu", "max", "-m", "2048", "-nographic", "-no-reboot"])
        .args(["-netdev", &format!("user,id=net,{network}")])
        .args(["-device", "virtio-rng-pci", "-device", &format!("virtio-net-pci,netdev=net,mac={MAC}")]);
    qemu
}

fn ferric_ignition(arguments: &[&str]) -> Result<String> {
    run(&program("ferric-ignition").display().to_string(), arguments)
}

/// By network, from a registry that is down at first, to the disk that boots; the machine is switched on by hand, once.
#[test]
fn ipxe_boots_it_podman_runs_the_agent_and_coreos_is_installed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let directory = |name: &str| -> Result<PathBuf> {
        fs::create_dir(folder.path().join(name))?;
        Ok(folder.path().join(name))
    };
    let (web, images, network) = (directory("web")?, directory("images")?, directory("network")?);
    let (api_port, agent_port, registry_port) = (free_port()?, free_port()?, free_port()?);
    Registry::start(&images, registry_port)?.push("localhost/ferric-agent:latest", "ferric/agent:1")?;
    // Bound, so that nobody else takes the port, but refusing connections.
    let down = TcpSocket::new_v4()?;
    down.set_reuseaddr(true)?;
    down.bind(([127, 0, 0, 1], registry_port).into())?;
    for name in ["vmlinuz", "initramfs.img", "rootfs.img", "metal.raw.zst"] {
        symlink(artefact::live_system(name)?, web.join(name))?;
    }
    let server = FileServer::start(&web)?;
    let url = |name: &str| format!("http://{HOST}:{}/{name}", server.port());

    let key = folder.path().join("key.pub");
    fs::write(&key, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0bPo1rUXlVQ0 me@there\n")?;
    fs::write(network.join("eth0.nmconnection"), "[connection]\nid=the-network\ntype=ethernet\n")?;
    let config = ferric_ignition(&[
        "config",
        &format!("--api-url=http://{HOST}:{api_port}"),
        &format!("--image={HOST}:{registry_port}/ferric/agent:1"),
        "--insecure-registry",
        &format!("--ssh-key={}", key.display()),
        &format!("--network={}", network.display()),
        "--hostname=node-1",
        "--inspect",
        "--option=advertise_host=127.0.0.1",
        &format!("--option=advertise_port={agent_port}"),
    ])?;
    fs::write(web.join("agent.ign"), config)?;
    let script = ferric_ignition(&[
        "pxe",
        &format!("--kernel-url={}", url("vmlinuz")),
        &format!("--initramfs-url={}", url("initramfs.img")),
        &format!("--rootfs-url={}", url("rootfs.img")),
        &format!("--ignition-url={}", url("agent.ign")),
        "--karg=console=ttyS0",
        "--karg=quiet",
        "--karg=no_timer_check",
        "--karg=systemd.journald.forward_to_console=1",
    ])?;
    fs::write(web.join("boot.ipxe"), script)?;

    let stub = conductor(folder.path(), api_port)?;
    let mut client = Client::connect(&format!("http://127.0.0.1:{api_port}"))?;
    let node = client.call(
        "create_node",
        json!({"driver": "fake-hardware", "name": "node-1", "deploy_interface": "custom-agent",
            "instance_info": {"image_source": url("metal.raw.zst"), "image_os_hash_algo": "sha256",
                "image_os_hash_value": digest("sha256sum", &web.join("metal.raw.zst"))?}}),
    )?;
    let node = node.as_str().context("the node's id")?.to_owned();
    client.call("create_port", json!({"node": node, "address": MAC}))?;
    client.provision(&node, "manage", json!({}))?;
    client.call("provision", json!({"node": node, "target": "inspect"}))?;

    let disk = folder.path().join("disk.raw");
    File::create(&disk)?.set_len(DISK_BYTES)?;
    let mut machine = machine(&format!("hostfwd=tcp:127.0.0.1:{agent_port}-:9999,bootfile={}", url("boot.ipxe")));
    machine.args(["-boot", "n", "-drive", &format!("file={},format=raw,if=virtio", disk.display())]);
    let mut machine = Process::start(&mut machine)?;
    machine.wait_for("restart counter is at 1", BOOT)?;
    drop(down);
    let registry = Registry::start(&images, registry_port)?;
    let reach = |client: &mut Client, state: &str| -> Result<()> {
        let end = client.call("wait", json!({"node": node, "state": state, "timeout": BOOT.as_secs()}))?;
        let reached = end["provision_state"] == state && end["last_error"].is_null();
        ensure!(reached, "{end}\n{}\n{}\n{}", stub.log(), server.requests(), machine.log());
        Ok(())
    };
    reach(&mut client, "manageable")?;
    client.call("provision", json!({"node": node, "target": "provide"}))?;
    reach(&mut client, "available")?;
    let steps = json!([{"interface": "deploy", "step": "install_coreos", "priority": 80, "args": {}}]);
    let config_drive =
        json!({"user_data": coreos::user_data(), "meta_data": {"coreos_append_karg": ["console=ttyS0"]}});
    let deployment = json!({"node": node, "target": "active", "deploy_steps": steps, "config_drive": config_drive});
    client.call("provision", deployment)?;
    reach(&mut client, "active")?;
    assert!(registry.log().contains("/v2/ferric/agent/manifests/"), "{}", machine.log());
    assert_eq!(machine.wait(BOOT)?, Some(0), "the agent did not switch it off");

    let boot = BootPartition::of_disk(&disk)?;
    let config = boot.ignition()?;
    assert_eq!(config["systemd"], coreos::user_data()["systemd"]);
    assert_eq!(config["storage"]["files"][1]["contents"]["source"], "data:,node-1", "{config}");
    assert_eq!(boot.kernel_arguments()?, format!("{KERNEL_ARGUMENTS} console=ttyS0"));
    let before = fs::metadata(artefact::live_system("initramfs.img")?)?.len();
    assert!(boot.initramfs()?.len() as u64 > before, "the network configuration was not copied");
    let mut installed = Machine::new(folder.path(), Firmware::Uefi, "user")?;
    installed.disk("disk.raw", "virtio-blk-pci")?;
    installed.start()?.wait_for(coreos::LINE, BOOT)
}

/// A conductor that waits for nodes to call, and knows nothing of their power.
fn conductor(folder: &Path, port: u16) -> Result<Process> {
    let config = folder.join("conductor.json");
    let options = json!({
        "public_url": format!("http://{HOST}:{port}"), "fast_track": true, "heartbeat_timeout_seconds": 30,
        "callback_timeout_seconds": BOOT.as_secs(), "power_off_wait_seconds": 1,
    });
    fs::write(&config, options.to_string())?;
    let mut command = Command::new(program("conductor-stub"));
    command.args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--config"]).arg(config);
    let process = Process::start(command.arg("--state-dir").arg(folder.join("conductor")))?;
    wait_for_port(port, Duration::from_secs(60))?;
    Ok(process)
}

/// From an ISO, without registry and container.
#[test]
fn its_iso_with_an_embedded_config_runs_the_bare_binary() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let conductor = Conductor::start()?;
    let agent = artefact::static_agent()?;
    fs::copy(&agent, folder.path().join("ferric-agent"))?;
    let server = FileServer::start(folder.path())?;
    let config = ferric_ignition(&[
        "config",
        &format!("--api-url=http://{HOST}:{}", conductor.port()),
        &format!("--binary-url=http://{HOST}:{}/ferric-agent", server.port()),
        &format!("--binary-sha512={}", digest("sha512sum", &agent)?),
    ])?;
    let (config_file, iso) = (folder.path().join("agent.ign"), folder.path().join("node.iso"));
    fs::write(&config_file, config)?;
    let [live, config_file, iso] =
        [&artefact::live_system("live.iso")?, &config_file, &iso].map(|path| path.display().to_string());
    ferric_ignition(&["iso", "embed", &live, "-i", &config_file, "-o", &iso])?;

    let mut machine = machine("restrict=off");
    let mut machine = Process::start(machine.args(["-drive", &format!("file={iso},media=cdrom,readonly=on")]))?;
    machine.wait_for("heartbeat sent", BOOT)?;
    let heartbeat = conductor.heartbeat(Duration::from_secs(5))?;
    assert_eq!(heartbeat["callback_url"], "https://10.0.2.15:9999");
    assert!(server.requests().contains("GET /ferric-agent "), "{}", server.requests());

    Ok(())
}

/// A registry that is down long enough is no secret, nor is one that does not know the password; when the right one comes,
/// with a private authority, the agent starts, and the password is gone. When somebody takes the ISO away, the agent goes on
/// and says what it cannot do without it.
#[test]
fn why_the_agent_does_not_start_is_told_to_console_and_conductor() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let directory = |name: &str| -> Result<PathBuf> {
        fs::create_dir(folder.path().join(name))?;
        Ok(folder.path().join(name))
    };
    let (images, units) = (directory("images")?, directory("units")?);
    let (conductor, certificates, registry_port) = (Conductor::start()?, Certificates::new()?, free_port()?);
    Registry::start(&images, registry_port)?.push("localhost/ferric-agent:latest", "ferric/agent:1")?;
    let down = TcpSocket::new_v4()?;
    down.set_reuseaddr(true)?;
    down.bind(([127, 0, 0, 1], registry_port).into())?;
    let secret = folder.path().join("auth.json");
    let credentials = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let host = format!("{HOST}:{registry_port}");
    fs::write(&secret, json!({"auths": {&host: {"auth": credentials}}}).to_string())?;
    let look = "[Unit]\nAfter=ferric-agent-image.service\n[Service]\nType=oneshot\nExecStart=/bin/ls /etc/ferric\n\
                ExecStart=/bin/echo that was /etc/ferric\n[Install]\nWantedBy=ferric-agent.service\n";
    fs::write(units.join("look.service"), look)?;
    let config = ferric_ignition(&[
        "config",
        &format!("--api-url=http://{HOST}:{}", conductor.port()),
        &format!("--image={host}/ferric/agent:1"),
        &format!("--pull-secret={}", secret.display()),
        &format!("--ca={}", certificates.file("ca.pem").display()),
        &format!("--units={}", units.display()),
    ])?;
    let (config_file, iso) = (folder.path().join("agent.ign"), folder.path().join("node.iso"));
    fs::write(&config_file, config)?;
    let [live, config_file, iso] =
        [&artefact::live_system("live.iso")?, &config_file, &iso].map(|path| path.display().to_string());
    ferric_ignition(&["iso", "embed", &live, "-i", &config_file, "-o", &iso])?;

    let (control, disk, agent_port) = (folder.path().join("qmp.sock"), folder.path().join("disk.raw"), free_port()?);
    File::create(&disk)?.set_len(DISK_BYTES)?;
    let mut machine = machine(&format!("hostfwd=tcp:127.0.0.1:{agent_port}-:9999"));
    machine.args(["-drive", &format!("if=none,id=medium,file={iso},media=cdrom,readonly=on")]);
    machine.args(["-device", "ide-cd,bus=ide.1,id=drive,drive=medium"]);
    machine.args(["-drive", &format!("file={},format=raw,if=virtio", disk.display())]);
    let mut machine =
        Process::start(machine.args(["-qmp", &format!("unix:{},server=on,wait=off", control.display())]))?;
    machine.wait_for("ferric: the agent does not run (failure 4): ferric-agent-image.service: exit-code:", BOOT)?;
    machine.wait_for(&format!("told http://{HOST}:{}: 202 Accepted", conductor.port()), BOOT)?;
    let reports = conductor.received("/v1/continue_inspection");
    let logs = || format!("{reports:?}\n{}", machine.log());
    let error = reports[0]["error"].as_str().unwrap_or_default();
    assert!(error.starts_with("the agent does not run: ") && error.contains("connection refused"), "{}", logs());
    assert_eq!(reports[0]["inventory"]["interfaces"][0]["mac_address"], MAC, "{}", logs());
    assert_eq!(reports.len(), 1, "{}", logs());
    assert!(conductor.asked("/v1/heartbeat/").is_empty(), "{}", logs());

    drop(down);
    let (certificate, key) = (certificates.file("server.pem"), certificates.file("server.key"));
    let stranger = Registry::start_secure(&images, registry_port, &certificate, &key, "somebody else")?;
    machine.wait_for("unauthorized", BOOT).with_context(|| stranger.log())?;
    drop(stranger);
    let registry = Registry::start_secure(&images, registry_port, &certificate, &key, USER)?;
    conductor.heartbeat(BOOT).map_err(|error| error.context(format!("{}\n{}", registry.log(), machine.log())))?;
    machine.wait_for("that was /etc/ferric", BOOT)?;
    assert!(machine.log().contains(": ca.pem") && !machine.log().contains(": pull-secret.json"), "{}", machine.log());

    // What of it was never read can no longer be read; the agent is in memory, and says so.
    qmp::execute(&control, &[json!({"execute": "eject", "arguments": {"id": "drive", "force": true}})])?;
    let instance_info = json!({"image_source": "http://192.0.2.1/coreos.raw.xz"});
    let node = json!({"uuid": NODE, "automated_clean": false, "instance_info": instance_info});
    let step = json!({"interface": "deploy", "step": "install_coreos", "priority": 80, "args": {}});
    let command = json!({"name": "deploy.execute_deploy_step", "params": {"node": node, "ports": [], "step": step}});
    let url = format!("https://127.0.0.1:{agent_port}/v1/commands/?wait=true&agent_token={TOKEN}");
    let limit = BOOT.as_secs().to_string();
    let answer = run(
        "curl",
        &["-sSk", "--max-time", &limit, "-H", "Content-Type: application/json", "-d", &command.to_string(), &url],
    )
    .with_context(|| machine.log())?;
    let answer: Value = serde_json::from_str(&answer)?;
    let details = answer["command_error"]["details"].as_str().unwrap_or_default();
    assert!(details.contains("the medium of the live system cannot be read any more"), "{answer}\n{}", machine.log());
    Ok(())
}
