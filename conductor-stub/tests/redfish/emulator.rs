//! The client against our own emulator.

use std::net::SocketAddr;
use std::time::Duration;

use conductor_stub::bmc::account::Account;
use conductor_stub::bmc::server::{BmcServer, Setup};
use conductor_stub::bmc::tls::Tls;
use conductor_stub::bmc::{Bmc, Definition, router};
use conductor_stub::redfish::error::Failure;
use conductor_stub::redfish::virtual_media::{self, Kind};
use conductor_stub::redfish::{Boot, Client, Enabled, RedfishError, Settings, System};
use serde_json::{Value, json};

use crate::eventually::eventually;

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
    eventually("the machine starts", async || (lab.starts() > 0).then_some(())).await;
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
        virtual_media::insert(&system, Kind::Cd, image).await.unwrap();
        let cd = client.get(&format!("{}/VirtualMedia/Cd", system.path)).await.unwrap();
        assert_eq!(cd.body["Image"], image);
    }
    virtual_media::eject(&system, Kind::Cd).await.unwrap();
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
    virtual_media::insert(&system, Kind::Cd, "http://192.0.2.1/slow.iso").await.unwrap();
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
    let error = virtual_media::insert(&system, Kind::Cd, "http://192.0.2.1/x.iso").await.unwrap_err().to_string();
    assert!(error.contains("x.iso") && error.contains("no such image"), "{error}");

    lab.fault(json!({"path": "ComputerSystem.Reset", "times": 9, "status": 400, "message": "no power"})).await;
    let error = system.set_power(true, LIMIT).await.unwrap_err().to_string();
    assert!(error.contains("no power"), "{error}");
}

#[tokio::test]
async fn sticks_and_settings_and_versions() {
    let lab = Lab::start().await;
    let client = lab.client(json!({}));
    let system = System::find(&client).await.unwrap();
    virtual_media::insert(&system, Kind::Stick, "http://192.0.2.1/config.img").await.unwrap();
    let stick = client.get(&format!("{}/VirtualMedia/Usb", system.path)).await.unwrap();
    assert_eq!(
        (&stick.body["Image"], &stick.body["MediaTypes"]),
        (&json!("http://192.0.2.1/config.img"), &json!(["USBStick"]))
    );
    virtual_media::eject(&system, Kind::Stick).await.unwrap();
    assert_eq!(client.get(&stick.path).await.unwrap().body["Image"], Value::Null, "not an empty text");

    // Another hand changes the machine between our look and our change: we look again.
    let seen = system.read().await.unwrap();
    system.set_boot(&Boot::Pxe, Enabled::Once).await.unwrap();
    let stale = reqwest::Client::new()
        .patch(format!("http://{}{}", lab.address, system.path))
        .basic_auth("admin", Some("secret"))
        .header("If-Match", seen.etag.clone().unwrap())
        .body(r#"{"AssetTag": "x"}"#);
    assert_eq!(stale.send().await.unwrap().status(), 412);
    client.patch(&seen, &json!({"AssetTag": "rack 7"})).await.unwrap();
    assert_eq!(system.read().await.unwrap().body["AssetTag"], "rack 7");

    // Settings wait for a start.
    let settings = client.get(&format!("{}/Bios/Settings", system.path)).await.unwrap();
    client.patch(&settings, &json!({"Attributes": {"Cores": 4}})).await.unwrap();
    let cores =
        async || client.get(&format!("{}/Bios", system.path)).await.unwrap().body["Attributes"]["Cores"].clone();
    assert_eq!(cores().await, 1);
    system.set_power(true, LIMIT).await.unwrap();
    assert_eq!(cores().await, 4);
}

#[tokio::test]
async fn roles_are_kept_apart() {
    let lab = Lab::start().await;
    let admin = lab.client(json!({}));
    let reader = json!({"UserName": "reader", "Password": "long enough", "RoleId": "ReadOnly"});
    admin.post("/redfish/v1/AccountService/Accounts", Some(&reader)).await.unwrap();
    let reader = lab.client(json!({"redfish_username": "reader", "redfish_password": "long enough"}));
    let system = System::find(&reader).await.unwrap();
    assert_eq!(system.power().await.unwrap(), "Off");
    let error = system.set_power(true, LIMIT).await.unwrap_err();
    assert!(error.status() == Some(403) && error.to_string().contains("ConfigureComponents"), "{error}");
    let error = reader.get("/redfish/v1/AccountService/Accounts/1").await.unwrap_err();
    assert_eq!(error.status(), Some(403));
    admin.delete("/redfish/v1/AccountService/Accounts/2").await.unwrap();
    assert_eq!(reader.get("/redfish/v1/Systems").await.unwrap_err().status(), Some(401), "its session went with it");
}

#[tokio::test]
async fn events_come_as_a_stream() {
    use futures_util::StreamExt;
    let lab = Lab::start().await;
    let url = format!("http://{}/redfish/v1/EventService/SSE", lab.address);
    let stream = reqwest::Client::new().get(url).basic_auth("admin", Some("secret")).send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let mut stream = stream.bytes_stream();
    let client = lab.client(json!({}));
    let subscriptions = async || client.members("/redfish/v1/EventService/Subscriptions").await.unwrap().len();
    assert_eq!(subscriptions().await, 1);
    System::find(&client).await.unwrap().set_power(true, LIMIT).await.unwrap();
    let mut seen = String::new();
    while !seen.contains("The machine is on") {
        let event = tokio::time::timeout(LIMIT, stream.next()).await.expect("an event");
        seen += &String::from_utf8_lossy(&event.unwrap().unwrap());
    }
    drop(stream);
    eventually("the subscription ends", async || (subscriptions().await == 0).then_some(())).await;
}

/// A self-signed certificate of somebody who calls himself an authority, as some BMCs have from the factory.
fn factory_certificate(folder: &std::path::Path, name: &str) -> (std::path::PathBuf, Tls) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec!["bmc.factory.example".into()]).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let path = |suffix: &str| folder.join(format!("{name}-{suffix}.pem"));
    std::fs::write(path("cert"), parameters.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(path("key"), key.serialize_pem()).unwrap();
    (path("cert"), Tls { certificate: path("cert"), key: path("key") })
}

#[tokio::test]
async fn a_factory_certificate_is_trusted_when_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, tls) = factory_certificate(folder.path(), "bmc");
    let (other, _) = factory_certificate(folder.path(), "other");
    let listen = ([127, 0, 0, 1], 0).into();
    let bmc = BmcServer::start(Setup { listen, account: None, tls: Some(tls), machines: Vec::new() }).await.unwrap();
    assert_eq!(bmc.scheme, "https");
    let client = |verify: Value| {
        let info = json!({"redfish_address": format!("https://{}", bmc.address), "redfish_verify_ca": verify});
        // A pause that would be noticed: what a certificate is about is not asked again.
        Client::new(Settings::from_driver_info(&info).unwrap()).unwrap().with_pause(Duration::from_secs(3600))
    };
    for good in [json!(certificate), json!(folder.path()), json!(false)] {
        assert!(client(good).get("/redfish/v1/").await.is_ok());
    }
    for bad in [json!(other), json!(true)] {
        let error = client(bad).get("/redfish/v1/").await.unwrap_err();
        assert!(matches!(error, RedfishError::Unreachable { failure: Failure::Certificate, .. }), "{error}");
    }
    bmc.stop().await;
}
