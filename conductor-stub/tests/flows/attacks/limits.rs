//! Nobody can use up memory, connections or rows.

use conductor_stub::store::history::HistoryEntry;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bench::{Bench, MAC, config};

/// The status of a request that announces this many bytes of body and sends none.
async fn announced(bench: &Bench, method: &str, path: &str, bytes: u64) -> String {
    let mut stream = TcpStream::connect(bench.server.address).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nX-OpenStack-Ironic-API-Version: 1.95\r\nContent-Type: application/json\r\nContent-Length: {bytes}\r\n\r\n",
        bench.server.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    let read = stream.read_exact(&mut answer);
    match tokio::time::timeout(std::time::Duration::from_secs(5), read).await {
        Ok(_) => String::from_utf8(answer).unwrap(),
        Err(_) => "waits".into(),
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_comes() {
    let bench = Bench::new(config()).await;
    bench.enrol().await;
    for (method, path, mib) in [
        ("POST", "/v1/nodes", 2),
        ("PATCH", "/v1/nodes/n1", 2),
        ("POST", "/v1/heartbeat/n1", 2),
        ("POST", "/v1/continue_inspection", 17),
        ("PUT", "/v1/nodes/n1/states/provision", 65),
        ("POST", "/stub/faults", 2),
        ("DELETE", "/v1/nodes/n1/vmedia", 2),
    ] {
        assert_eq!(announced(&bench, method, path, mib << 20).await, "HTTP/1.1 413", "{method} {path}");
    }
    // What fits is waited for.
    assert_eq!(announced(&bench, "POST", "/v1/continue_inspection", 15 << 20).await, "waits");
}

#[tokio::test]
async fn history_does_not_grow_without_end() {
    let bench = Bench::new(config()).await;
    bench.to_manageable().await;
    let node = bench.server.conductor.find("n1").unwrap();
    for _ in 0..400 {
        let again = HistoryEntry::now(&node, "state", "again", json!(null));
        bench.server.conductor.store.save_node(&node, &[again]).unwrap();
    }
    let (_, shown) = bench.call(Method::GET, "/stub/nodes/n1", None).await;
    let kept = shown["history"].as_array().unwrap();
    assert_eq!(kept.len(), 300);
    assert_eq!(kept[299]["text"], "again");
}

#[tokio::test]
async fn inspection_data_has_its_bounds() {
    let bench = Bench::new(config()).await;
    bench.to_manageable().await;
    bench.ask(json!({"target": "inspect"})).await;
    bench.reaches("inspect wait").await;
    let mut interfaces = vec![json!({"name": "eth0", "mac_address": MAC})];
    interfaces.extend(
        (0..5000).map(|n| json!({"name": "x", "mac_address": format!("52:54:01:00:{:02x}:{:02x}", n >> 8, n & 255)})),
    );
    let data = json!({"inventory": {"interfaces": interfaces}});
    let (status, body) = bench.call_as("1.1", Method::POST, "/v1/continue_inspection", Some(data)).await;
    assert_eq!(status, 400, "{body}");
}
