//! A machine whose BMC switches it on and off, and the agent that runs in it as long as it is booted from its ramdisk.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::Client;
use serde_json::{Value, json};

use crate::agent::FakeAgent;
use crate::bench::MAC;

/// What its ramdisk does, on and on.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    /// Has the id of the process that stands for the running ramdisk, and the URL that it was booted from.
    pub(super) running: PathBuf,
    pub(super) api: String,
    pub(super) memory: Arc<Mutex<Memory>>,
}

#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Commands of all agents that change something, in order.
    pub(super) commands: Vec<String>,
    pub(super) boots: u32,
    /// How often its firmware was fetched.
    pub(super) fetches: u32,
    /// The version that was fetched last.
    pub(super) version: u32,
    /// Whether nobody calls.
    pub(super) silent: bool,
    /// Whether the first step fails.
    pub(super) fails: bool,
}

impl Machine {
    /// Lives until the task is aborted.
    pub(super) async fn live(self) {
        let client = Client::new();
        let mut last = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let Some(id) = self.process().filter(|id| *id != last) else { continue };
            last = id;
            self.memory.lock().unwrap().boots += 1;
            self.boot(&client, id).await;
        }
    }

    fn process(&self) -> Option<i32> {
        let id: i32 = std::fs::read_to_string(&self.running).ok()?.split_whitespace().next()?.parse().ok()?;
        kill(Pid::from_raw(id), None).ok().map(|()| id)
    }

    fn is_on(&self, id: i32) -> bool {
        self.process() == Some(id)
    }

    /// The kernel arguments of this boot; none when the ramdisk is no ramdisk of ours.
    async fn arguments(&self, client: &Client, id: i32) -> Option<Vec<(String, String)>> {
        let running = std::fs::read_to_string(&self.running).ok()?;
        let url = running.split_whitespace().nth(1).filter(|url| url.ends_with("agent.efi"))?;
        // The conductor may be away, or go in the middle of its answer.
        let ramdisk = loop {
            let body = match client.get(url).send().await {
                Ok(answer) if answer.status().is_success() => answer.bytes().await,
                Ok(_) => return None,
                Err(error) => Err(error),
            };
            match body {
                Ok(body) => break body,
                Err(_) if self.is_on(id) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(_) => return None,
            }
        };
        let line = String::from_utf8(ramdisk[1024..].to_vec()).ok()?;
        let words = line.split_whitespace().filter_map(|word| word.split_once('='));
        Some(words.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    async fn boot(&self, client: &Client, id: i32) {
        let silent = self.memory.lock().unwrap().silent;
        let Some(arguments) = self.arguments(client, id).await.filter(|_| !silent) else { return };
        let value = |name: &str| arguments.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        if let Some(url) = value("ipa-inspection-callback-url") {
            let data = json!({"inventory": {"interfaces": [{"name": "eth0", "mac_address": MAC, "ipv4_address": "192.0.2.5"}]}});
            while self.is_on(id) {
                let sent = client.post(&url).json(&data).send().await;
                if sent.is_ok_and(|answer| answer.status() == 202) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            return;
        }
        let agent = FakeAgent::start(&value("ipa-agent-token").unwrap()).await;
        if self.memory.lock().unwrap().fails {
            agent.fail_next("it burnt");
        }
        let mut seen = 0;
        while self.is_on(id) && !agent.names().iter().any(|name| name == "rescue.finalize_rescue") {
            self.heartbeat(client, &agent, &value("ipa-agent-token").unwrap()).await;
            seen = self.note(&agent, seen, id);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.note(&agent, seen, id);
        agent.stop();
    }

    async fn heartbeat(&self, client: &Client, agent: &FakeAgent, token: &str) {
        let look_up = format!("{}/v1/lookup?addresses={MAC}", self.api);
        let version =
            |request: reqwest::RequestBuilder| request.header("X-OpenStack-Ironic-API-Version", "1.68").send();
        let Ok(found) = version(client.get(look_up)).await else { return };
        let Ok(found) = found.json::<Value>().await else { return };
        let Some(uuid) = found["node"]["uuid"].as_str() else { return };
        let body = json!({"callback_url": agent.url(), "agent_token": token, "agent_version": "1.0"});
        // The conductor may be away.
        let _ = version(client.post(format!("{}/v1/heartbeat/{uuid}", self.api)).json(&body)).await;
    }

    /// Does what the agent was told after the first `seen` commands; how many it was told.
    fn note(&self, agent: &FakeAgent, seen: usize, id: i32) -> usize {
        let received = agent.received();
        received[seen..].iter().for_each(|command| self.obey(command, id, agent));
        received.len()
    }

    fn obey(&self, command: &Value, id: i32, agent: &FakeAgent) {
        let name = command["name"].as_str().unwrap().split_once('.').unwrap().1.to_owned();
        match name.as_str() {
            "power_off" => {
                // The machine switches itself off, and its agent is gone.
                agent.stop();
                let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
            }
            "finalize_rescue" => agent.stop(),
            _ => {}
        }
        if name.starts_with("execute_") {
            let step = command["params"]["step"]["step"].as_str().unwrap();
            self.memory.lock().unwrap().commands.push(format!("{name} {step}"));
        }
    }
}
