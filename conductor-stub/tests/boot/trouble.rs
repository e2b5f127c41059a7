//! Whatever goes wrong is in `last_error`, and nothing is left inserted, powered or overridden.

use conductor_stub::config::Config;
use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::Bench;

/// The texts of the node's history.
async fn history(bench: &Bench) -> Vec<String> {
    let history = bench.call(Method::GET, "/v1/nodes/n1/history", None).await;
    history["history"].as_array().unwrap().iter().map(|entry| entry["event"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_machine_that_never_calls_is_booted_once_more_and_then_given_up() {
    let bench = Bench::start(Config { callback_timeout_seconds: 0.5, ..Config::default() }).await;
    bench.enrol("redfish-https", json!({})).await;
    bench.verb("manage", "manageable").await;
    let node = bench.verb("inspect", "inspect failed").await;
    let error = node["last_error"].as_str().unwrap();
    assert!(error.contains("Timeout reached") && error.contains("the ramdisk was never fetched"), "{error}");
    let again = history(&bench).await.into_iter().filter(|text| text.contains("is booted once more")).count();
    assert_eq!(again, 1);
    bench.assert_clear().await;
}

#[tokio::test]
async fn a_machine_that_fetched_its_ramdisk_is_told_from_one_that_did_not() {
    let boot_retry_timeout_seconds = Some(100.0);
    let config = Config { inspect_wait_timeout_seconds: Some(1.0), boot_retry_timeout_seconds, ..Config::default() };
    let bench = Bench::start(config).await;
    bench.enrol("redfish-https", json!({})).await;
    bench.verb("manage", "manageable").await;
    bench.verb("inspect", "inspect wait").await;
    let url = bench.boot_url().await;
    assert!(bench.client.get(url).send().await.unwrap().status().is_success());
    let node = bench.at_rest("inspect failed").await;
    let error = node["last_error"].as_str().unwrap();
    assert!(error.contains("the ramdisk was fetched at 20") && error.contains("its agent has not called"), "{error}");
    assert!(!history(&bench).await.iter().any(|text| text.contains("once more")));
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
async fn a_bmc_that_does_not_let_us_in_is_named() {
    let bench = Bench::start(Config::default()).await;
    bench.enrol("redfish-https", json!({"redfish_password": "wrong"})).await;
    let error = |node: &Value| node["last_error"].as_str().unwrap_or_default().to_owned();
    let refused = error(&bench.verb("manage", "enroll").await);
    assert!(refused.contains("redfish_password"), "{refused}");
    let address = format!("http://{}", bench.bmc.address);
    bench.driver_info("redfish_address", "http://127.0.0.1:9").await;
    let gone = error(&bench.verb("manage", "enroll").await);
    assert!(gone.contains("127.0.0.1:9") && gone.contains("cannot be reached"), "{gone}");

    // Later on, that ends the flow; what cannot be taken back is said.
    bench.driver_info("redfish_address", &address).await;
    bench.driver_info("redfish_password", "secret").await;
    bench.verb("manage", "manageable").await;
    for (key, wrong, right, reason) in [
        ("redfish_password", "wrong", "secret", "redfish_password"),
        ("redfish_address", "http://127.0.0.1:9", address.as_str(), "cannot be reached"),
    ] {
        bench.driver_info(key, wrong).await;
        let failed = error(&bench.verb("inspect", "inspect failed").await);
        assert!(failed.contains(reason) && failed.contains("Cleaning up failed too"), "{failed}");
        bench.driver_info(key, right).await;
        bench.assert_clear().await;
    }
}

#[tokio::test]
async fn a_bmc_that_is_busy_is_waited_for_and_one_that_stays_busy_is_named() {
    let bench = Bench::start(Config::default()).await;
    bench.enrol("redfish-https", json!({})).await;
    bench.verb("manage", "manageable").await;
    bench.fault(json!({"path": "Systems", "times": 3, "status": 503, "message": "try later"})).await;
    bench.verb("inspect", "inspect wait").await;
    bench.verb("abort", "inspect failed").await;
    bench.assert_clear().await;

    // Five attempts of each request: enough to end the flow, not its clean-up.
    bench.fault(json!({"method": "PATCH", "times": 5, "status": 503, "message": "try later"})).await;
    let node = bench.verb("inspect", "inspect failed").await;
    let error = node["last_error"].as_str().unwrap();
    assert!(error.contains("503") && error.contains("try later"), "{error}");
    bench.assert_clear().await;
}

#[tokio::test]
async fn a_machine_that_is_not_switched_on_leaves_nothing_behind() {
    let bench = Bench::start(Config::default()).await;
    bench.enrol("redfish-https", json!({})).await;
    bench.verb("manage", "manageable").await;
    bench.fault(json!({"path": "ComputerSystem.Reset", "status": 500, "message": "no power"})).await;
    let node = bench.verb("inspect", "inspect failed").await;
    assert!(node["last_error"].as_str().unwrap().contains("no power"), "{}", node["last_error"]);
    bench.assert_clear().await;
}

#[tokio::test]
async fn a_machine_is_not_booted_for_an_image_that_is_not_there() {
    let bench = Bench::start(Config { automated_clean: false, ..Config::default() }).await;
    bench.enrol("redfish-https", json!({})).await;
    bench.verb("manage", "manageable").await;
    bench.verb("provide", "available").await;
    let dead = format!("http://{}/none/image.raw", bench.server.address);
    let image = json!({"image_source": dead, "image_os_hash_algo": "sha256", "image_os_hash_value": "0".repeat(64)});
    let patch = json!([{"op": "add", "path": "/instance_info", "value": image}]);
    bench.call(Method::PATCH, "/v1/nodes/n1", Some(patch)).await;
    let node = bench.verb("active", "deploy failed").await;
    let error = node["last_error"].as_str().unwrap();
    assert!(error.contains(&dead) && error.contains("404"), "{error}");
    bench.assert_clear().await;
}
