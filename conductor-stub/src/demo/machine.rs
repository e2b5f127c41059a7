//! The conductor's process and the one node it has, through Ironic's own API.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::Demo;
use super::display::Display;

const NODE: &str = "demo";
/// The address of its network interface.
pub const MAC: &str = "52:54:00:fe:44:1c";
/// How long one stage may take.
const TIMEOUT: Duration = Duration::from_secs(170);

/// A running conductor with one enrolled machine.
#[derive(Debug)]
pub struct Machine {
    /// The conductor's URL.
    pub url: String,
    client: Client,
    conductor: Child,
    driver_info: Value,
    logs: [PathBuf; 2],
}

impl Machine {
    /// Starts the conductor. The machine that it will switch on is an agent that may touch `disk` and nothing else.
    ///
    /// # Errors
    /// When the conductor does not start.
    pub async fn start(demo: &Demo, work: &Path, disk: &Path) -> Result<Self> {
        crate::tls::use_ring();
        ensure!(demo.agent.is_file(), "{} is missing: build the whole workspace", demo.agent.display());
        let [conductor_log, agent_log] = ["conductor.log", "agent.log"].map(|name| work.join(name));
        let folders = [work.canonicalize()?, demo.cache.canonicalize()?];
        let config = json!({"enabled_hardware_types": ["local-process"], "file_url_allowed_paths": folders, "journal_kib": 8192, "heartbeat_timeout_seconds": 20, "command_wait_interval_seconds": 0.5, "progress_interval_seconds": 0.25});
        std::fs::write(work.join("config.json"), config.to_string())?;
        let facts = json!({
            "system_vendor": {"manufacturer": "Ferric", "product_name": "Demo machine", "serial_number": "0001"},
            "interfaces": [{"name": "eth0", "mac_address": MAC, "ipv4_address": "192.0.2.10", "has_carrier": true}],
            "bmc_address": null,
            "boot": {"current_boot_mode": "bios", "pxe_interface": MAC},
        });
        std::fs::write(work.join("hardware.json"), facts.to_string())?;
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port().to_string();
        let text = |path: &Path| path.display().to_string();
        let memory = text(&work.join("memory"));
        let command = json!([
            text(&demo.agent),
            "run",
            "--allow-device",
            text(disk),
            "--simulated-hardware",
            text(&work.join("hardware.json")),
            "--listen-host",
            "127.0.0.1",
            "--advertise-host",
            "127.0.0.1",
            "--listen-port",
            port,
            "--state-dir",
            memory,
        ]);
        let listener = crate::urls::listen()?;
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(&demo.conductor)
            .args(["serve", "--listen-on-stdin", "--state-dir"])
            .arg(work.join("conductor"))
            .arg("--config")
            .arg(work.join("config.json"))
            .stdin(OwnedFd::from(listener))
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&conductor_log)?)
            // Ctrl-C is for us: the conductor is told to end when everything else has been asked.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("starting the conductor")?;
        let output = child.stdout.take().context("the conductor's output")?;
        let first = BufReader::new(output).lines().next_line().await?;
        let Some(url) = first else { bail!("the conductor did not start: {}", tail(&conductor_log)) };
        let driver_info = json!({"command": command, "log": text(&agent_log), "memory": memory});
        Ok(Self { url, client: Client::new(), conductor: child, driver_info, logs: [conductor_log, agent_log] })
    }

    /// What the node's record says about reaching this machine.
    pub fn driver_info(&self) -> &Value {
        &self.driver_info
    }

    /// Enrols the node and its port.
    ///
    /// # Errors
    /// When the conductor refuses.
    pub async fn enrol(&self) -> Result<()> {
        let node = json!({"name": NODE, "driver": "local-process", "driver_info": self.driver_info});
        let node = self.call(Method::POST, "/v1/nodes", Some(node)).await?;
        self.call(Method::POST, "/v1/ports", Some(json!({"node_uuid": node["uuid"], "address": MAC}))).await?;
        Ok(())
    }

    /// Something of the node.
    ///
    /// # Errors
    /// When the conductor refuses.
    pub async fn get(&self, what: &str) -> Result<Value> {
        self.call(Method::GET, &format!("/v1/nodes/{NODE}{what}"), None).await
    }

    /// Changes the node.
    ///
    /// # Errors
    /// When the conductor refuses.
    pub async fn patch(&self, patch: Value) -> Result<()> {
        self.call(Method::PATCH, &format!("/v1/nodes/{NODE}"), Some(patch)).await.map(|_| ())
    }

    /// Asks for a change of state and shows it until `state` is reached.
    ///
    /// # Errors
    /// The node's `last_error` when it fails.
    pub async fn verb(&self, body: Value, state: &str, display: &Display) -> Result<()> {
        let start = Instant::now();
        self.call(Method::PUT, &format!("/v1/nodes/{NODE}/states/provision"), Some(body)).await?;
        loop {
            let shown = self.call(Method::GET, &format!("/stub/nodes/{NODE}"), None).await?;
            let node = &shown["node"];
            display.node(node, start.elapsed().as_secs_f64());
            let now = node["provision_state"].as_str().unwrap_or_default();
            if now == state && node["locked"] == false {
                return Ok(());
            }
            if now.ends_with("failed") || !node["last_error"].is_null() || start.elapsed() > TIMEOUT {
                bail!("{now} on the way to {state}: {}", node["last_error"].as_str().unwrap_or("no end in sight"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The steps that ended since `start`, as the conductor noted them.
    ///
    /// # Errors
    /// When the conductor does not answer.
    pub async fn steps_since(&self, start: Instant) -> Result<Vec<Value>> {
        let since = crate::clock::seconds() - start.elapsed().as_secs_f64();
        let shown = self.call(Method::GET, &format!("/stub/nodes/{NODE}"), None).await?;
        let history = shown["history"].as_array().cloned().unwrap_or_default();
        Ok(history
            .into_iter()
            .filter(|entry| entry["kind"] == "step" && entry["at"].as_f64().unwrap_or_default() >= since)
            .collect())
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let mut request = self
            .client
            .request(method.clone(), format!("{}{path}", self.url))
            .header("X-OpenStack-Ironic-API-Version", "1.95");
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.with_context(|| format!("{method} {path}"))?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status.is_success(), "{method} {path}: {status}: {text}");
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// The end of both logs.
    pub fn logs(&self) -> String {
        self.logs.iter().map(|log| format!("--- {}\n{}\n", log.display(), tail(log))).collect()
    }

    /// Ends the conductor, which ends the agent.
    pub async fn stop(mut self) {
        if let Some(id) = self.conductor.id().and_then(|id| i32::try_from(id).ok()) {
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
            let _ = tokio::time::timeout(Duration::from_secs(10), self.conductor.wait()).await;
        }
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
