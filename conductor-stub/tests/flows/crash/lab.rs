//! A conductor that is a process, and what it stands before.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use conductor_stub::bmc::server::{BmcServer, Setup};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::machine::{Machine, Memory};
use crate::bench::MAC;
use crate::efi::{efi_program, iso};
use crate::eventually::eventually;

const UUID: &str = "27946b59-9e44-4fa7-8e91-f3527a1ef094";
const TIMEOUT: Duration = Duration::from_secs(20);

/// Where an operation ends.
pub(super) struct Ends {
    pub(super) state: &'static str,
    pub(super) power: &'static str,
    /// Whether a medium is in the drive, and booted from now on.
    pub(super) inserted: bool,
    /// What agents were told to do.
    pub(super) commands: &'static [&'static str],
    /// How often the ramdisk was booted.
    pub(super) boots: RangeInclusive<u32>,
    pub(super) error: Option<&'static str>,
    /// What it boots by an override, where not its disk.
    pub(super) boots_from: Option<&'static str>,
    /// `UEFI` or `Legacy`.
    pub(super) mode: &'static str,
    pub(super) secure_boot: bool,
    /// A setting of its firmware, where that is looked at.
    pub(super) cores: Option<u32>,
    /// How often its firmware was fetched; what was fetched last is what runs.
    pub(super) fetches: RangeInclusive<u32>,
}

/// Everything but the conductor lives in this process.
pub(super) struct Lab {
    folder: tempfile::TempDir,
    bmc: BmcServer,
    api: String,
    memory: Arc<Mutex<Memory>>,
    machine: tokio::task::JoinHandle<()>,
    client: Client,
    conductor: Option<Child>,
    /// The node's state when a run begins.
    state_before: Value,
    /// System and drive when a run begins.
    before: (Value, Value),
}

impl Lab {
    async fn start() -> Self {
        conductor_stub::tls::use_ring();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("ramdisk.efi"), efi_program()).unwrap();
        std::fs::write(path("image.raw"), "an image").unwrap();
        std::fs::write(path("live.iso"), iso()).unwrap();
        let running = path("running");
        let script = format!("echo $$ $BOOT_URL > {0}.new; mv {0}.new {0}; exec sleep 600", running.display());
        let machine = json!({"uuid": UUID, "name": "machine-0", "macs": [MAC],
            "update_ms": 30, "process": {"command": ["sh", "-c", script], "log": path("machine.log")}});
        let setup = Setup {
            listen: ([127, 0, 0, 1], 0).into(),
            account: None,
            tls: None,
            machines: vec![serde_json::from_value(machine).unwrap()],
        };
        let bmc = BmcServer::start(setup).await.unwrap();
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let config = json!({
            "require_tls": false, "file_url_allowed_paths": [folder.path()], "ramdisk_efi": path("ramdisk.efi"),
            "check_interval_seconds": 0.1, "command_wait_interval_seconds": 0.02, "power_off_wait_seconds": 0.35,
            "progress_interval_seconds": 0, "redfish_retry_interval_seconds": 0.02, "callback_timeout_seconds": 600,
        });
        std::fs::write(path("config.json"), config.to_string()).unwrap();
        let memory: Arc<Mutex<Memory>> = Arc::default();
        let api = format!("http://127.0.0.1:{port}");
        let machine = Machine { running, api: api.clone(), memory: Arc::clone(&memory) };
        let machine = tokio::spawn(machine.live());
        let mut lab = Self {
            folder,
            bmc,
            api,
            memory,
            machine,
            client: Client::new(),
            conductor: None,
            state_before: Value::Null,
            before: Default::default(),
        };
        lab.start_conductor(None).await;
        lab
    }

    pub(super) async fn manageable() -> Self {
        let lab = Self::start().await;
        let info = json!({"redfish_address": format!("http://{}", lab.bmc.address)});
        let node = json!({"name": "n1", "driver": "redfish", "boot_interface": "redfish-https", "driver_info": info});
        let (_, node) = lab.call(Method::POST, "/v1/nodes", node).await.unwrap();
        lab.call(Method::POST, "/v1/ports", json!({"node_uuid": node["uuid"], "address": MAC})).await.unwrap();
        lab.provision(json!({"target": "manage"}), "manageable").await;
        lab
    }

    pub(super) async fn available() -> Self {
        let lab = Self::manageable().await;
        lab.patch(json!([{"op": "add", "path": "/automated_clean", "value": false}])).await;
        lab.provision(json!({"target": "provide"}), "available").await;
        let source = lab.folder.path().join("image.raw");
        lab.patch(json!([{"op": "add", "path": "/instance_info/image_source", "value": source}])).await;
        lab
    }

    pub(super) async fn active() -> Self {
        let lab = Self::available().await;
        lab.provision(json!({"target": "active"}), "active").await;
        lab.patch(json!([{"op": "add", "path": "/automated_clean", "value": true}])).await;
        lab
    }

    /// The instance is to be an ISO, by virtual media.
    pub(super) async fn wants_iso(&self) {
        let iso = self.folder.path().join("live.iso");
        self.patch(json!([
            {"op": "add", "path": "/deploy_interface", "value": "ramdisk"},
            {"op": "add", "path": "/boot_interface", "value": "redfish-virtual-media"},
            {"op": "add", "path": "/instance_info", "value": {"boot_iso": iso}},
        ]))
        .await;
    }

    /// Who is asked what the machine is.
    pub(super) async fn is_inspected_by(&self, interface: &str) {
        self.patch(json!([{"op": "add", "path": "/inspect_interface", "value": interface}])).await;
    }

    /// The URLs of firmware for the BMC and for the machine; the latter is another version each time that it is fetched.
    pub(super) async fn firmware(&self) -> [String; 2] {
        let serve = |component: &'static str| {
            let memory = Arc::clone(&self.memory);
            axum::routing::get(move || {
                let mut memory = memory.lock().unwrap();
                memory.fetches += 1;
                memory.version += u32::from(component == "bios");
                std::future::ready(format!("version: {}\ncomponent: {component}\n", memory.version))
            })
        };
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().route("/bmc.bin", serve("bmc")).route("/bios.bin", serve("bios"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        ["bmc", "bios"].map(|component| format!("{url}/{component}.bin"))
    }

    /// No agent calls.
    pub(super) fn is_silent(&self) {
        self.memory.lock().unwrap().silent = true;
    }

    /// Asks for a verb that ends in a state in which an agent is waited for.
    pub(super) async fn waits(&self, body: Value, state: &str) {
        let (status, answer) = self.call(Method::PUT, "/v1/nodes/n1/states/provision", body).await.unwrap();
        assert_eq!(status, 202, "{answer}");
        self.at_rest(|node| node["provision_state"] == state).await;
    }

    /// Every agent fails at its first step.
    pub(super) fn fails(&self) {
        self.memory.lock().unwrap().fails = true;
    }

    async fn patch(&self, patch: Value) {
        let (status, body) = self.call(Method::PATCH, "/v1/nodes/n1", patch).await.unwrap();
        assert_eq!(status, 200, "{body}");
    }

    /// Asks for a verb and waits until the node is at rest.
    pub(super) async fn provision(&self, body: Value, state: &str) {
        let (status, answer) = self.call(Method::PUT, "/v1/nodes/n1/states/provision", body).await.unwrap();
        assert_eq!(status, 202, "{answer}");
        let node = self.at_rest(|node| node["provision_state"] == state).await;
        assert_eq!(node["last_error"], Value::Null);
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> reqwest::Result<(StatusCode, Value)> {
        let request = self.client.request(method, format!("{}{path}", self.api));
        let mut request = request.header("X-OpenStack-Ironic-API-Version", "1.95");
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        Ok((status, serde_json::from_slice(&answer.bytes().await?).unwrap_or_default()))
    }

    async fn at_rest(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let node = self.call(Method::GET, "/v1/nodes/n1", Value::Null).await.map_or(Value::Null, |(_, node)| node);
            if !node.is_null() && fits(&node) && node["reservation"].is_null() {
                return node;
            }
            assert!(start.elapsed() < TIMEOUT, "{node}\n{:?}", self.memory.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Starts the conductor on its records, to be killed at `point`.
    async fn start_conductor(&mut self, point: Option<u64>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_conductor-stub"));
        command.args(["serve", "--listen", self.api.trim_start_matches("http://"), "--state-dir"]).arg(self.state());
        command.arg("--config").arg(self.folder.path().join("config.json"));
        if let Some(point) = point {
            command.env("CONDUCTOR_STUB_CRASH_AT", point.to_string());
        }
        let log = std::fs::File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        command.env("RUST_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = output.next_line().await.unwrap();
        // One that puts things right may be killed before it listens.
        assert!(
            url.is_some() || point.is_some(),
            "{}",
            std::fs::read_to_string(self.folder.path().join("log")).unwrap()
        );
        self.conductor = Some(child);
    }

    async fn kill_conductor(&mut self) {
        if let Some(mut child) = self.conductor.take() {
            child.kill().await.unwrap();
        }
    }

    /// Keeps the records as they are.
    pub(super) async fn snapshot(&mut self) {
        let (_, mut node) = self.call(Method::GET, "/v1/nodes/n1", Value::Null).await.unwrap();
        self.state_before = node["provision_state"].take();
        self.kill_conductor().await;
        copy(&self.state(), &self.folder.path().join("snapshot"));
        self.before = (self.redfish(Method::GET, "", Value::Null).await, self.drive().await);
    }

    /// Everything is as it was at the snapshot.
    pub(super) async fn restore(&mut self) {
        self.kill_conductor().await;
        std::fs::remove_dir_all(self.state()).unwrap();
        copy(&self.folder.path().join("snapshot"), &self.state());
        let reset = "/Actions/ComputerSystem.Reset";
        self.redfish(Method::POST, reset, json!({"ResetType": "ForceOff"})).await;
        let media = "/VirtualMedia/Cd/Actions/VirtualMedia";
        if self.drive().await["Inserted"] == true {
            self.redfish(Method::POST, &format!("{media}.EjectMedia"), json!({})).await;
        }
        let (system, drive) = &self.before;
        if drive["Inserted"] == true {
            self.redfish(Method::POST, &format!("{media}.InsertMedia"), json!({"Image": drive["Image"]})).await;
        }
        let target = match system["Boot"]["BootSourceOverrideTarget"].as_str() {
            Some("Cd") => "Cd",
            _ => "Hdd",
        };
        let boot = json!({"BootSourceOverrideTarget": target, "BootSourceOverrideEnabled": "Continuous",
            "BootSourceOverrideMode": "UEFI"});
        self.redfish(Method::PATCH, "", json!({ "Boot": boot })).await;
        self.redfish(Method::PATCH, "/SecureBoot", json!({"SecureBootEnable": false})).await;
        // In force at the next start.
        self.redfish(Method::POST, "/Bios/Actions/Bios.ResetBios", json!({})).await;
        if system["PowerState"] == "On" {
            self.redfish(Method::POST, reset, json!({"ResetType": "On"})).await;
        }
        let mut memory = self.memory.lock().unwrap();
        memory.commands.clear();
        (memory.boots, memory.fetches) = (0, 0);
    }

    async fn drive(&self) -> Value {
        self.redfish(Method::GET, "/VirtualMedia/Cd", Value::Null).await
    }

    async fn redfish(&self, method: Method, path: &str, body: Value) -> Value {
        let url = format!("http://{}/redfish/v1/Systems/{UUID}{path}", self.bmc.address);
        let mut request = self.client.request(method, url);
        if !body.is_null() {
            request = request.json(&body);
        }
        serde_json::from_slice(&request.send().await.unwrap().bytes().await.unwrap()).unwrap_or_default()
    }

    /// Starts a conductor that dies at `point` of what the request starts, another one when it has, and looks how it ends.
    /// Whether it got to the end unharmed.
    pub(super) async fn run(
        &mut self,
        point: u64,
        method: Method,
        path: &'static str,
        body: Value,
        ends: &Ends,
    ) -> bool {
        self.start_conductor(Some(point)).await;
        let before = self.history_length().await;
        let node = format!("/v1/nodes/n1{path}");
        let mut accepted = self.is_accepted(&method, &node, &body).await;
        let start = Instant::now();
        let unharmed = loop {
            if self.conductor.as_mut().unwrap().try_wait().unwrap().is_some() {
                break false;
            }
            let now = self.call(Method::GET, "/v1/nodes/n1", Value::Null).await;
            if accepted && now.is_ok_and(|(_, node)| node["reservation"].is_null() && self.is_at_rest(&node)) {
                break true;
            }
            assert!(start.elapsed() < TIMEOUT, "point {point}: no end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        if !unharmed {
            self.start_again(point).await;
            accepted |= self.history_length().await != before;
            if !accepted {
                assert!(self.is_accepted(&method, &node, &body).await, "point {point}");
            }
        }
        self.check(point, ends).await;
        unharmed
    }

    /// Asks, again while something else is done to the node; the conductor may die before it answers.
    async fn is_accepted(&self, method: &Method, path: &str, body: &Value) -> bool {
        let answer =
            eventually("the node is free", async || match self.call(method.clone(), path, body.clone()).await {
                Ok((StatusCode::CONFLICT, _)) => None,
                answer => Some(answer.is_ok_and(|(status, _)| status.is_success())),
            });
        answer.await
    }

    /// Starts a conductor, which may be killed while it puts things right, and then another one, until the node is at rest.
    async fn start_again(&mut self, point: u64) {
        self.start_conductor(Some(1 + point % 23)).await;
        let start = Instant::now();
        while self.conductor.as_mut().unwrap().try_wait().unwrap().is_none() {
            let now = self.call(Method::GET, "/v1/nodes/n1", Value::Null).await;
            if now.is_ok_and(|(_, node)| node["reservation"].is_null() && self.is_at_rest(&node)) {
                break;
            }
            assert!(start.elapsed() < TIMEOUT, "point {point}: not put right");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.kill_conductor().await;
        self.start_conductor(None).await;
        self.at_rest(|node| self.is_at_rest(node)).await;
    }

    /// How much has happened to the node.
    async fn history_length(&self) -> usize {
        let (_, history) = self.call(Method::GET, "/v1/nodes/n1/history", Value::Null).await.unwrap();
        history["history"].as_array().unwrap().len()
    }

    /// Whether the node is where it was before, or where operations end.
    fn is_at_rest(&self, node: &Value) -> bool {
        let state = node["provision_state"].as_str().unwrap();
        let on_its_way = state.ends_with("ing") || state.ends_with("wait") || state == "wait call-back";
        (!on_its_way || node["provision_state"] == self.state_before) && node["target_power_state"].is_null()
    }

    async fn check(&self, point: u64, ends: &Ends) {
        let node = self.at_rest(|node| self.is_at_rest(node)).await;
        let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let memory = format!("{:?}", self.memory.lock().unwrap());
        let told = || format!("point {point}: {memory}\n{node}\n{}", log());
        assert_eq!(node["provision_state"], ends.state, "{}", told());
        let error = node["last_error"].as_str();
        assert_eq!(error.is_some(), ends.error.is_some(), "{}", told());
        assert!(error.is_none_or(|error| error.contains(ends.error.unwrap())), "{}", told());
        let system = self.redfish(Method::GET, "", Value::Null).await;
        assert_eq!(system["PowerState"], ends.power, "{}", told());
        let target = system["Boot"]["BootSourceOverrideTarget"].as_str().unwrap();
        let wanted: &[&str] = match &ends.boots_from {
            Some(device) => &[device],
            None if ends.inserted => &["Cd"],
            None => &["None", "Hdd"],
        };
        assert!(wanted.contains(&target), "{target} {}", told());
        assert_eq!(system["Boot"]["BootSourceOverrideMode"], ends.mode, "{}", told());
        let secure_boot = self.redfish(Method::GET, "/SecureBoot", Value::Null).await;
        assert_eq!(secure_boot["SecureBootEnable"], ends.secure_boot, "{}", told());
        if let Some(cores) = ends.cores {
            let bios = self.redfish(Method::GET, "/Bios", Value::Null).await;
            assert_eq!(bios["Attributes"]["Cores"], cores, "{}", told());
        }
        assert_eq!(self.drive().await["Inserted"], ends.inserted, "{}", told());
        let (_, media) = self.call(Method::GET, "/stub/media", Value::Null).await.unwrap();
        let ours = |file: &Value| file["name"].as_str().unwrap().starts_with("agent.");
        assert!(!media["published"].as_array().unwrap().iter().any(ours), "{media} {}", told());
        let memory = self.memory.lock().unwrap();
        assert_eq!(memory.commands, ends.commands, "{}", told());
        assert!(ends.fetches.contains(&memory.fetches), "{} fetches, {}", memory.fetches, told());
        if memory.fetches > 0 {
            assert_eq!(system["BiosVersion"], memory.version.to_string(), "{}", told());
        }
        assert!(ends.boots.contains(&memory.boots), "{} boots, {}", memory.boots, told());
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.machine.abort();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() { copy(&from, &to) } else { assert!(std::fs::copy(&from, &to).is_ok()) }
    }
}
