//! The client against our own emulator.

use std::net::SocketAddr;
use std::time::Duration;

use conductor_stub::bmc::session::Account;
use conductor_stub::bmc::{Bmc, Definition, router};
use conductor_stub::redfish::{Boot, Client, Enabled, RedfishError, Settings, System, virtual_media};
use serde_json::{Value, json};

const UUID: &str = "27946b59-9e44-4fa7-8e91-f3527a1ef094";

struct Lab {
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Lab {
    /// A BMC with one process machine that writes a line for every start from a ramdisk.
    async fn start() -> Lab {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("machine.log");
        let machine = json!({"uuid": UUID, "name": "node-0", "macs": ["52:54:00:aa:bb:01"], "transition_ms": 200,
            "process": {"command": ["sh", "-c", "echo booted; exec sleep 600"], "log": log}});
        let machine: Definition = serde_json::from_value(machine).unwrap();
        let account = Account { user: "admin".into(), password: "secret".into() };
        let bmc = Bmc::new(vec![machine], Some(account), reqwest::Client::new());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router(bmc)).await });
        Lab { address, folder }
    }

    fn client(&self, more: Value) -> Client {
        let mut info = json!({"redfish_address": format!("http://{}", self.address),
            "redfish_username": "admin", "redfish_password": "secret"});
        for (key, value) in more.as_object().unwrap() {
            info[key] = value.clone();
        }
        Client::new(Settings::from_driver_info(&info).unwrap()).unwrap().with_pause(Duration::from_millis(10))
    }

    async fn fault(&self, fault: Value) {
        let answer = reqwest::Client::new()
            .post(format!("http://{}/faults", self.address))
            .basic_auth("admin", Some("secret"))
            .body(json!([fault]).to_string())
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success());
    }

    fn starts(&self) -> usize {
        std::fs::read_to_string(self.folder.path().join("machine.log")).unwrap_or_default().matches("booted").count()
    }
}

const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_one_time_boot_is_used_up_by_one_start() {
    let lab = Lab::start().await;
    let client = lab.client(json!({}));
    let system = System::find(&client).await.unwrap();
    assert_eq!(system.path, format!("/redfish/v1/Systems/{UUID}"));
    system.set_boot(&Boot::UefiHttp(Some("http://192.0.2.1/agent.efi".into())), Enabled::Once).await.unwrap();
    assert_eq!(system.read().await.unwrap().body["Boot"]["HttpBootUri"], "http://192.0.2.1/agent.efi");

    system.set_power(true, LIMIT).await.unwrap();
    while lab.starts() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(system.read().await.unwrap().body["Boot"]["BootSourceOverrideEnabled"], "Disabled");

    system.set_power(false, LIMIT).await.unwrap();
    assert_eq!(system.power().await.unwrap(), "Off");
    system.set_power(true, LIMIT).await.unwrap();
    assert_eq!(lab.starts(), 1, "the second start was from disk");
    client.log_out().await;
}

#[tokio::test]
async fn media_go_in_and_out() {
    let lab = Lab::start().await;
    let client = lab.client(json!({"redfish_auth_type": "basic"}));
    let system = System::find(&client).await.unwrap();
    for image in ["http://192.0.2.1/first.iso", "http://192.0.2.1/second.iso"] {
        virtual_media::insert(&system, image).await.unwrap();
        let cd = client.get(&format!("{}/VirtualMedia/Cd", system.path)).await.unwrap();
        assert_eq!(cd.body["Image"], image);
    }
    virtual_media::eject(&system).await.unwrap();
    let cd = client.get(&format!("{}/VirtualMedia/Cd", system.path)).await.unwrap();
    assert_eq!(cd.body["Inserted"], false);
}

#[tokio::test]
async fn a_busy_bmc_is_asked_again() {
    let lab = Lab::start().await;
    let client = lab.client(json!({}));
    lab.fault(json!({"path": "Systems", "times": 3, "status": 503, "message": "busy"})).await;
    System::find(&client).await.unwrap().power().await.unwrap();
}

#[tokio::test]
async fn a_task_is_waited_for_and_its_failure_is_ours() {
    let lab = Lab::start().await;
    let client = lab.client(json!({}));
    let system = System::find(&client).await.unwrap();
    lab.fault(json!({"path": "InsertMedia", "task_ms": 300})).await;
    virtual_media::insert(&system, "http://192.0.2.1/slow.iso").await.unwrap();
    assert_eq!(virtual_media::list(&system).await.unwrap()[0]["Image"], "http://192.0.2.1/slow.iso");

    // It is inserted already, and nobody has ejected it: the task fails.
    lab.fault(json!({"path": "InsertMedia", "task_ms": 300})).await;
    let insert = format!("{}/VirtualMedia/Cd/Actions/VirtualMedia.InsertMedia", system.path);
    let error = client.post(&insert, Some(&json!({"Image": "http://192.0.2.1/x.iso"}))).await.unwrap_err();
    assert!(error.status() == Some(400) && error.to_string().contains("eject it first"), "{error}");
}

#[tokio::test]
async fn every_refusal_names_the_bmc_and_the_reason() {
    let lab = Lab::start().await;

    let error = lab.client(json!({"redfish_password": "wrong"})).get("/redfish/v1/Systems").await.unwrap_err();
    assert!(matches!(error, RedfishError::Credentials { status: 401, .. }), "{error}");
    let error = lab
        .client(json!({"redfish_password": "wrong", "redfish_auth_type": "session"}))
        .get("/redfish/v1/Systems")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("redfish_auth_type is session"), "{error}");

    let nowhere = lab.client(json!({"redfish_address": "http://127.0.0.1:9"}));
    let error = nowhere.get("/redfish/v1/").await.unwrap_err().to_string();
    assert!(error.contains("127.0.0.1:9") && error.contains("refused"), "{error}");

    let client = lab.client(json!({}));
    let system = System::find(&client).await.unwrap();
    lab.fault(json!({"path": "InsertMedia", "times": 9, "status": 400, "message": "no such image"})).await;
    let error = virtual_media::insert(&system, "http://192.0.2.1/x.iso").await.unwrap_err().to_string();
    assert!(error.contains("x.iso") && error.contains("no such image"), "{error}");

    lab.fault(json!({"path": "ComputerSystem.Reset", "times": 9, "status": 400, "message": "no power"})).await;
    let error = system.set_power(true, LIMIT).await.unwrap_err().to_string();
    assert!(error.contains("no power"), "{error}");
}
