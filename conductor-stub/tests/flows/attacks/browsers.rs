//! What a web page can make its reader's browser do.

use reqwest::header::{CONTENT_TYPE, HOST, ORIGIN};
use serde_json::json;

use crate::bench::{Bench, config};

fn node() -> String {
    json!({"driver": "fake-hardware"}).to_string()
}

#[tokio::test]
async fn a_name_that_leads_here_by_rebinding_is_refused() {
    let bench = Bench::new(config()).await;
    let client = reqwest::Client::new();
    let port = bench.server.address.port();
    let get = |host: String| client.get(format!("http://127.0.0.1:{port}/v1/nodes")).header(HOST, host).send();
    for host in [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        "localhost.evil.example".into(),
        "192.0.2.99".into(),
    ] {
        assert_eq!(get(host.clone()).await.unwrap().status(), 421, "{host}");
    }
    for host in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("LOCALHOST.:{port}"),
        format!("[::1]:{port}"),
    ] {
        assert_eq!(get(host.clone()).await.unwrap().status(), 200, "{host}");
    }
}

#[tokio::test]
async fn a_foreign_page_is_refused() {
    let bench = Bench::new(config()).await;
    let client = reqwest::Client::new();
    let url = format!("http://{}/v1/nodes", bench.server.address);
    let post = |origin: String| {
        client.post(&url).header(ORIGIN, origin).header(CONTENT_TYPE, "application/json").body(node()).send()
    };
    for origin in [
        "http://evil.example".to_owned(),
        "null".into(),
        "http://127.0.0.1:1".into(),
        format!("https://{}", bench.server.address),
    ] {
        assert_eq!(post(origin.clone()).await.unwrap().status(), 403, "{origin}");
    }
    assert_eq!(post(format!("http://{}", bench.server.address)).await.unwrap().status(), 201, "our own page");
}

#[tokio::test]
async fn a_form_is_no_json() {
    let bench = Bench::new(config()).await;
    let client = reqwest::Client::new();
    let url = format!("http://{}/v1/nodes", bench.server.address);
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx"]
    {
        let answer = client.post(&url).header(CONTENT_TYPE, kind).body(node()).send().await.unwrap();
        assert_eq!(answer.status(), 415, "{kind}");
    }
    assert_eq!(client.post(&url).body(node()).send().await.unwrap().status(), 415, "no type at all");
    for kind in ["application/json", "application/json; charset=utf-8", "Application/JSON"] {
        let answer = client.post(&url).header(CONTENT_TYPE, kind).body(node()).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{kind}");
    }
    let fault = client
        .post(format!("http://{}/stub/faults", bench.server.address))
        .body(r#"{"path": "/", "action": "status", "status": 500}"#);
    assert_eq!(fault.send().await.unwrap().status(), 415);
}
