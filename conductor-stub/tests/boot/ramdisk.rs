//! What a node's ramdisk is told.

use conductor_stub::config::Config;
use reqwest::Method;
use serde_json::json;

use crate::bench::{Bench, MAC};
use crate::eventually::eventually;

#[tokio::test]
async fn a_node_boots_a_variant_of_its_own_and_the_override_names_it() {
    let bench = Bench::start(Config::default()).await;
    bench.enrol("redfish-https", json!({"kernel_append_params": "ipa-debug=1"})).await;
    assert_eq!(bench.verb("manage", "manageable").await["power_state"], "power off");
    // Once is used up by the start; held up, it can be seen.
    bench.fault(json!({"path": "ComputerSystem.Reset", "delay_ms": 1500})).await;
    bench.call(Method::PUT, "/v1/nodes/n1/states/provision", Some(json!({"target": "inspect"}))).await;
    let boot = eventually("the override is set", async || {
        let boot = bench.redfish("").await["Boot"].take();
        (boot["BootSourceOverrideTarget"] == "UefiHttp").then_some(boot)
    });
    let boot = boot.await;
    assert_eq!(boot["BootSourceOverrideEnabled"], "Once");
    let url = boot["HttpBootUri"].as_str().unwrap().to_owned();
    let served = bench.client.get(&url).send().await.unwrap().bytes().await.unwrap();
    let line = String::from_utf8(served[1024..].to_vec()).unwrap();
    let callback = format!("ipa-inspection-callback-url=http://{}/v1/continue_inspection", bench.server.address);
    let (token, rest) = line.strip_prefix("quiet ipa-agent-token=").unwrap().split_once(' ').unwrap();
    assert_eq!(token.len(), 43);
    assert_eq!(rest.trim_end(), format!("{callback} BOOTIF=01-52-54-00-aa-bb-01 ipa-debug=1"));

    bench.verb("inspect", "inspect wait").await;
    assert_eq!(bench.redfish("").await["PowerState"], "On");
    bench.verb("abort", "inspect failed").await;
    bench.assert_clear().await;
    assert_eq!(bench.client.get(&url).send().await.unwrap().status().as_u16(), 404);
}

/// The token that the ramdisk at `url` carries.
async fn token(bench: &Bench, url: &str) -> String {
    let served = bench.client.get(url).send().await.unwrap().bytes().await.unwrap();
    let line = String::from_utf8(served[1024..].to_vec()).unwrap();
    line.split(' ').find_map(|word| word.strip_prefix("ipa-agent-token=")).unwrap().to_owned()
}

#[tokio::test]
async fn the_ramdisk_brings_its_token_and_a_look_up_shows_none() {
    let bench = Bench::start(Config { require_tls: false, ..Config::default() }).await;
    bench.enrol("redfish-https", json!({})).await;
    bench.verb("manage", "manageable").await;
    bench.verb("provide", "clean wait").await;
    let node = bench.call(Method::GET, "/v1/nodes/n1", None).await;
    assert_eq!(node["driver_internal_info"]["agent_secret_token"], "******", "{node}");
    assert_eq!(bench.published().await, ["agent.efi"]);
    let uuid = node["uuid"].as_str().unwrap();
    let token = token(&bench, &bench.boot_url().await).await;

    let known = bench.call(Method::GET, &format!("/v1/lookup?addresses={MAC}"), None).await;
    assert_eq!(known["config"]["agent_token"], "******", "{known}");
    for (offered, status) in [("x", 400), (token.as_str(), 202)] {
        let beat = json!({"callback_url": "http://127.0.0.1:9", "agent_token": offered, "agent_version": "1"});
        let url = format!("http://{}/v1/heartbeat/{uuid}", bench.server.address);
        let beat = bench.client.post(url).header("X-OpenStack-Ironic-API-Version", "1.68").json(&beat);
        assert_eq!(beat.send().await.unwrap().status().as_u16(), status, "{offered}");
    }
}

#[tokio::test]
async fn booting_by_dhcp_needs_a_dhcp_server() {
    let bench = Bench::start(Config::default()).await;
    bench.enrol("http", json!({})).await;
    bench.verb("manage", "manageable").await;
    let node = bench.verb("inspect", "inspect failed").await;
    assert!(node["last_error"].as_str().unwrap().contains("needs `dhcp`"), "{}", node["last_error"]);
    bench.assert_clear().await;
}

#[tokio::test]
async fn one_operation_logs_in_once() {
    let bench = Bench::start(Config::default()).await;
    bench.enrol("redfish-virtual-media", json!({"deploy_iso": ""})).await;
    bench.verb("manage", "manageable").await;
    // A fault that only counts.
    bench.fault(json!({"method": "POST", "path": "Sessions", "times": 100, "delay_ms": 1})).await;
    // Off, nothing to insert, off again, ejected and overridden.
    bench.verb("inspect", "inspect failed").await;
    let url = format!("http://{}/faults", bench.bmc.address);
    let left = bench.client.get(url).basic_auth("admin", Some("secret")).send().await.unwrap();
    let left: serde_json::Value = serde_json::from_slice(&left.bytes().await.unwrap()).unwrap();
    assert_eq!(left[0]["times"], 99, "{left}");
}
