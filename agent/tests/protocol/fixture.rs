//! An agent that runs for one test, and an Ironic that answers as told and remembers what it was asked.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What [`Ironic`] hands out.
pub(crate) const TOKEN: &str = "0123456789012345678901234567890123456789012";
pub(crate) const NODE: &str = "1be26c0b-03f2-4d2e-ae87-c02d7f33c123";
pub(crate) const MAC: &str = "52:54:00:aa:bb:01";

/// Long enough for a slow machine; tests end as soon as what they wait for is there.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// Waits until `probe` gives something.
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(started.elapsed() < TIMEOUT, "{what}: not within {TIMEOUT:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A request that Ironic got.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) version: Option<String>,
    pub(crate) body: Value,
    pub(crate) at: Instant,
}

#[derive(Default)]
struct Script {
    asked: Vec<Asked>,
    /// Answers to be given before the usual one, by the beginning of the path.
    special: Vec<(String, VecDeque<(u16, Value)>)>,
    lookup_config: Value,
}

/// An Ironic.
#[derive(Clone)]
pub(crate) struct Ironic {
    pub(crate) url: String,
    script: Arc<Mutex<Script>>,
}

impl Ironic {
    /// One that finds the node and accepts everything.
    pub(crate) async fn start() -> Self {
        let script = Arc::new(Mutex::new(Script {
            lookup_config: json!({"heartbeat_timeout": 300, "agent_token": TOKEN, "agent_token_required": true}),
            ..Script::default()
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router =
            Router::new().fallback(answer).layer(axum::extract::DefaultBodyLimit::disable()).with_state(script.clone());
        tokio::spawn(async move { axum_serve(listener, router).await });
        Self { url, script }
    }

    /// Gives these answers to the next requests whose path begins so.
    pub(crate) fn answer_first(&self, path: &str, answers: impl IntoIterator<Item = (u16, Value)>) {
        self.script.lock().unwrap().special.push((path.to_string(), answers.into_iter().collect()));
    }

    /// Changes a key of the look-up's `config`.
    pub(crate) fn configure(&self, key: &str, value: Value) {
        self.script.lock().unwrap().lookup_config[key] = value;
    }

    /// What it was asked below a path so far.
    pub(crate) fn asked(&self, path: &str) -> Vec<Asked> {
        self.script.lock().unwrap().asked.iter().filter(|asked| asked.path.starts_with(path)).cloned().collect()
    }

    /// Waits for the request number `count` below a path.
    pub(crate) async fn wait_for(&self, path: &str, count: usize) -> Asked {
        eventually(&format!("request {count} to {path}"), async || self.asked(path).get(count - 1).cloned()).await
    }
}

/// Serves a router without axum's own server, which this workspace does not build.
async fn axum_serve(listener: tokio::net::TcpListener, router: Router) {
    ferric_agent::server::serve(listener, None, router, std::future::pending::<()>()).await;
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let version = parts.headers.get("x-openstack-ironic-api-version").map(|v| v.to_str().unwrap().to_string());
    let path = parts.uri.path().to_string();
    let mut script = script.lock().unwrap();
    script.asked.push(Asked {
        method: parts.method,
        path: path.clone(),
        query: parts.uri.query().unwrap_or_default().to_string(),
        version,
        body: serde_json::from_slice(&body).unwrap_or_default(),
        at: Instant::now(),
    });
    let special = script.special.iter_mut().filter(|(start, _)| path.starts_with(start.as_str()));
    if let Some((status, body)) = special.filter_map(|(_, answers)| answers.pop_front()).next() {
        return (StatusCode::from_u16(status).unwrap(), Json(body)).into_response();
    }
    match path.as_str() {
        "/" => Json(json!({"default_version": {"id": "v1", "version": "1.115"}})).into_response(),
        "/v1/lookup" => {
            let node = json!({"uuid": NODE, "properties": {}, "instance_info": {}, "driver_internal_info": {}});
            Json(json!({"node": node, "config": script.lookup_config})).into_response()
        }
        "/v1/continue_inspection" => (StatusCode::ACCEPTED, Json(json!({ "uuid": NODE }))).into_response(),
        path if path.starts_with("/v1/heartbeat/") => StatusCode::ACCEPTED.into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A port that only one agent gets. It lies below those that the kernel gives to outgoing connections, which could take
/// it away while an agent starts, or starts again.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(7919);
    let ports = (0..20_000).map(|_| 10_000 + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000);
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.map(|port| port as u16).find(free).unwrap()
}

/// How an agent is started.
pub(crate) struct Setup {
    /// Keeps configuration, state and plugins; two agents with the same one are the same agent restarted.
    pub(crate) directory: Arc<TempDir>,
    pub(crate) port: u16,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Setup {
    /// An agent without TLS on a port of its own.
    pub(crate) fn new() -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let port = free_port();
        let root = directory.path().to_path_buf();
        let path = |name: &str| root.join(name).display().to_string();
        for name in ["conf", "steps.d"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        let hardware = json!({"interfaces": [{"name": "eno1", "mac_address": MAC, "has_carrier": true,
                                              "ipv4_address": "192.0.2.5"}]});
        std::fs::write(path("hardware.json"), hardware.to_string()).unwrap();
        // In a file, so that a test can have it otherwise by a flag.
        std::fs::write(path("conf/disks.conf"), "[DEFAULT]\ndisk_wait_attempts = 0\n").unwrap();
        let mut setup = Self { port, arguments: vec!["run".into()], environment: Vec::new(), directory };
        setup.flag("--config-dir", &path("conf"));
        setup.flag("--steps-dir", &path("steps.d"));
        setup.flag("--state-dir", &path("state"));
        setup.flag("--simulated-hardware", &path("hardware.json"));
        setup.flag("--allow-device", "/dev/no-such-device");
        setup.flag("--listen-host", "127.0.0.1");
        setup.flag("--listen-port", &port.to_string());
        setup
    }

    /// Adds a flag with a value.
    pub(crate) fn flag(&mut self, name: &str, value: &str) -> &mut Self {
        self.arguments.extend([name.to_string(), value.to_string()]);
        self
    }

    /// Adds a flag without a value.
    pub(crate) fn switch(&mut self, name: &str) -> &mut Self {
        self.arguments.push(name.to_string());
        self
    }

    /// Takes the certificate authorities of the system away.
    pub(crate) fn without_authorities(&mut self) -> &mut Self {
        self.environment.push(("SSL_CERT_FILE".to_string(), "/nonexistent".to_string()));
        self
    }

    /// A step `wait` of all three kinds that ends when [`Setup::release`] is called.
    pub(crate) fn plugin(&self) -> &Self {
        let go = self.directory.path().join("go").display().to_string();
        let steps = json!([{"step": "wait", "priority": 0, "interface": "deploy"}]);
        let listing = json!({"manager": "WaitHardwareManager", "version": "1",
                             "steps": {"clean": steps, "deploy": steps, "service": steps}});
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = list ] && {{ echo '{listing}'; exit; }}\n\
             echo 'progress: 1/2 waiting'\nwhile [ ! -e {go} ]; do sleep 0.05; done\necho 'result: {{\"waited\": true}}'\n"
        );
        let path = self.directory.path().join("steps.d/wait");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// Lets the step `wait` end.
    pub(crate) fn release(&self) {
        std::fs::write(self.directory.path().join("go"), "").unwrap();
    }

    /// Starts the agent.
    pub(crate) fn start(&self) -> Agent {
        let log: PathBuf = self.directory.path().join("log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_ferric-agent"))
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        Agent { child, url: format!("http://127.0.0.1:{}", self.port), log, _directory: self.directory.clone() }
    }
}

/// A running agent; it is killed when the test ends.
pub(crate) struct Agent {
    child: Child,
    pub(crate) url: String,
    log: PathBuf,
    _directory: Arc<TempDir>,
}

impl Agent {
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, as a container engine does.
    pub(crate) fn terminate(&self) {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
    }

    /// Waits for its end and returns the exit code.
    pub(crate) async fn exit_code(&mut self) -> i32 {
        let child = &mut self.child;
        eventually("the end of the agent", async || child.try_wait().unwrap()).await.code().unwrap()
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) async fn serves(&self) {
        eventually("the API", async || plain().get(&self.url).send().await.ok()).await;
    }

    /// Sends a request and gives status and body.
    pub(crate) async fn request(&self, method: Method, path: &str, body: &str) -> (u16, Value) {
        let request = plain().request(method, format!("{}{path}", self.url)).body(body.to_string());
        let response = request.send().await.unwrap();
        (response.status().as_u16(), serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
    }

    /// Sends a command as the conductor does.
    pub(crate) async fn command(&self, name: &str, params: Value, wait: bool) -> (u16, Value) {
        let path = format!("/v1/commands/?wait={wait}&agent_token={TOKEN}");
        self.request(Method::POST, &path, &json!({"name": name, "params": params}).to_string()).await
    }

    /// The list of commands.
    pub(crate) async fn commands(&self) -> Vec<Value> {
        let path = format!("/v1/commands/?agent_token={TOKEN}");
        let (status, body) = self.request(Method::GET, &path, "").await;
        assert_eq!(status, 200, "{body}");
        body["commands"].as_array().unwrap().clone()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the agent's log:\n{}", self.log());
        }
    }
}

/// A client that follows nothing and uses no proxy.
pub(crate) fn plain() -> reqwest::Client {
    plain_from(None)
}

/// As [`plain`], from an address of this machine.
pub(crate) fn plain_from(address: Option<IpAddr>) -> reqwest::Client {
    reqwest::Client::builder()
        .tls_backend_preconfigured(
            ferric_steps::http::tls::client_config(&ferric_steps::options::Tls::default()).unwrap(),
        )
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .local_address(address)
        .build()
        .unwrap()
}

/// An agent with a token that nobody looked up, as most tests of the API need it.
pub(crate) async fn standalone(setup: &mut Setup) -> Agent {
    setup.flag("--agent-token", TOKEN).switch("--standalone");
    let agent = setup.start();
    agent.serves().await;
    agent
}

/// An agent that has found its node, without TLS.
pub(crate) async fn looked_up(setup: &mut Setup, ironic: &Ironic) -> Agent {
    setup.flag("--api-url", &ironic.url).switch("--noenable-auto-tls");
    let agent = setup.start();
    agent.serves().await;
    agent
}

/// Parameters of a step command.
pub(crate) fn step(kind: &str, step: Value) -> Value {
    json!({"step": step, "node": {"uuid": NODE, "properties": {}}, "ports": [], format!("{kind}_version"): null})
}
