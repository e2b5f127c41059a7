//! Secrets that came in do not come out.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::{Bench, MAC, config};

async fn patch(bench: &Bench, path: &str, value: Value) {
    let (status, body) =
        bench.call(Method::PATCH, "/v1/nodes/n1", Some(json!([{"op": "add", "path": path, "value": value}]))).await;
    assert_eq!(status, 200, "{body}");
}

/// Everything that the conductor shows.
async fn shown(bench: &Bench) -> String {
    let mut text = String::new();
    for path in [
        "/v1/nodes/n1",
        "/v1/nodes/detail",
        "/v1/nodes/n1/history",
        "/v1/nodes/n1/states",
        "/stub/nodes",
        "/stub/nodes/n1",
        "/stub/journal",
    ] {
        text += &bench.call(Method::GET, path, None).await.1.to_string();
    }
    text
}

#[tokio::test]
async fn passwords_set_by_patch_are_shown_nowhere() {
    let bench = Bench::new(config()).await;
    bench.enrol().await;
    let secrets =
        json!({"redfish_password": "s3cret-1", "snmp_auth_key": "s3cret-2", "deeper": {"X_AUTH_TOKEN": "s3cret-3"}});
    patch(&bench, "/driver_info", secrets).await;
    patch(&bench, "/driver_info/ipmi_password", json!("s3cret-4")).await;
    patch(&bench, "/driver_info/deeper/private_key", json!("s3cret-5")).await;
    patch(&bench, "/instance_info", json!({"image_source": "http://user:s3cret-6@192.0.2.1/a?X-Amz-Signature=s3cret-7", "image_pull_secret": "s3cret-8", "image_request_authorization": "Basic s3cret-9"})).await;
    patch(&bench, "/instance_info/configdrive", json!({"user_data": "s3cret-10"})).await;
    let shown = shown(&bench).await;
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(shown.contains("192.0.2.1/a"), "the rest stays");
}

#[tokio::test]
async fn a_look_up_gives_nothing_away_that_the_agent_does_not_need() {
    let bench = Bench::new(config()).await;
    bench.to_manageable().await;
    patch(&bench, "/automated_clean", json!(true)).await;
    patch(&bench, "/instance_info", json!({"configdrive": "s3cret-1", "image_url": "http://x/artefacts/s3cret-2/a", "image_request_authorization": "s3cret-3", "rescue_password": "s3cret-4", "root_device": {"size": 1}})).await;
    bench.ask(json!({"target": "provide"})).await;
    bench.reaches("clean wait").await;
    let look_up = |version: &'static str| {
        let bench = &bench;
        async move { bench.call_as(version, Method::GET, &format!("/v1/lookup?addresses={MAC}"), None).await.1 }
    };
    for version in ["1.22", "1.61"] {
        let old = look_up(version).await;
        assert!(old["config"].get("agent_token").is_none_or(Value::is_null), "{old}");
    }
    let first = look_up("1.62").await;
    let token = first["config"]["agent_token"].as_str().unwrap().to_owned();
    for version in ["1.22", "1.61", "1.62", "1.115"] {
        let later = look_up(version).await;
        let text = later.to_string();
        assert!(!text.contains(&token) && !text.contains("s3cret"), "{version}: {text}");
        assert_eq!(later["node"]["instance_info"]["root_device"]["size"], 1);
    }
    assert!(!first.to_string().contains("s3cret"), "{first}");
    let history = bench.call(Method::GET, "/stub/nodes/n1", None).await.1.to_string();
    assert_eq!(history.matches("looked itself up").count(), 1, "asking again is nothing to write down: {history}");
}

#[tokio::test]
async fn an_error_that_repeats_a_secret_is_kept_without_it() {
    let bench = Bench::new(config()).await;
    bench.to_manageable().await;
    patch(&bench, "/driver_info/redfish_password", json!("s3cret-1")).await;
    bench.ask(json!({"target": "provide"})).await;
    bench.reaches("clean wait").await;
    let (agent, token) = bench.boot_agent().await;
    agent.fail_next(&format!(
        "no login with s3cret-1 at https://u:s3cret-2@h/x?token=s3cret-3, X-Auth-Token: s3cret-4, {token}"
    ));
    let node = bench.beat_until(&agent, &token, "clean failed").await;
    assert!(node["last_error"].as_str().unwrap().contains("no login with"), "{node}");
    let shown = shown(&bench).await;
    assert!(!shown.contains("s3cret") && !shown.contains(&token), "{shown}");
}

fn modes(folder: &Path, found: &mut Vec<(String, u32)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        found.push((path.display().to_string(), metadata.permissions().mode() & 0o777));
        if metadata.is_dir() {
            modes(&path, found);
        }
    }
}

#[tokio::test]
async fn files_of_ours_are_nobody_elses() {
    let folder = tempfile::tempdir().unwrap();
    // As somebody with a generous umask would have it.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    conductor_stub::tls::use_ring();
    let state = folder.path().join("state");
    let server = conductor_stub::server::Server::start(config(), &state, ([127, 0, 0, 1], 0).into()).await.unwrap();
    let mut found = vec![("state".to_owned(), std::fs::metadata(&state).unwrap().permissions().mode() & 0o777)];
    modes(&state, &mut found);
    assert!(found.iter().any(|(name, _)| name.ends_with(".sqlite")), "{found:?}");
    for (name, mode) in &found {
        assert_eq!(mode & 0o077, 0, "{name} is {mode:o}");
    }
    server.stop().await;
}
