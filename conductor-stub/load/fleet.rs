//! Machines that are only agents: each has a record of its own, all of them answer at one address.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use reqwest::{Client, Method};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;
use uuid::Uuid;

/// How long a machine may take to get where it is to be.
const TIMEOUT: Duration = Duration::from_secs(600);
/// How often an owner looks at a machine.
const LOOK: Duration = Duration::from_millis(500);
/// How long a step takes.
const STEP: Duration = Duration::from_millis(200);

/// All machines, and the hands of their owner.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    client: Client,
    api: String,
    /// Where the agents listen.
    address: SocketAddr,
    agents: Arc<Mutex<HashMap<Uuid, Agent>>>,
    /// How long the owner's requests took.
    times: Arc<Mutex<Vec<Duration>>>,
    /// How often agents call by themselves.
    pub(crate) period: Duration,
}

/// What runs on one machine since it was booted.
#[derive(Debug, Default)]
struct Agent {
    token: Option<String>,
    commands: Vec<Value>,
    /// Steps that change something, of all boots.
    done: Vec<String>,
    /// The arguments of the last one.
    last: Value,
    /// Whether its steps never end.
    endless: bool,
    changed: Arc<Notify>,
}

impl Fleet {
    /// Agents that call the conductor at `api`, each by itself after `period`.
    ///
    /// # Errors
    /// When they cannot listen.
    pub(crate) async fn start(api: &str, period: Duration, client: Client) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let fleet = Self {
            client,
            api: api.to_owned(),
            address: listener.local_addr()?,
            agents: Arc::default(),
            times: Arc::default(),
            period,
        };
        let routes = Router::new().route("/{node}/v1/commands/", get(list).post(run)).with_state(fleet.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(fleet)
    }

    /// The owner's request, measured; again while the conductor is away or somebody else is at the node.
    ///
    /// # Errors
    /// When it is refused.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let start = Instant::now();
        loop {
            let began = Instant::now();
            let answer = self.send(method.clone(), path, body).await;
            ensure!(start.elapsed() < TIMEOUT, "{method} {path}: {answer:?}");
            match answer {
                Ok((StatusCode::CONFLICT, _)) | Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
                Ok((status, answer)) => {
                    self.times().push(began.elapsed());
                    ensure!(status.is_success(), "{method} {path}: {status} {answer}");
                    return Ok(answer);
                }
            }
        }
    }

    /// Median, 99th percentile and number of the owner's requests so far; they are forgotten.
    pub(crate) fn latencies(&self) -> (Duration, Duration, usize) {
        let mut times = std::mem::take(&mut *self.times());
        times.sort_unstable();
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
        (at(50), at(99), times.len())
    }

    /// The steps that the machine's agents were given and that change something.
    pub(crate) fn steps(&self, node: Uuid) -> Vec<String> {
        self.agents().get(&node).map(|agent| agent.done.clone()).unwrap_or_default()
    }

    /// The arguments of the last of them.
    pub(crate) fn last_step(&self, node: Uuid) -> Value {
        self.agents().get(&node).map(|agent| agent.last.clone()).unwrap_or_default()
    }

    /// From now on a step of this machine never ends.
    pub(crate) fn never_ends(&self, node: Uuid) {
        self.agents().entry(node).or_default().endless = true;
    }

    /// Enrols the machine of this number.
    ///
    /// # Errors
    /// When that is refused.
    pub(crate) async fn enrol(&self, number: u32) -> Result<Uuid> {
        let uuid = Uuid::new_v4();
        let node = json!({"uuid": uuid, "name": format!("machine-{number}"), "driver": "fake-hardware"});
        self.call(Method::POST, "/v1/nodes", Some(&node)).await?;
        self.agents().entry(uuid).or_default();
        let port = json!({"node_uuid": uuid, "address": address(number)});
        self.call(Method::POST, "/v1/ports", Some(&port)).await?;
        Ok(uuid)
    }

    /// Takes a machine to `state` by `target`, as its owner and as everything that runs on it.
    ///
    /// # Errors
    /// When it does not get there.
    pub(crate) async fn go(&self, node: Uuid, number: u32, target: &str, state: &str) -> Result<()> {
        let path = format!("/v1/nodes/{node}");
        let body = json!({ "target": target });
        // A conductor that was killed may have taken the request and not answered.
        let before = self.call(Method::GET, &path, None).await?["provision_state"].clone();
        let asked = self.call(Method::PUT, &format!("{path}/states/provision"), Some(&body)).await;
        if let Err(error) = asked {
            let now = self.call(Method::GET, &path, None).await?;
            ensure!(now["provision_state"] != before, "{error}");
        }
        let start = Instant::now();
        loop {
            let now = self.call(Method::GET, &path, None).await?;
            match now["provision_state"].as_str().unwrap_or_default() {
                at if at == state && now["reservation"].is_null() => return Ok(()),
                "inspect wait" => self.inspected(number).await,
                "clean wait" | "wait call-back" => self.run(node, number, &path).await?,
                at => ensure!(!at.ends_with("failed"), "machine {number}: {at}: {}", now["last_error"]),
            }
            ensure!(start.elapsed() < TIMEOUT, "machine {number} did not get to {state}: {now}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Sends what was found out about the machine.
    async fn inspected(&self, number: u32) {
        let interface = json!({"name": "eth0", "mac_address": address(number), "ipv4_address": "192.0.2.5"});
        let data = json!({"inventory": {"interfaces": [interface], "memory": {"physical_mb": 4096}}});
        // Whether it arrived shows.
        let _ = self.send(Method::POST, "/v1/continue_inspection", Some(&data)).await;
    }

    /// Runs the agent until nobody waits for it any more.
    async fn run(&self, node: Uuid, number: u32, path: &str) -> Result<()> {
        let changed = Arc::clone(&self.agents().entry(node).or_default().changed);
        let mut due = Instant::now();
        loop {
            if Instant::now() >= due {
                let heard = self.beat(node, number).await;
                // It calls when something has changed, and in between; soon again, where somebody else was at its node.
                due = Instant::now() + if heard { self.period } else { LOOK };
            }
            // Its owner sees sooner that it was switched off.
            if tokio::time::timeout(LOOK, changed.notified()).await.is_ok() {
                due = Instant::now();
            }
            let now = self.call(Method::GET, path, None).await?;
            let at = now["provision_state"].as_str().unwrap_or_default();
            if !at.ends_with("wait") && at != "wait call-back" && now["reservation"].is_null() {
                return Ok(());
            }
        }
    }

    /// One call of the agent: a look-up when it has no token, then a heartbeat. Whether it was heard.
    pub(crate) async fn beat(&self, node: Uuid, number: u32) -> bool {
        let known = self.agents().get(&node).and_then(|agent| agent.token.clone());
        if let Some(token) = known {
            let status = self.heartbeat(node, &token).await;
            if status != Some(StatusCode::BAD_REQUEST) {
                return status == Some(StatusCode::ACCEPTED);
            }
        }
        // Its machine was switched off: this is another boot.
        let token = self.look_up(number).await;
        {
            let mut agents = self.agents();
            let agent = agents.entry(node).or_default();
            agent.commands.clear();
            agent.token.clone_from(&token);
        }
        match token {
            Some(token) => self.heartbeat(node, &token).await == Some(StatusCode::ACCEPTED),
            None => false,
        }
    }

    async fn heartbeat(&self, node: Uuid, token: &str) -> Option<StatusCode> {
        let url = format!("http://{}/{node}", self.address);
        let body = json!({"callback_url": url, "agent_token": token, "agent_version": "1.0"});
        let answer = self.send(Method::POST, &format!("/v1/heartbeat/{node}"), Some(&body)).await;
        answer.ok().map(|(status, _)| status)
    }

    async fn look_up(&self, number: u32) -> Option<String> {
        let path = format!("/v1/lookup?addresses={}", address(number));
        let (_, found) = self.send(Method::GET, &path, None).await.ok()?;
        let token = found["config"]["agent_token"].as_str()?;
        token.chars().any(|letter| letter != '*').then(|| token.to_owned())
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(StatusCode, Value)> {
        let version = if path.starts_with("/v1/nodes") { "1.95" } else { "1.68" };
        let request = self.client.request(method, format!("{}{path}", self.api));
        let mut request = request.header("X-OpenStack-Ironic-API-Version", version);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        Ok((status, serde_json::from_slice(&answer.bytes().await?).unwrap_or_default()))
    }

    fn agents(&self) -> MutexGuard<'_, HashMap<Uuid, Agent>> {
        self.agents.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn times(&self) -> MutexGuard<'_, Vec<Duration>> {
        self.times.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The machine's MAC address.
fn address(number: u32) -> String {
    let [_, a, b, c] = number.to_be_bytes();
    format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")
}

#[derive(Debug, Deserialize)]
struct Access {
    agent_token: String,
}

type Answer = (StatusCode, Json<Value>);

fn refused(status: StatusCode, text: &str) -> Answer {
    (status, Json(json!({"faultcode": "Client", "faultstring": text})))
}

async fn list(State(fleet): State<Fleet>, Path(node): Path<Uuid>, Query(access): Query<Access>) -> Answer {
    match fleet.agents().get(&node) {
        Some(agent) if agent.token.as_ref() == Some(&access.agent_token) => {
            (StatusCode::OK, Json(json!({"commands": agent.commands})))
        }
        _ => refused(StatusCode::UNAUTHORIZED, "401 Unauthorized: Token invalid."),
    }
}

async fn run(
    State(fleet): State<Fleet>,
    Path(node): Path<Uuid>,
    Query(access): Query<Access>,
    Json(body): Json<Value>,
) -> Answer {
    let name = body["name"].as_str().and_then(|name| name.split_once('.')).map_or("", |(_, name)| name).to_owned();
    let mut agents = fleet.agents();
    let Some(agent) = agents.get_mut(&node).filter(|agent| agent.token.as_ref() == Some(&access.agent_token)) else {
        return refused(StatusCode::UNAUTHORIZED, "401 Unauthorized: Token invalid.");
    };
    let is_busy = agent.commands.last().is_some_and(|command| command["command_status"] == "RUNNING");
    if is_busy {
        return refused(StatusCode::CONFLICT, "Agent is busy: executing command x");
    }
    let (mut status, mut result) = ("SUCCEEDED", Value::Null);
    match name.as_str() {
        "get_clean_steps" => result = steps("clean", &json!({"step": "erase_devices_metadata", "priority": 10})),
        "get_deploy_steps" => result = steps("deploy", &json!({"step": "write_image", "priority": 0})),
        "get_partition_uuids" => result = json!({"root uuid": "root", "efi system partition uuid": null}),
        _ if name.starts_with("execute_") => {
            status = "RUNNING";
            agent.done.push(format!("{name} {}", body["params"]["step"]["step"].as_str().unwrap_or_default()));
            agent.last = body["params"]["step"]["args"].clone();
            if !agent.endless {
                tokio::spawn(fleet.clone().finish(node, body["params"]["step"].clone(), access.agent_token.clone()));
            }
        }
        _ => {}
    }
    let command = json!({"id": Uuid::new_v4(), "command_name": name, "command_status": status,
        "command_error": null, "command_result": result});
    agent.commands.push(command.clone());
    (StatusCode::OK, Json(command))
}

fn steps(family: &str, step: &Value) -> Value {
    let mut step = step.clone();
    step["interface"] = "deploy".into();
    json!({format!("{family}_steps"): {"Simulated": [step]}, "hardware_manager_version": {"simulated": "1"}})
}

impl Fleet {
    /// Ends the step that runs, if the machine is still in the same boot, and has the agent call.
    async fn finish(self, node: Uuid, step: Value, token: String) {
        tokio::time::sleep(STEP).await;
        let mut agents = self.agents();
        let Some(agent) = agents.get_mut(&node).filter(|agent| agent.token.as_ref() == Some(&token)) else { return };
        let Some(command) = agent.commands.last_mut() else { return };
        let name = command["command_name"].as_str().unwrap_or_default();
        let family = name.split('_').nth(1).unwrap_or_default().to_owned();
        command["command_result"] = json!({format!("{family}_step"): step, format!("{family}_result"): null});
        command["command_status"] = "SUCCEEDED".into();
        agent.changed.notify_one();
    }
}

/// Does `work` for every machine at once; the first that fails ends it.
///
/// # Errors
/// Of the first that fails.
pub(crate) async fn all<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
    machines: u32,
    work: impl Fn(u32) -> F,
) -> Result<Vec<T>> {
    let mut running = tokio::task::JoinSet::new();
    for number in 0..machines {
        running.spawn(work(number));
    }
    let mut results = Vec::new();
    while let Some(result) = running.join_next().await {
        results.push(result.context("a machine")??);
    }
    Ok(results)
}
