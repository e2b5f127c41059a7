//! What `make container` made, run by the real podman with the arguments of the unit that Ignition installs.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use conductor_stub::boot_image::BootImage;
use conductor_stub::demo::verify;
use ferric_tests::artefact;
use ferric_tests::conductor::{Conductor, TOKEN};
use ferric_tests::ironic::Client;
use ferric_tests::loop_device::LoopDevice;
use ferric_tests::network::{free_port, wait_for_port};
use ferric_tests::process::{Process, program};
use serde_json::{Value, json};

use ferric_tests::deployment;

const MAC: &str = "52:54:00:fe:44:2d";
const START: Duration = Duration::from_secs(120);
const MEBIBYTE: u64 = 1 << 20;

fn podman() -> Command {
    let mut podman = Command::new("podman");
    // Without systemd there are no timers for health checks; they are run by hand.
    podman.env("DISABLE_HC_SYSTEMD", "true").args(["--runtime", "runc"]);
    podman
}

/// A container's name. It is removed, also when the test fails.
struct Container(&'static str);

impl Drop for Container {
    fn drop(&mut self) {
        let _ = podman().args(["rm", "--force", "--ignore", "--time", "2", self.0]).output();
    }
}

/// The agent's configuration and the arguments of podman, as Ignition would install them.
fn installed(arguments: &[String]) -> Result<(Vec<u8>, Vec<String>)> {
    let output = Command::new(program("ferric-ignition")).arg("config").args(arguments).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout)?;
    let source = document["storage"]["files"][0]["contents"]["source"].as_str().unwrap_or_default();
    let conf = STANDARD.decode(source.trim_start_matches("data:;base64,"))?;
    let unit = document["systemd"]["units"][0]["contents"].as_str().unwrap_or_default();
    let start =
        unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/podman ")).context("no ExecStart")?;
    Ok((conf, words(start)))
}

/// A command line of a unit, as systemd takes it apart.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut characters) = (Vec::new(), String::new(), false, line.chars());
    while let Some(character) = characters.next() {
        match character {
            '\\' => word.extend(characters.next()),
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            other => word.push(other),
        }
    }
    words.push(word);
    words
}

/// The unit's arguments on this machine: without what it does not have (udev, D-Bus), with the configuration from
/// `conf`, with a name of its own, and with limits that a shell without all capabilities can set.
fn adapted(arguments: &[String], conf: &Path, container: &Container) -> Vec<String> {
    let mut adapted = vec![arguments[0].clone(), "--ulimit=nofile=1000:1000".into(), "--ulimit=nproc=1000:1000".into()];
    for argument in &arguments[1..] {
        let argument = argument.replace("/etc/ironic-python-agent.conf:", &format!("{}:", conf.display()));
        let argument = argument.replace("--name=ferric-agent", &format!("--name={}", container.0));
        let source = argument.strip_prefix("--volume=").and_then(|mount| mount.split(':').next());
        if source.is_none_or(|source| Path::new(source).exists()) {
            adapted.push(argument);
        }
    }
    adapted
}

#[test]
fn the_image_is_small() -> Result<()> {
    let size_bytes = fs::metadata(artefact::container()?)?.len();
    assert!(size_bytes < 12 * MEBIBYTE, "{size_bytes} bytes");
    Ok(())
}

/// The digests of an archive's manifests, by architecture.
fn manifests(archive: &Path) -> Result<Vec<(String, String)>> {
    let read = |name: &str| -> Result<Value> {
        let output =
            Command::new("tar").args(["--extract", "--to-stdout", "--file"]).arg(archive).arg(name).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let blob = |digest: &Value| read(&format!("blobs/{}", digest.as_str().unwrap_or_default().replace(':', "/")));
    let mut found = Vec::new();
    let index = read("index.json")?;
    let mut waiting: Vec<Value> = index["manifests"].as_array().cloned().unwrap_or_default();
    while let Some(entry) = waiting.pop() {
        let document = blob(&entry["digest"])?;
        if let Some(inner) = document["manifests"].as_array() {
            waiting.extend(inner.iter().cloned());
            continue;
        }
        let config = blob(&document["config"]["digest"])?;
        let architecture = config["architecture"].as_str().unwrap_or_default().to_owned();
        found.push((architecture, entry["digest"].as_str().unwrap_or_default().to_owned()));
    }
    found.sort();
    Ok(found)
}

/// What is in it stands beside it, and for two architectures it is one archive.
#[test]
fn two_builds_of_the_image_have_one_digest() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let container = Path::new(env!("CARGO_MANIFEST_DIR")).join("../container");
    let agent = artefact::static_agent()?;
    let run = |program: &str, arguments: &[&Path]| -> Result<()> {
        let output = Command::new(container.join(program)).args(arguments).output()?;
        ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    let mut built = Vec::new();
    for directory in ["one", "two"].map(|name| folder.path().join(name)) {
        run("build", &[Path::new("amd64"), &agent, &directory])?;
        built.push(manifests(&directory.join("ferric-agent.oci.tar"))?);
    }
    assert_eq!(built[0], built[1]);
    let one = folder.path().join("one");
    let labels = Command::new("podman")
        .args(["image", "inspect", "--format", "{{json .Labels}}", "localhost/ferric-agent:latest"])
        .output()?;
    let labels: Value = serde_json::from_slice(&labels.stdout)?;
    for name in ["title", "description", "licenses", "version", "revision"] {
        assert!(labels[format!("org.opencontainers.image.{name}")].is_string(), "{labels}");
    }
    let sbom: Value = serde_json::from_slice(&fs::read(one.join("ferric-agent.cdx.json"))?)?;
    let purls: Vec<_> =
        sbom["components"].as_array().context("no components")?.iter().map(|part| &part["purl"]).collect();
    for prefix in ["pkg:cargo/tokio@1.", "pkg:cargo/rustls@0.", "pkg:deb/debian/glibc@", "pkg:deb/debian/openssl@"] {
        assert!(purls.iter().any(|purl| purl.as_str().is_some_and(|purl| purl.starts_with(prefix))), "no {prefix}");
    }

    // The program is another one, and only says that it is for arm64; what matters here is that the image and the index say so too.
    let mut program = fs::read("/bin/true")?;
    program[18..20].copy_from_slice(&183_u16.to_le_bytes());
    let other = folder.path().join("other");
    fs::write(&other, program)?;
    assert!(run("build", &[Path::new("arm64"), &agent, &one]).is_err(), "this agent is not for arm64");
    run("build", &[Path::new("arm64"), &other, &one])?;
    let (amd64, arm64) = (one.join("ferric-agent.oci.tar"), one.join("ferric-agent-arm64.oci.tar"));
    let index = one.join("ferric-agent-all.oci.tar");
    run("index", &[&index, &amd64, &arm64])?;
    assert_eq!(manifests(&index)?, [manifests(&amd64)?, manifests(&arm64)?].concat());
    Ok(())
}

#[test]
fn podman_runs_it_until_it_heartbeats() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (conductor, disk, port) = (Conductor::start()?, LoopDevice::new(64 * MEBIBYTE)?, free_port()?);
    let state = folder.path().join("state");
    fs::create_dir(&state)?;
    let mut arguments = vec!["--image=localhost/ferric-agent:latest".to_owned()];
    // A name, which the static binary has to resolve by itself.
    arguments.push(format!("--api-url=http://localhost:{}", conductor.port()));
    for option in [
        format!("allowed_devices={}", disk.path().display()),
        format!("listen_port={port}"),
        format!("advertise_port={port}"),
        "advertise_host=127.0.0.1".to_owned(),
        // The host's root is where it is on a live system.
        format!("state_dir=/mnt/coreos{}", state.display()),
    ] {
        arguments.push(format!("--option={option}"));
    }
    let (conf, start) = installed(&arguments)?;
    let conf_path = folder.path().join("ignition.conf");
    fs::write(&conf_path, conf)?;

    let container = Container("ferric-agent");
    let mut running = Process::start(podman().args(adapted(&start, &conf_path, &container)))?;
    let heartbeat = conductor.heartbeat(START).map_err(|error| error.context(running.log()))?;
    assert_eq!(heartbeat["callback_url"], format!("https://127.0.0.1:{port}"));
    assert!(fs::read_dir(&state)?.next().is_some(), "nothing is kept for a restart");

    let healthy = podman().args(["healthcheck", "run", "ferric-agent"]).output()?;
    assert!(healthy.status.success(), "{}", String::from_utf8_lossy(&healthy.stdout));
    let url = format!("https://127.0.0.1:{port}/v1/commands/?agent_token={TOKEN}");
    let commands = Command::new("curl").args(["-sSk", "--max-time", "20", &url]).output()?;
    assert_eq!(serde_json::from_slice::<Value>(&commands.stdout)?["commands"], Value::Array(Vec::new()));

    let stopped = podman().args(["stop", "--time", "10", "ferric-agent"]).output()?;
    assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    running.wait(START)?;
    Ok(())
}

/// The conductor switches a machine on and off whose ramdisk is the container.
#[test]
fn the_conductor_deploys_a_disk_from_inside_it() -> Result<()> {
    let image = BootImage::get(&deployment::programs().cache)?;
    let folder = tempfile::tempdir()?;
    let (disk, agent, port) = (LoopDevice::new(2048 * MEBIBYTE)?, free_port()?, free_port()?);
    let (facts, memory, log) =
        (folder.path().join("hardware.json"), folder.path().join("memory"), folder.path().join("agent.log"));
    let interface = json!({"name": "eth0", "mac_address": MAC, "ipv4_address": "192.0.2.10", "has_carrier": true});
    fs::write(&facts, json!({"interfaces": [interface], "boot": {"current_boot_mode": "bios"}}).to_string())?;
    let mut arguments = vec!["--image=localhost/ferric-agent:latest".to_owned()];
    arguments.push(format!("--api-url=http://127.0.0.1:{port}"));
    for option in [
        format!("allowed_devices={}", disk.path().display()),
        format!("simulated_hardware=/mnt/coreos{}", facts.display()),
        format!("state_dir=/mnt/coreos{}", memory.display()),
        format!("listen_port={agent}"),
        format!("advertise_port={agent}"),
        "advertise_host=127.0.0.1".to_owned(),
        // No switch speaks here.
        "lldp_timeout=1".to_owned(),
    ] {
        arguments.push(format!("--option={option}"));
    }
    let (conf, start) = installed(&arguments)?;
    let conf_path = folder.path().join("ignition.conf");
    fs::write(&conf_path, conf)?;
    let container = Container("ferric-agent-deploy");
    let mut command: Vec<String> =
        ["env", "DISABLE_HC_SYSTEMD=true", "podman", "--runtime", "runc"].map(str::to_owned).into();
    command.extend(adapted(&start, &conf_path, &container));

    let options = folder.path().join("conductor.json");
    let folders = [folder.path(), &deployment::programs().cache];
    let config = json!({"heartbeat_timeout_seconds": 20, "command_wait_interval_seconds": 0.5,
        "enabled_hardware_types": ["local-process"], "file_url_allowed_paths": folders});
    fs::write(&options, config.to_string())?;
    let mut stub = Command::new(program("conductor-stub"));
    stub.args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--config"]).arg(options);
    stub.arg("--state-dir").arg(folder.path().join("stub"));
    let stub = Process::start(&mut stub)?;
    wait_for_port(port, START)?;
    let mut client = Client::connect(&format!("http://127.0.0.1:{port}"))?;
    let driver_info = json!({"command": command, "memory": memory, "log": log});
    let node =
        client.call("create_node", json!({"driver": "local-process", "name": "n", "driver_info": driver_info}))?;
    let node = node.as_str().context("the node's id")?.to_owned();
    client.call("create_port", json!({"node": node, "address": MAC}))?;
    let source = json!([{"op": "add", "path": "/instance_info/image_source", "value": image.path}]);
    client.call("patch_node", json!({"node": node, "patch": source.clone()}))?;
    let logs = || format!("{}\n{}", stub.log(), fs::read_to_string(&log).unwrap_or_default());
    for target in ["manage", "inspect", "provide"] {
        client.provision(&node, target, json!({})).with_context(logs)?;
    }

    // CoreOS cannot be installed from a live system that is none; the reason is in the node's record.
    let interface = |name: &str| json!([{"op": "add", "path": "/deploy_interface", "value": name}]);
    client.call("patch_node", json!({"node": node, "patch": interface("custom-agent")}))?;
    let step = json!({"interface": "deploy", "step": "install_coreos", "priority": 80, "args": {}});
    let refused = client.provision(&node, "active", json!({"deploy_steps": [step]})).unwrap_err().to_string();
    assert!(refused.starts_with("active ended deploy failed"), "{refused}\n{}", logs());
    assert!(refused.contains("node does not support this step: deploy.install_coreos"), "{refused}");
    assert!(disk.read()?.iter().all(|byte| *byte == 0), "the cleaned disk was written");

    // Another way of deploying is for nodes at rest.
    client.provision(&node, "deleted", json!({})).with_context(logs)?;
    client.call("patch_node", json!({"node": node, "patch": interface("direct")}))?;
    client.call("patch_node", json!({"node": node, "patch": source}))?;
    client.provision(&node, "active", json!({})).with_context(logs)?;
    let inventory = client.call("inventory", json!({"node": node}))?;
    assert_eq!(inventory["inventory"]["disks"][0]["name"], disk.path().to_string_lossy().as_ref());
    disk.read()?;
    let found = verify::compare(&image.path, &disk.file())?;
    assert!(found.partitions > 0 && found.compared_bytes > 0, "{found}");
    Ok(())
}
