//! Hardware type `redfish` in front of the Redfish emulator: what a machine is given to boot, and what is left of that
//! when something goes wrong. The machine is a local process that never calls.

#![expect(clippy::unwrap_used, reason = "a test that meets an error should stop at it")]
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use conductor_stub::bmc::session::Account;
use conductor_stub::bmc::{Bmc, Definition, router};
use conductor_stub::config::Config;
use conductor_stub::server::Server;
use reqwest::Method;
use serde_json::{Value, json};

const UUID: &str = "27946b59-9e44-4fa7-8e91-f3527a1ef094";
const MAC: &str = "52:54:00:aa:bb:01";

struct Bench {
    server: Server,
    bmc: SocketAddr,
    folder: tempfile::TempDir,
    client: reqwest::Client,
}

/// A PE image with room for kernel arguments and nothing else.
fn efi_program() -> Vec<u8> {
    let mut image = vec![0; 2048];
    image[..2].copy_from_slice(b"MZ");
    image[60] = 64;
    image[64..68].copy_from_slice(b"PE\0\0");
    image[70] = 1; // one section
    image[84] = 2; // bytes of the optional header
    let section = &mut image[90..130];
    section[..8].copy_from_slice(b".cmdline");
    section[8..12].copy_from_slice(&1024u32.to_le_bytes());
    section[16..20].copy_from_slice(&1024u32.to_le_bytes());
    section[20..24].copy_from_slice(&1024u32.to_le_bytes());
    image[1024..].fill(b' ');
    image[1024..1029].copy_from_slice(b"quiet");
    image
}

impl Bench {
    async fn start(config: Config) -> Self {
        conductor_stub::tls::use_ring();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ramdisk.efi"), efi_program()).unwrap();
        let machine = json!({"uuid": UUID, "name": "machine-0", "macs": [MAC],
            "process": {"command": ["sleep", "600"], "log": folder.path().join("machine.log")}});
        let machine: Definition = serde_json::from_value(machine).unwrap();
        let account = Account { user: "admin".into(), password: "secret".into() };
        let emulator = Bmc::new(vec![machine], Some(account), reqwest::Client::new());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let bmc = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router(emulator)).await });
        let state = folder.path().join("conductor");
        let config = Config { check_interval_seconds: 0.05, ..config };
        let server = Server::start(config, &state, ([127, 0, 0, 1], 0).into()).await.unwrap();
        Self { server, bmc, folder, client: reqwest::Client::new() }
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let request = self.client.request(method, format!("http://{}{path}", self.server.address));
        let mut request = request.header("X-OpenStack-Ironic-API-Version", "1.95");
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default()
    }

    /// A node `n1`; `more` is merged into its `driver_info`.
    async fn enrol(&self, boot_interface: &str, more: Value) {
        let mut info = json!({"redfish_address": format!("http://{}", self.bmc), "redfish_username": "admin",
            "redfish_password": "secret", "deploy_efi": self.folder.path().join("ramdisk.efi")});
        for (key, value) in more.as_object().unwrap() {
            info[key] = value.clone();
        }
        let node = json!({"name": "n1", "driver": "redfish", "boot_interface": boot_interface, "driver_info": info});
        let node = self.call(Method::POST, "/v1/nodes", Some(node)).await;
        self.call(Method::POST, "/v1/ports", Some(json!({"node_uuid": node["uuid"], "address": MAC}))).await;
    }

    /// Asks for a verb and waits until the node is at rest in `state`.
    async fn verb(&self, target: &str, state: &str) -> Value {
        self.call(Method::PUT, "/v1/nodes/n1/states/provision", Some(json!({"target": target}))).await;
        for _ in 0..2000 {
            let node = self.call(Method::GET, "/v1/nodes/n1", None).await;
            if node["provision_state"] == state && node["reservation"].is_null() {
                return node;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("not in {state}: {}", self.call(Method::GET, "/v1/nodes/n1", None).await)
    }

    async fn redfish(&self, path: &str) -> Value {
        let url = format!("http://{}/redfish/v1/Systems/{UUID}{path}", self.bmc);
        let response = self.client.get(url).basic_auth("admin", Some("secret")).send().await.unwrap();
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    async fn fault(&self, fault: Value) {
        let request = self.client.post(format!("http://{}/faults", self.bmc)).basic_auth("admin", Some("secret"));
        assert!(request.body(json!([fault]).to_string()).send().await.unwrap().status().is_success());
    }

    /// The node's copies of the ramdisk.
    fn copies(&self) -> Vec<PathBuf> {
        let nodes = std::fs::read_dir(self.folder.path().join("conductor/ramdisks")).into_iter().flatten();
        nodes
            .flat_map(|node| std::fs::read_dir(node.unwrap().path()).unwrap())
            .map(|file| file.unwrap().path())
            .collect()
    }

    /// Nothing switched on, inserted, overridden or published.
    async fn assert_clear(&self) {
        let system = self.redfish("").await;
        assert_eq!(system["PowerState"], "Off");
        assert_eq!(system["Boot"]["HttpBootUri"], Value::Null);
        assert!(matches!(system["Boot"]["BootSourceOverrideTarget"].as_str(), Some("None" | "Hdd")), "{system}");
        assert_eq!(self.redfish("/VirtualMedia/Cd").await["Inserted"], false);
        assert_eq!(self.copies(), Vec::<PathBuf>::new());
    }
}

#[tokio::test]
async fn a_node_boots_a_copy_of_its_own_and_the_override_names_it() {
    let bench = Bench::start(Config::default()).await;
    bench.enrol("redfish-https", json!({"kernel_append_params": "ipa-debug=1"})).await;
    assert_eq!(bench.verb("manage", "manageable").await["power_state"], "power off");
    // Once is used up by the start; held up, it can be seen.
    bench.fault(json!({"path": "ComputerSystem.Reset", "delay_ms": 1500})).await;
    bench.call(Method::PUT, "/v1/nodes/n1/states/provision", Some(json!({"target": "inspect"}))).await;
    let boot = loop {
        let boot = bench.redfish("").await["Boot"].take();
        if boot["BootSourceOverrideTarget"] == "UefiHttp" {
            break boot;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(boot["BootSourceOverrideEnabled"], "Once");
    let url = boot["HttpBootUri"].as_str().unwrap().to_owned();
    let served = bench.client.get(&url).send().await.unwrap().bytes().await.unwrap();
    let line = String::from_utf8(served[1024..].to_vec()).unwrap();
    let callback = format!("ipa-inspection-callback-url=http://{}/v1/continue_inspection", bench.server.address);
    assert_eq!(line.trim_end(), format!("quiet {callback} BOOTIF=01-52-54-00-aa-bb-01 ipa-debug=1"));

    bench.verb("inspect", "inspect wait").await;
    assert_eq!(bench.redfish("").await["PowerState"], "On");
    bench.verb("abort", "inspect failed").await;
    bench.assert_clear().await;
    assert_eq!(bench.client.get(&url).send().await.unwrap().status().as_u16(), 404);
}

#[tokio::test]
async fn a_machine_that_never_calls_is_given_up() {
    let bench = Bench::start(Config { callback_timeout_seconds: 0.3, ..Config::default() }).await;
    bench.enrol("redfish-https", json!({})).await;
    bench.verb("manage", "manageable").await;
    let node = bench.verb("inspect", "inspect failed").await;
    assert!(node["last_error"].as_str().unwrap().contains("Timeout reached"), "{}", node["last_error"]);
    bench.assert_clear().await;
}

#[tokio::test]
async fn a_file_that_is_no_ramdisk_leaves_nothing_behind() {
    let bench = Bench::start(Config::default()).await;
    let refused = |node: &Value, text: &str| {
        let error = node["last_error"].as_str().unwrap_or_default().to_owned();
        assert!(error.contains(text), "{error}");
    };
    bench.enrol("redfish-virtual-media", json!({})).await;
    bench.verb("manage", "manageable").await;
    refused(&bench.verb("inspect", "inspect failed").await, "set driver_info/deploy_iso");
    bench.verb("manage", "manageable").await;

    let iso =
        json!([{"op": "add", "path": "/driver_info/deploy_iso", "value": bench.folder.path().join("ramdisk.efi")}]);
    bench.call(Method::PATCH, "/v1/nodes/n1", Some(iso)).await;
    refused(&bench.verb("inspect", "inspect failed").await, "ramdisk.efi: ");
    bench.assert_clear().await;
}

#[tokio::test]
async fn a_boot_override_that_the_bmc_refuses_leaves_nothing_behind() {
    let bench = Bench::start(Config::default()).await;
    bench.enrol("redfish-https", json!({})).await;
    bench.verb("manage", "manageable").await;
    bench.fault(json!({"method": "PATCH", "status": 400, "message": "no such boot source"})).await;
    let node = bench.verb("inspect", "inspect failed").await;
    assert!(node["last_error"].as_str().unwrap().contains("no such boot source"), "{}", node["last_error"]);
    bench.assert_clear().await;
}

#[tokio::test]
async fn a_bmc_that_does_not_let_us_in_keeps_the_node_from_being_managed() {
    let bench = Bench::start(Config::default()).await;
    bench.enrol("redfish-https", json!({"redfish_password": "wrong"})).await;
    let node = bench.verb("manage", "enroll").await;
    assert!(node["last_error"].as_str().unwrap().contains("redfish_password"), "{}", node["last_error"]);
    let patch = json!([{"op": "add", "path": "/driver_info/redfish_address", "value": "http://127.0.0.1:9"}]);
    bench.call(Method::PATCH, "/v1/nodes/n1", Some(patch)).await;
    let node = bench.verb("manage", "enroll").await;
    assert!(node["last_error"].as_str().unwrap().contains("cannot be reached"), "{}", node["last_error"]);
}
