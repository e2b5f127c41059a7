//! A conductor, one node, and the hands of its owner and of its agent.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use conductor_stub::config::Config;
use conductor_stub::server::Server;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::agent::FakeAgent;

/// Loopback, any port.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(crate) const MAC: &str = "52:54:00:aa:bb:01";

pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) state: tempfile::TempDir,
    client: reqwest::Client,
}

pub(crate) fn config() -> Config {
    Config {
        require_tls: false,
        journal_kib: 8192,
        check_interval_seconds: 0.05,
        command_wait_interval_seconds: 0.01,
        power_off_wait_seconds: 0.07,
        progress_interval_seconds: 0.0,
        ..Config::default()
    }
}

impl Bench {
    pub(crate) async fn new(config: Config) -> Self {
        conductor_stub::tls::use_ring();
        let state = tempfile::tempdir().unwrap();
        let config = Config { file_url_allowed_paths: Some(vec![state.path().to_owned()]), ..config };
        let server = Server::start(config, &state.path().join("conductor"), LISTEN).await.unwrap();
        Self { server, state, client: reqwest::Client::new() }
    }

    /// Ends the conductor and starts another one on its records.
    pub(crate) async fn restart(self, config: Config) -> Self {
        let Self { server, state, client } = self;
        let public_url = Some(format!("http://{}", server.address));
        server.stop().await;
        let config = Config { public_url, file_url_allowed_paths: Some(vec![state.path().to_owned()]), ..config };
        let server = Server::start(config, &state.path().join("conductor"), LISTEN).await.unwrap();
        Self { server, state, client }
    }

    /// One request with version 1.95; its status and JSON.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        self.call_as("1.95", method, path, body).await
    }

    pub(crate) async fn call_as(
        &self,
        version: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let url = format!("http://{}{path}", self.server.address);
        let mut request = self.client.request(method, url).header("X-OpenStack-Ironic-API-Version", version);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
    }

    /// The methods that there are at `path`.
    pub(crate) async fn methods(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.server.address);
        let response = self.client.request(Method::TRACE, url).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        response.headers()["allow"].to_str().unwrap().to_owned()
    }

    /// A node `n1` with one port.
    pub(crate) async fn enrol(&self) {
        let (status, node) =
            self.call(Method::POST, "/v1/nodes", Some(json!({"name": "n1", "driver": "fake-hardware"}))).await;
        assert_eq!(status, 201, "{node}");
        assert_eq!(node["provision_state"], "enroll");
        let port = json!({"node_uuid": node["uuid"], "address": MAC.to_uppercase()});
        let (status, port) = self.call(Method::POST, "/v1/ports", Some(port)).await;
        assert_eq!((status.as_u16(), &port["address"]), (201, &json!(MAC)));
    }

    pub(crate) async fn node(&self) -> Value {
        self.call(Method::GET, "/v1/nodes/n1", None).await.1
    }

    /// Asks for a verb and checks that the node has left its state when the answer is there.
    pub(crate) async fn ask(&self, body: Value) {
        let before = self.node().await["provision_state"].clone();
        let (status, answer) = self.call(Method::PUT, "/v1/nodes/n1/states/provision", Some(body)).await;
        assert_eq!(status, 202, "{answer}");
        let after = self.node().await;
        assert!(after["provision_state"] != before || after["last_error"].is_null(), "{after}");
    }

    /// Waits until the node is in `state` and nobody is at work on it.
    pub(crate) async fn reaches(&self, state: &str) -> Value {
        for _ in 0..500 {
            let node = self.node().await;
            if node["provision_state"] == state && node["reservation"].is_null() {
                return node;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not in {state}: {}", self.node().await)
    }

    pub(crate) async fn to_manageable(&self) {
        self.enrol().await;
        self.ask(json!({"target": "manage"})).await;
        self.reaches("manageable").await;
    }

    /// Looks the node up as an agent does; the token.
    pub(crate) async fn look_up(&self) -> String {
        let (status, body) = self.call_as("1.62", Method::GET, &format!("/v1/lookup?addresses={MAC}"), None).await;
        assert_eq!(status, 200, "{body}");
        body["config"]["agent_token"].as_str().unwrap().to_owned()
    }

    /// An agent that has looked itself up.
    pub(crate) async fn boot_agent(&self) -> (FakeAgent, String) {
        let token = self.look_up().await;
        (FakeAgent::start(&token).await, token)
    }

    pub(crate) async fn heartbeat(&self, agent: &FakeAgent, token: &str) -> (StatusCode, Value) {
        let uuid = self.node().await["uuid"].as_str().unwrap().to_owned();
        let body = json!({"callback_url": agent.url(), "agent_token": token, "agent_version": "1.0"});
        self.call_as("1.68", Method::POST, &format!("/v1/heartbeat/{uuid}"), Some(body)).await
    }

    /// Sends heartbeats until the node is in `state`.
    pub(crate) async fn beat_until(&self, agent: &FakeAgent, token: &str, state: &str) -> Value {
        for _ in 0..100 {
            self.heartbeat(agent, token).await;
            for _ in 0..20 {
                let node = self.node().await;
                if node["provision_state"] == state && node["reservation"].is_null() {
                    return node;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        panic!("not in {state}: {}", self.node().await)
    }
}
