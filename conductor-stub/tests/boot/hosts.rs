//! BareMetalHosts are taken where they are to be, by Ironic's API alone.

use std::time::Duration;

use conductor_stub::config::Config;
use conductor_stub::host::apply::{self, Change};
use conductor_stub::host::document::Documents;
use conductor_stub::host::ironic::{Endpoint, Ironic};
use conductor_stub::host::status::Host;
use conductor_stub::host::wanted::Wanted;
use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::{Bench, MAC, UUID};
use crate::efi::iso;

const LIMIT: Duration = Duration::from_secs(60);

/// The machine of the bench with this `spec` beside its BMC.
fn host(bench: &Bench, spec: &str) -> String {
    let address = format!("redfish-virtualmedia+http://{}/redfish/v1/Systems/{UUID}", bench.bmc.address);
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: bmc, namespace: lab}}\n\
         stringData: {{username: admin, password: secret}}\n---\n\
         apiVersion: metal3.io/v1alpha1\nkind: BareMetalHost\n\
         metadata: {{name: worker-0, namespace: lab, annotations: {{inspect.metal3.io: disabled}}}}\n\
         spec:\n  bmc: {{address: '{address}', credentialsName: bmc}}\n  bootMACAddress: {MAC}\n  \
         automatedCleaningMode: disabled\n{spec}"
    )
}

async fn apply(bench: &Bench, spec: &str) -> Result<Change, String> {
    apply_within(bench, spec, LIMIT).await
}

async fn apply_within(bench: &Bench, spec: &str, limit: Duration) -> Result<Change, String> {
    let endpoint = Endpoint { url: bench.server.url.clone(), user: None, ca: None };
    let ironic = Ironic::new(&endpoint).unwrap();
    let mut documents = Documents::default();
    documents.read("host.yaml", &host(bench, spec)).map_err(|error| error.to_string())?;
    let drivers = ironic.drivers().await.unwrap();
    let wanted = Wanted::new(&documents.hosts[0], &documents, &drivers, &mut Vec::new());
    let wanted = wanted.map_err(|error| error.to_string())?;
    let change = apply::register(&ironic, &wanted, limit).await.map_err(|error| error.to_string())?;
    apply::take_there(&ironic, &wanted, limit, |_, _| {}).await.map_err(|error| error.to_string())?;
    Ok(change)
}

async fn node(bench: &Bench) -> Value {
    bench.call(Method::GET, "/v1/nodes/lab~worker-0", None).await
}

fn shown(node: Value) -> (&'static str, &'static str, String) {
    let host = Host::new(node).unwrap();
    (host.state(), host.error_type(), host.name.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_iso_comes_changes_and_goes() {
    let bench = Bench::start(Config::default()).await;
    let iso = |name: &str| {
        let file = bench.folder.path().join(name);
        std::fs::write(&file, iso()).unwrap();
        format!("  online: true\n  image: {{url: 'file://{}', format: live-iso}}\n", file.display())
    };
    let (first, second) = (iso("first.iso"), iso("second.iso"));
    assert_eq!(apply(&bench, "").await, Ok(Change::Created));
    assert_eq!(shown(node(&bench).await), ("available", "", "lab/worker-0".to_owned()));
    assert_eq!(apply(&bench, &first).await, Ok(Change::Configured));
    let active = node(&bench).await;
    assert_eq!(active["instance_info"]["boot_iso"], format!("file://{}/first.iso", bench.folder.path().display()));
    assert_eq!(shown(active), ("provisioned", "", "lab/worker-0".to_owned()));
    assert_eq!(bench.redfish("").await["PowerState"], "On");
    assert_eq!(apply(&bench, &first).await, Ok(Change::Unchanged));
    assert_eq!(apply(&bench, &first.replace("online: true", "online: false")).await, Ok(Change::Configured));
    assert_eq!(bench.redfish("").await["PowerState"], "Off");
    assert_eq!(apply(&bench, &second).await, Ok(Change::Configured));
    let replaced = node(&bench).await;
    assert_eq!(replaced["instance_info"]["boot_iso"], format!("file://{}/second.iso", bench.folder.path().display()));
    assert_eq!(apply(&bench, "").await, Ok(Change::Configured));
    assert_eq!(shown(node(&bench).await).0, "available");
    bench.assert_clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_of_somebody_else_is_adopted_and_kept() {
    let bench = Bench::start(Config::default()).await;
    let theirs = "  online: true\n  externallyProvisioned: true\n";
    assert_eq!(apply(&bench, theirs).await, Ok(Change::Created));
    assert_eq!(shown(node(&bench).await).0, "externally provisioned");
    assert_eq!(bench.redfish("").await["PowerState"], "On");
    let error = apply(&bench, "  online: true\n").await.unwrap_err();
    assert!(error.contains("put there by somebody else"), "{error}");
    assert_eq!(node(&bench).await["provision_state"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_said_and_mended_by_applying_again() {
    let bench = Bench::start(Config::default()).await;
    let right = host(&bench, "");
    let wrong = right.replace("password: secret", "password: another");
    let endpoint = Endpoint { url: bench.server.url.clone(), user: None, ca: None };
    let ironic = Ironic::new(&endpoint).unwrap();
    let mut results = Vec::new();
    for text in [wrong, right] {
        let mut documents = Documents::default();
        documents.read("host.yaml", &text).unwrap();
        let drivers = ironic.drivers().await.unwrap();
        let wanted = Wanted::new(&documents.hosts[0], &documents, &drivers, &mut Vec::new()).unwrap();
        let change = apply::register(&ironic, &wanted, LIMIT).await.unwrap();
        let result = apply::take_there(&ironic, &wanted, LIMIT, |_, _| {}).await.map_err(|error| error.to_string());
        results.push((change, result));
        if results.len() == 1 {
            assert_eq!(shown(node(&bench).await).1, "registration error");
        }
    }
    let (change, refused) = &results[0];
    assert_eq!((*change, results[1].0), (Change::Created, Change::Configured));
    let refused = refused.as_ref().unwrap_err();
    assert!(refused.starts_with("enroll: ") && !refused.contains("another"), "{refused}");
    assert_eq!(results[1].1, Ok(()));
    assert!(!node(&bench).await.to_string().contains("secret"), "what was applied is kept as a seal");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_busy_is_waited_for_and_who_refuses_is_quoted() {
    let bench = Bench::start(Config::default()).await;
    let iso = bench.folder.path().join("live.iso");
    std::fs::write(&iso, self::iso()).unwrap();
    let running = format!("  online: true\n  image: {{url: 'file://{}', format: live-iso}}\n", iso.display());
    let stopped = running.replace("online: true", "online: false");
    assert_eq!(apply(&bench, &running).await, Ok(Change::Created));
    let uuid = node(&bench).await["uuid"].as_str().unwrap().parse().unwrap();

    let lock = bench.server.conductor.lock(uuid).unwrap();
    let error = apply_within(&bench, &stopped, Duration::ZERO).await.unwrap_err();
    assert!(error.starts_with("still refused after 0 s: ") && error.contains("is locked by host"), "{error}");
    let release = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(lock);
    };
    let (change, ()) = tokio::join!(apply(&bench, &stopped), release);
    assert_eq!(change, Ok(Change::Configured));
    assert_eq!(bench.redfish("").await["PowerState"], "Off");

    assert_eq!(apply(&bench, &running).await, Ok(Change::Configured));
    let stays_on = json!([{"op": "add", "path": "/disable_power_off", "value": true}]);
    bench.call(Method::PATCH, "/v1/nodes/lab~worker-0", Some(stays_on)).await;
    let error = apply(&bench, &stopped).await.unwrap_err();
    assert!(error.contains("Failed to set node power state to soft power off."), "{error}");
}
