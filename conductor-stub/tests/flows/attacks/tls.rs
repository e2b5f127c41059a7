//! TLS, with an authority of the conductor's own.

use conductor_stub::config::Config;
use reqwest::Certificate;
use serde_json::{Value, json};

use crate::bench::{Bench, config};
use crate::eventually::eventually;

#[tokio::test]
async fn who_knows_the_authority_is_served_and_agents_are_told_it() {
    let http_listen = Some(([127, 0, 0, 1], 0).into());
    let bench = Bench::new(Config { enable_ssl_api: true, http_listen, ..config() }).await;
    assert!(bench.server.url.starts_with("https://127.0.0.1:"));
    let pem = std::fs::read(bench.state.path().join("conductor/tls/ca.pem")).unwrap();
    let version = [("x-openstack-ironic-api-version".parse().unwrap(), "1.95".parse().unwrap())];
    let trusting = reqwest::Client::builder().default_headers(version.into_iter().collect());
    let trusting = trusting.tls_certs_only([Certificate::from_pem(&pem).unwrap()]).build().unwrap();
    let url = &bench.server.url;
    let node = json!({"name": "n1", "driver": "fake-hardware"});
    let node: Value = trusting.post(format!("{url}/v1/nodes")).json(&node).send().await.unwrap().json().await.unwrap();
    assert!(node["uuid"].is_string(), "{node}");
    let by_name = format!("https://localhost:{}/v1", bench.server.address.port());
    assert_eq!(trusting.get(by_name).send().await.unwrap().status(), 200);
    assert!(reqwest::Client::new().get(format!("{url}/v1")).send().await.is_err(), "nobody else is trusted");
    assert!(trusting.get(url.replace("https", "http")).send().await.is_err(), "nothing in the clear");

    let put = |target: &str| {
        let request = trusting.put(format!("{url}/v1/nodes/n1/states/provision"));
        request.json(&json!({"target": target})).send()
    };
    let reaches = async |state: &'static str| {
        let node = eventually(state, async || {
            let node: Value = trusting.get(format!("{url}/v1/nodes/n1")).send().await.unwrap().json().await.unwrap();
            (node["provision_state"] == state && node["reservation"].is_null()).then_some(node)
        });
        node.await
    };
    put("manage").await.unwrap();
    reaches("manageable").await;
    put("provide").await.unwrap();
    let node = reaches("clean wait").await;
    let parameters = &node["driver_internal_info"]["ramdisk_parameters"];
    assert!(parameters["ipa-api-url"].as_str().unwrap().starts_with("https://"), "{parameters}");
    let body: String = String::from_utf8(pem).unwrap().lines().filter(|line| !line.starts_with("--")).collect();
    assert_eq!(parameters["ipa-ca-certificate"], body);

    // Firmware that knows no authority gets its files, and nothing else.
    let file = bench.state.path().canonicalize().unwrap().join("x.efi");
    std::fs::write(&file, "an EFI program").unwrap();
    let uuid = node["uuid"].as_str().unwrap().parse().unwrap();
    let plain = bench.server.conductor.artefacts.publish(uuid, "x.efi", &file).unwrap();
    assert!(plain.starts_with("http://127.0.0.1:"), "{plain}");
    assert_eq!(reqwest::get(&plain).await.unwrap().text().await.unwrap(), "an EFI program");
    let (base, _) = plain.split_once("/artefacts/").unwrap();
    assert_eq!(reqwest::get(format!("{base}/v1/nodes")).await.unwrap().status(), 404);
}
