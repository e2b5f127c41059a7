//! Routes, methods, token, faults.

use std::io::ErrorKind;
use std::net::IpAddr;

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fixture::{Setup, TOKEN, eventually, plain, plain_from, standalone};

#[tokio::test]
async fn documents_need_no_token_and_link_to_the_host_asked() {
    let agent = standalone(&mut Setup::new()).await;
    let (status, root) = agent.request(Method::GET, "/", "").await;
    assert_eq!(status, 200);
    assert_eq!(root["name"], "OpenStack Ironic Python Agent API");
    assert_eq!(root["default_version"], root["versions"][0]);
    assert_eq!(root["default_version"]["links"][0], json!({"href": format!("{}/v1", agent.url), "rel": "self"}));

    let (_, v1) = agent.request(Method::GET, "/v1/", "").await;
    assert_eq!(v1["id"], "v1");
    assert_eq!(v1["commands"][1], json!({"href": format!("{}/commands", agent.url), "rel": "bookmark"}));
    assert_eq!(v1["media_types"][0]["base"], "application/json");

    for path in ["/v1/status", "/status"] {
        let (status, body) = agent.request(Method::GET, path, "").await;
        assert_eq!(status, 200);
        assert!(body["started_at"].as_f64().unwrap() > 1e9 && body["version"].is_string());
    }
}

#[tokio::test]
async fn methods_and_paths() {
    let agent = standalone(&mut Setup::new()).await;
    let token = format!("?agent_token={TOKEN}");
    for (method, path, expected) in [
        (Method::HEAD, "/".to_string(), 200),
        (Method::HEAD, format!("/v1/commands/{token}"), 200),
        (Method::PUT, "/v1/commands/".to_string(), 405),
        (Method::OPTIONS, "/v1/status".to_string(), 405),
        (Method::DELETE, "/v1/commands/x".to_string(), 405),
        (Method::POST, "/".to_string(), 405),
        (Method::GET, "/v1/status/".to_string(), 404),
        (Method::GET, "/v2/".to_string(), 404),
        (Method::GET, format!("/v1/commands/x/{token}"), 404),
        (Method::GET, format!("/commands/{token}"), 200),
        (Method::GET, "/v1".to_string(), 308),
        (Method::GET, "/v1/commands?a=b".to_string(), 308),
    ] {
        let response = plain().request(method.clone(), format!("{}{path}", agent.url)).send().await.unwrap();
        assert_eq!(response.status(), expected, "{method} {path}");
        if expected == 308 {
            let (bare, query) = path.split_once('?').map_or((path.as_str(), ""), |(bare, _)| (bare, "?a=b"));
            assert_eq!(response.headers()["location"], format!("{}{bare}/{query}", agent.url));
        } else {
            assert_eq!(response.headers()["content-type"], "application/json", "{method} {path}");
        }
        if expected == 405 {
            assert!(response.headers()["allow"].to_str().unwrap().contains("GET"), "{method} {path}");
            assert!(response.text().await.unwrap().contains("405 Method Not Allowed: "));
        }
    }
    let (_, body) = agent.request(Method::GET, "/nowhere", "").await;
    assert_eq!(body["faultcode"], "Client");
    assert!(body["faultstring"].as_str().unwrap().starts_with("404 Not Found: The requested URL was not found"));
}

#[tokio::test]
async fn commands_need_the_token_before_anything_else() {
    let agent = standalone(&mut Setup::new()).await;
    let refused = json!({"faultcode": "Client", "faultstring": "401 Unauthorized: Token invalid."});
    for (method, path) in [
        (Method::GET, "/v1/commands/".to_string()),
        (Method::GET, "/v1/commands/?agent_token=".to_string()),
        (Method::GET, format!("/v1/commands/?agent_token={TOKEN}x")),
        (Method::GET, "/v1/commands/no-such-id?agent_token=wrong".to_string()),
        (Method::POST, "/v1/commands/?agent_token=wrong".to_string()),
    ] {
        assert_eq!(agent.request(method, &path, "{not json").await, (401, refused.clone()), "{path}");
    }
    assert_eq!(agent.commands().await.len(), 0);
    assert!(!agent.log().contains(TOKEN), "the token must not be logged");
}

#[tokio::test]
async fn bad_requests_are_refused_with_the_words_of_the_wire() {
    let agent = standalone(&mut Setup::new()).await;
    let path = format!("/v1/commands/?agent_token={TOKEN}");
    let missing = "400 Bad Request: Missing or invalid name or params";
    for (body, status, text) in [
        ("", 400, "400 Bad Request: Failed to decode JSON object: "),
        ("{", 400, "400 Bad Request: Failed to decode JSON object: "),
        ("[]", 400, missing),
        ("null", 400, missing),
        ("\"text\"", 400, missing),
        (r#"{"name": "a.b"}"#, 400, missing),
        (r#"{"name": "a.b", "params": []}"#, 400, missing),
        (r#"{"params": {}}"#, 400, missing),
        (r#"{"name": 1, "params": {}}"#, 400, missing),
        (
            r#"{"name": "sync", "params": {}}"#,
            400,
            "Invalid command: Command name must be of the form <extension>.<name>",
        ),
        (r#"{"name": "standby.cache_image", "params": {}}"#, 400, "Invalid command: Unknown command: cache_image"),
        (r#"{"name": "standby.sync.more", "params": {}}"#, 400, "Invalid command: Unknown command: sync.more"),
        (r#"{"name": "bad_extension.x", "params": {}}"#, 404, "Not found: Extension with id bad_extension not found."),
        (
            r#"{"name": "standby.prepare_image", "params": {"image_info": {"urls": ["x"]}}}"#,
            400,
            "Invalid command parameters: Image is missing 'id' field.",
        ),
        (
            r#"{"name": "clean.get_clean_steps", "params": {"node": {}, "ports": []}}"#,
            400,
            "Invalid command parameters: 'node' must be a node with a 'uuid'.",
        ),
    ] {
        let (got, answer) = agent.request(Method::POST, &path, body).await;
        assert_eq!(got, status, "{body}: {answer}");
        assert_eq!(answer["faultcode"], "Client");
        assert!(answer["faultstring"].as_str().unwrap().starts_with(text), "{body}: {answer}");
    }
    let (status, answer) = agent.request(Method::GET, &format!("/v1/commands/7b4e?agent_token={TOKEN}"), "").await;
    assert_eq!(
        (status, answer["faultstring"].as_str().unwrap()),
        (404, "Not found: Command Result with id 7b4e not found.")
    );
    assert_eq!(agent.commands().await.len(), 0, "what did not start leaves no trace");
}

#[tokio::test]
async fn bodies_may_be_large() {
    let agent = standalone(&mut Setup::new()).await;
    let (status, answer) = agent.command("standby.sync", json!({"configdrive": "x".repeat(64 << 20)}), false).await;
    assert_eq!(status, 200);
    assert_eq!(answer["command_error"]["type"], "CommandExecutionError");
}

#[tokio::test]
async fn connections_that_say_nothing_do_not_keep_others_out() {
    let agent = standalone(&mut Setup::new()).await;
    let address = agent.url.trim_start_matches("http://");
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    let is_closed = |one: &&tokio::net::TcpStream| !matches!(one.try_read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock);
    eventually("most are closed", async || (silent.iter().filter(is_closed).count() >= silent.len() / 2).then_some(()))
        .await;
    let other = plain_from(Some(IpAddr::from([127, 0, 0, 2])));
    assert_eq!(other.get(format!("{}/v1/status", agent.url)).send().await.unwrap().status(), 200);
    drop(silent);
    eventually("the same peer is served again", async || {
        plain().get(format!("{}/v1/status", agent.url)).send().await.ok().filter(|answer| answer.status() == 200)
    })
    .await;
}

#[tokio::test]
async fn a_body_that_is_announced_as_too_long_is_not_read() {
    let agent = standalone(&mut Setup::new()).await;
    let address = agent.url.trim_start_matches("http://");
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    let head =
        format!("POST /v1/commands/?agent_token={TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n\r\n");
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    connection.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}
