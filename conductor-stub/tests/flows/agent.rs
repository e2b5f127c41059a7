//! An agent that does nothing, at once, and says so in the agent's words.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

/// A running fake agent.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeAgent {
    memory: Arc<Mutex<Memory>>,
}

#[derive(Debug, Default)]
struct Memory {
    token: String,
    url: String,
    commands: Vec<Value>,
    received: Vec<Value>,
    /// What becomes of the next steps; without an entry they succeed.
    fates: Vec<Value>,
    busy: u32,
    server: Option<tokio::task::AbortHandle>,
}

#[derive(Deserialize)]
struct Access {
    agent_token: String,
}

impl FakeAgent {
    /// An agent that takes `token`.
    pub(crate) async fn start(token: &str) -> Self {
        let agent = Self::default();
        let routes = Router::new().route("/v1/commands/", get(list).post(run)).with_state(agent.clone());
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        {
            let mut memory = agent.memory.lock().unwrap();
            memory.token = token.into();
            memory.url = format!("http://{}", listener.local_addr().unwrap());
        }
        let server = tokio::spawn(async { axum::serve(listener, routes).await.unwrap() });
        agent.memory.lock().unwrap().server = Some(server.abort_handle());
        agent
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        self.memory.lock().unwrap().url.clone()
    }

    /// The commands it was given, in order.
    pub(crate) fn received(&self) -> Vec<Value> {
        self.memory.lock().unwrap().received.clone()
    }

    /// The names of the commands it was given.
    pub(crate) fn names(&self) -> Vec<String> {
        self.received().iter().map(|body| body["name"].as_str().unwrap().to_owned()).collect()
    }

    /// From now on it does not answer any more.
    pub(crate) fn stop(&self) {
        if let Some(server) = self.memory.lock().unwrap().server.take() {
            server.abort();
        }
    }

    /// From now on another one answers here, which knows nothing of the token.
    pub(crate) fn be_another(&self) {
        self.memory.lock().unwrap().token = "another".into();
    }

    /// The next step fails with these details.
    pub(crate) fn fail_next(&self, details: &str) {
        let fate = json!({"command_status": "FAILED", "command_error": {"type": "X", "code": 500, "message": "m", "details": details}});
        self.memory.lock().unwrap().fates.push(fate);
    }

    /// The next command is refused because another one runs.
    pub(crate) fn be_busy_once(&self) {
        self.memory.lock().unwrap().busy = 1;
    }

    /// Forgets its commands, as after a reboot.
    pub(crate) fn reboot(&self) {
        self.memory.lock().unwrap().commands.clear();
    }
}

fn refused(status: StatusCode, text: &str) -> (StatusCode, Json<Value>) {
    (status, Json(json!({"faultcode": "Client", "faultstring": text})))
}

async fn list(State(agent): State<FakeAgent>, Query(access): Query<Access>) -> (StatusCode, Json<Value>) {
    let memory = agent.memory.lock().unwrap();
    if access.agent_token != memory.token {
        return refused(StatusCode::UNAUTHORIZED, "401 Unauthorized: Token invalid.");
    }
    (StatusCode::OK, Json(json!({"commands": memory.commands})))
}

async fn run(
    State(agent): State<FakeAgent>,
    Query(access): Query<Access>,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let mut memory = agent.memory.lock().unwrap();
    if access.agent_token != memory.token {
        return refused(StatusCode::UNAUTHORIZED, "401 Unauthorized: Token invalid.");
    }
    let name = body["name"].as_str().unwrap().split('.').nth(1).unwrap().to_owned();
    if memory.busy > 0 && name.starts_with("execute") {
        memory.busy -= 1;
        return refused(StatusCode::CONFLICT, "Agent is busy: executing command x");
    }
    memory.received.push(body.clone());
    let kind = name.split('_').nth(1).unwrap_or_default();
    let mut result = json!({"id": "1", "command_name": name, "command_status": "SUCCEEDED", "command_error": null, "command_result": null});
    if name.starts_with("get_") && name.ends_with("_steps") {
        result["command_result"] = steps(kind);
    } else if name.starts_with("execute_") {
        let echo = body["params"]["step"].clone();
        result["command_result"] = json!({format!("{kind}_result"): null, format!("{kind}_step"): echo});
        if !memory.fates.is_empty() {
            let fate = memory.fates.remove(0);
            result.as_object_mut().unwrap().extend(fate.as_object().unwrap().clone());
        }
    } else if name == "get_partition_uuids" {
        result["command_result"] = json!({"root uuid": "root-1", "efi system partition uuid": null});
    }
    memory.commands.push(result.clone());
    if name.starts_with("execute_") {
        // The answer comes before the end; the list, asked later, shows the end.
        result["command_status"] = "RUNNING".into();
        result["command_result"] = Value::Null;
        result["command_error"] = Value::Null;
    }
    (StatusCode::OK, Json(result))
}

fn steps(kind: &str) -> Value {
    let list = match kind {
        "clean" => json!([
            {"interface": "deploy", "step": "erase_devices_metadata", "priority": 99, "abortable": true},
            {"interface": "deploy", "step": "erase_devices", "priority": 10, "abortable": true},
            {"interface": "deploy", "step": "burnin_cpu", "priority": 0, "argsinfo": {}},
            {"interface": "deploy", "step": "reboot_me", "priority": 0, "reboot_requested": true},
        ]),
        "deploy" => json!([
            {"interface": "deploy", "step": "write_image", "priority": 0, "argsinfo": {}},
            {"interface": "deploy", "step": "install_coreos", "priority": 0, "argsinfo": {}},
        ]),
        _ => json!([{"interface": "deploy", "step": "burnin_cpu", "priority": 0}]),
    };
    json!({format!("{kind}_steps"): {"GenericHardwareManager": list}, "hardware_manager_version": {"generic_hardware_manager": "1.2"}})
}
