//! Text from outside stays data: no line of anybody's configuration, no argument of anybody's kernel.

use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::{Bench, MAC, config};

const EVIL: &str = "52:54:00:aa:bb:02\nconf-script=/bin/touch /tmp/owned";

async fn waits_for_inspection() -> Bench {
    let bench = Bench::new(config()).await;
    bench.to_manageable().await;
    bench.ask(json!({"target": "inspect"})).await;
    bench.reaches("inspect wait").await;
    bench
}

fn data(boot: Value, addresses: &[&str]) -> Value {
    let interfaces: Vec<Value> =
        addresses.iter().map(|mac| json!({"name": "eth", "mac_address": mac, "ipv4_address": "192.0.2.5"})).collect();
    json!({"inventory": {"interfaces": interfaces, "boot": boot}})
}

#[tokio::test]
async fn an_address_that_is_none_becomes_no_port() {
    let bench = waits_for_inspection().await;
    let data = data(json!({}), &[MAC, EVIL, "52:54:00:aa:bb:03", "fe:80", "zz:54:00:aa:bb:03", ""]);
    let (status, body) = bench.call_as("1.1", Method::POST, "/v1/continue_inspection", Some(data)).await;
    assert_eq!(status, 202, "{body}");
    bench.reaches("manageable").await;
    let (_, ports) = bench.call(Method::GET, "/v1/ports", None).await;
    let addresses: Vec<&str> =
        ports["ports"].as_array().unwrap().iter().map(|port| port["address"].as_str().unwrap()).collect();
    assert_eq!(addresses, [MAC, "52:54:00:aa:bb:03"]);
}

#[tokio::test]
async fn a_boot_address_that_is_none_becomes_no_port() {
    let bench = waits_for_inspection().await;
    let data = data(json!({"pxe_interface": EVIL}), &[MAC, EVIL]);
    bench.call_as("1.1", Method::POST, "/v1/continue_inspection", Some(data)).await;
    bench.reaches("inspect failed").await;
    let (_, ports) = bench.call(Method::GET, "/v1/ports", None).await;
    assert_eq!(ports["ports"].as_array().unwrap().len(), 1, "{ports}");
}

#[tokio::test]
async fn ports_and_names_are_checked_where_they_enter() {
    let bench = Bench::new(config()).await;
    bench.enrol().await;
    let node = bench.node().await["uuid"].clone();
    let port = json!({"node_uuid": node, "address": EVIL});
    assert_eq!(bench.call(Method::POST, "/v1/ports", Some(port)).await.0, 400);
    let (_, ports) = bench.call(Method::GET, "/v1/ports", None).await;
    let port = ports["ports"][0]["uuid"].as_str().unwrap();
    let patch = json!([{"op": "replace", "path": "/address", "value": EVIL}]);
    assert_eq!(bench.call(Method::PATCH, &format!("/v1/ports/{port}"), Some(patch)).await.0, 400);
    for name in ["n\nx", "n\u{1b}[2J", "n x", "n/../x", "<script>"] {
        let node = json!({"name": name, "driver": "fake-hardware"});
        assert_eq!(bench.call(Method::POST, "/v1/nodes", Some(node)).await.0, 400, "{name:?}");
    }
}

#[tokio::test]
async fn urls_and_kernel_arguments_are_checked_where_they_enter() {
    let bench = Bench::new(config()).await;
    bench.enrol().await;
    for (path, value) in [
        ("/instance_info/boot_iso", "http://192.0.2.1/a.iso\nconf-script=/bin/sh"),
        ("/instance_info/boot_iso", "http://192.0.2.1/a.iso,tag:x"),
        ("/instance_info/boot_iso", "ftp://192.0.2.1/a.iso"),
        ("/instance_info/image_source", "http://192.0.2.1/a\r\nX-Header: 1"),
        ("/instance_info/kernel_append_params", "quiet\u{0}init=/bin/sh"),
        ("/driver_info/kernel_append_params", "quiet ;reboot"),
        ("/driver_info/kernel_append_params", "quiet ${net0/mac}"),
    ] {
        let patch = json!([{"op": "add", "path": path, "value": value}]);
        let (status, body) = bench.call(Method::PATCH, "/v1/nodes/n1", Some(patch)).await;
        assert_eq!(status, 400, "{path} {value:?}: {body}");
    }
    for url in ["http://192.0.2.1/a.iso\nx", "file:///etc/shadow", "http://192.0.2.1/a b"] {
        let medium = json!({"device_type": "cdrom", "image_url": url});
        assert_eq!(bench.call(Method::POST, "/v1/nodes/n1/vmedia", Some(medium)).await.0, 400, "{url:?}");
    }
}
