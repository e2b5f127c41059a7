//! A conductor, a Redfish emulator, and a machine that is a process which never calls.

use std::time::Duration;

use conductor_stub::bmc::account::Account;
use conductor_stub::bmc::server::{BmcServer, Setup};
use conductor_stub::config::Config;
use conductor_stub::server::Server;
use reqwest::Method;
use serde_json::{Value, json};

use crate::efi::efi_program;
use crate::eventually::eventually;

pub(crate) const UUID: &str = "27946b59-9e44-4fa7-8e91-f3527a1ef094";
pub(crate) const MAC: &str = "52:54:00:aa:bb:01";

pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) bmc: BmcServer,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) client: reqwest::Client,
}

impl Bench {
    pub(crate) async fn start(config: Config) -> Self {
        Self::with_drives(config, &["cd", "usb"]).await
    }

    /// The machine has these virtual drives.
    pub(crate) async fn with_drives(config: Config, drives: &[&str]) -> Self {
        conductor_stub::tls::use_ring();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ramdisk.efi"), efi_program()).unwrap();
        let machine = json!({"uuid": UUID, "name": "machine-0", "macs": [MAC], "media": drives,
            "process": {"command": ["sh", "-c", "echo booted $BOOT_URL; exec sleep 600"], "log": folder.path().join("machine.log")}});
        let setup = Setup {
            listen: ([127, 0, 0, 1], 0).into(),
            account: Some(Account { user: "admin".into(), password: "secret".into() }),
            tls: None,
            machines: vec![serde_json::from_value(machine).unwrap()],
        };
        let bmc = BmcServer::start(setup).await.unwrap();
        let state = folder.path().join("conductor");
        let file_url_allowed_paths = Some(vec![folder.path().to_owned()]);
        let config = Config {
            file_url_allowed_paths,
            check_interval_seconds: 0.05,
            redfish_retry_interval_seconds: 0.01,
            ..config
        };
        let server = Server::start(config, &state, ([127, 0, 0, 1], 0).into()).await.unwrap();
        Self { server, bmc, folder, client: reqwest::Client::new() }
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let request = self.client.request(method, format!("http://{}{path}", self.server.address));
        let mut request = request.header("X-OpenStack-Ironic-API-Version", "1.95");
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default()
    }

    /// A node `n1`; `more` is merged into its `driver_info`.
    pub(crate) async fn enrol(&self, boot_interface: &str, more: Value) {
        let mut info = json!({"redfish_address": format!("http://{}", self.bmc.address), "redfish_username": "admin",
            "redfish_password": "secret", "deploy_efi": self.folder.path().join("ramdisk.efi")});
        for (key, value) in more.as_object().unwrap() {
            info[key] = value.clone();
        }
        let node = json!({"name": "n1", "driver": "redfish", "boot_interface": boot_interface, "driver_info": info});
        let node = self.call(Method::POST, "/v1/nodes", Some(node)).await;
        self.call(Method::POST, "/v1/ports", Some(json!({"node_uuid": node["uuid"], "address": MAC}))).await;
    }

    /// Asks for a verb and waits until the node is at rest in `state`.
    pub(crate) async fn verb(&self, target: &str, state: &str) -> Value {
        self.call(Method::PUT, "/v1/nodes/n1/states/provision", Some(json!({"target": target}))).await;
        self.at_rest(state).await
    }

    /// Changes one key of the node's `driver_info`.
    pub(crate) async fn driver_info(&self, key: &str, value: &str) {
        let patch = json!([{"op": "add", "path": format!("/driver_info/{key}"), "value": value}]);
        self.call(Method::PATCH, "/v1/nodes/n1", Some(patch)).await;
    }

    /// Waits until the node is at rest in `state`.
    pub(crate) async fn at_rest(&self, state: &str) -> Value {
        for _ in 0..2000 {
            let node = self.call(Method::GET, "/v1/nodes/n1", None).await;
            if node["provision_state"] == state && node["reservation"].is_null() {
                return node;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("not in {state}: {}", self.call(Method::GET, "/v1/nodes/n1", None).await)
    }

    pub(crate) async fn redfish(&self, path: &str) -> Value {
        let url = format!("http://{}/redfish/v1/Systems/{UUID}{path}", self.bmc.address);
        let response = self.client.get(url).basic_auth("admin", Some("secret")).send().await.unwrap();
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    pub(crate) async fn fault(&self, fault: Value) {
        let request =
            self.client.post(format!("http://{}/faults", self.bmc.address)).basic_auth("admin", Some("secret"));
        assert!(request.body(json!([fault]).to_string()).send().await.unwrap().status().is_success());
    }

    /// What firmware was told to fetch at the last start.
    pub(crate) async fn boot_url(&self) -> String {
        let url = eventually("the machine boots", async || {
            let log = std::fs::read_to_string(self.folder.path().join("machine.log")).unwrap_or_default();
            log.lines().rev().find_map(|line| line.strip_prefix("booted ")).map(str::to_owned)
        });
        url.await
    }

    /// The names of what is published for the node.
    pub(crate) async fn published(&self) -> Vec<String> {
        let node = self.call(Method::GET, "/v1/nodes/n1", None).await;
        // The node may have another name.
        let Some(uuid) = node["uuid"].as_str() else { return Vec::new() };
        let fetches = self.server.conductor.artefacts.fetches(uuid.parse().unwrap()).unwrap();
        fetches.into_iter().map(|(name, _)| name).collect()
    }

    /// Nothing switched on, inserted, overridden or published.
    pub(crate) async fn assert_clear(&self) {
        let system = self.redfish("").await;
        assert_eq!(system["PowerState"], "Off");
        assert_eq!(system["Boot"]["HttpBootUri"], Value::Null);
        assert!(matches!(system["Boot"]["BootSourceOverrideTarget"].as_str(), Some("None" | "Hdd")), "{system}");
        assert_eq!(self.redfish("/VirtualMedia/Cd").await["Inserted"], false);
        assert_eq!(self.published().await, Vec::<String>::new());
    }
}
