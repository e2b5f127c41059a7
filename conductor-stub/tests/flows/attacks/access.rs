//! Who may come in.

use std::net::SocketAddr;

use conductor_stub::config::{AuthStrategy, Config};
use conductor_stub::server::{Server, StartError};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::bench::{Bench, MAC, config};

/// A conductor with the user `admin`.
async fn with_users(folder: &tempfile::TempDir) -> Bench {
    let file = folder.path().join("htpasswd");
    std::fs::write(&file, format!("admin:{}\n", bcrypt::hash("s3cret", 4).unwrap())).unwrap();
    let auth_strategy = AuthStrategy::HttpBasic;
    Bench::new(Config { auth_strategy, http_basic_auth_user_file: file, ..config() }).await
}

#[tokio::test]
async fn without_a_password_only_the_doors_for_agents_are_open() {
    let folder = tempfile::tempdir().unwrap();
    let bench = with_users(&folder).await;
    let node = json!({"driver": "fake-hardware"});
    for (method, path, body) in [
        (Method::GET, "/v1/nodes", None),
        (Method::GET, "/v1/nodes/", None),
        (Method::POST, "/v1/nodes", Some(node)),
        (Method::PUT, "/v1/nodes/n1/states/provision", Some(json!({"target": "manage"}))),
        (Method::GET, "/v1/ports", None),
        (Method::GET, "/v1/drivers", None),
        (Method::GET, "/v1/heartbeat/x/../../nodes", None),
        (Method::GET, "/v1/heartbeat/x%2f..%2f..%2fnodes/detail", None),
        (Method::GET, "/v1/nothing", None),
        (Method::GET, "/nothing", None),
        (Method::GET, "/stub/nodes", None),
        (Method::GET, "/stub/nodes/n1", None),
        (Method::GET, "/stub/nodes/n1/console", None),
        (Method::GET, "/stub/events", None),
        (Method::GET, "/stub/journal", None),
        (Method::GET, "/page", None),
        (Method::GET, "/page/nodes/n1", None),
        (Method::GET, "/page/list.js", None),
        (Method::GET, "/metrics", None),
        (Method::POST, "/stub/faults", Some(json!({"path": "/", "action": "status", "status": 500}))),
    ] {
        let (status, body) = bench.call(method.clone(), path, body).await;
        assert_eq!(status, 401, "{method} {path}: {body}");
        assert_eq!(body["error"], json!({"message": "Authorization required", "code": 401}));
    }
    for (method, path, body, wanted) in [
        (Method::GET, "/", None, 200),
        (Method::GET, "/v1", None, 200),
        (Method::GET, "/v1/", None, 200),
        (Method::GET, "/v1/lookup?addresses=52:54:00:00:00:99", None, 404),
        (Method::POST, "/v1/heartbeat/none", Some(json!({"callback_url": "http://x"})), 404),
        (
            Method::POST,
            "/v1/continue_inspection",
            Some(json!({"inventory": {"interfaces": [{"mac_address": MAC}]}})),
            404,
        ),
        (Method::GET, "/artefacts/x/y", None, 404),
    ] {
        assert_eq!(bench.call(method, path, body).await.0, wanted, "{path}");
    }
}

#[tokio::test]
async fn a_user_comes_in_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let bench = with_users(&folder).await;
    let url = format!("http://{}/v1/nodes", bench.server.address);
    let client = reqwest::Client::new();
    let answer = client.get(&url).send().await.unwrap();
    assert_eq!(answer.headers()["www-authenticate"], r#"Basic realm="Baremetal API""#);
    for (user, password, wanted) in [
        ("admin", "s3cret", StatusCode::OK),
        ("admin", "wrong", StatusCode::UNAUTHORIZED),
        ("root", "s3cret", StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(client.get(&url).basic_auth(user, Some(password)).send().await.unwrap().status(), wanted, "{user}");
    }
    let bearer = client.get(&url).bearer_auth("x").send().await.unwrap();
    assert_eq!(bearer.status(), 400);
}

#[tokio::test]
async fn without_passwords_only_loopback_is_listened_on() {
    let folder = tempfile::tempdir().unwrap();
    let everywhere: SocketAddr = ([0, 0, 0, 0], 0).into();
    let start = |config: Config| Server::start(config, folder.path(), everywhere);
    let refused = start(config()).await.unwrap_err();
    assert!(matches!(refused, StartError::Unauthenticated(_)), "{refused}");
    assert!(refused.to_string().contains("allow_unauthenticated_access_from_the_network"), "{refused}");
    let asked = Config { allow_unauthenticated_access_from_the_network: true, ..config() };
    start(asked).await.unwrap().stop().await;
}

#[tokio::test]
async fn programs_are_only_run_when_that_is_asked_for() {
    let bench = Bench::new(config()).await;
    let node = json!({"driver": "local-process", "driver_info": {"command": ["touch", "/tmp/owned"]}});
    let (status, body) = bench.call(Method::POST, "/v1/nodes", Some(node)).await;
    assert!(status == 400 && body.to_string().contains("local-process"), "{status} {body}");
    bench.enrol().await;
    let patch = json!([{"op": "replace", "path": "/driver", "value": "local-process"}]);
    assert_eq!(bench.call(Method::PATCH, "/v1/nodes/n1", Some(patch)).await.0, 400);
    assert!(!bench.call(Method::GET, "/v1/drivers", None).await.1.to_string().contains("local-process"));
}

#[tokio::test]
async fn one_state_directory_has_one_conductor() {
    let bench = Bench::new(config()).await;
    let second = Server::start(config(), &bench.state.path().join("conductor"), ([127, 0, 0, 1], 0).into()).await;
    let refused = second.unwrap_err();
    assert!(
        matches!(refused, StartError::StateDir(_)) && refused.to_string().contains("another conductor"),
        "{refused}"
    );
    assert_eq!(bench.call(Method::GET, "/v1/nodes", None).await.0, 200);
}
