//! What goes wrong, and what the node says about it.

use conductor_stub::config::Config;
use reqwest::Method;
use serde_json::json;

use crate::bench::{Bench, MAC, config};

async fn waiting_for_cleaning(config: Config) -> Bench {
    let bench = Bench::new(config).await;
    bench.to_manageable().await;
    bench.ask(json!({"target": "provide"})).await;
    bench.reaches("clean wait").await;
    bench
}

#[tokio::test]
async fn a_failed_step_is_told_with_its_reason() {
    let bench = waiting_for_cleaning(config()).await;
    let (agent, token) = bench.boot_agent().await;
    agent.fail_next("no device was erased");
    let node = bench.beat_until(&agent, &token, "clean failed").await;
    let error = node["last_error"].as_str().unwrap();
    assert!(error.contains("no device was erased") && error.contains("erase_devices_metadata"), "{error}");
    assert_eq!((&node["maintenance"], &node["fault"]), (&json!(true), &json!("clean failure")));
    assert_eq!(node["power_state"], "power off");
    assert!(node["target_provision_state"].is_null());
    bench.ask(json!({"target": "manage"})).await;
    bench.reaches("manageable").await;
}

#[tokio::test]
async fn every_flow_has_a_timeout_of_its_own() {
    let clean_callback_timeout_seconds = Some(0.2);
    let bench = waiting_for_cleaning(Config { clean_callback_timeout_seconds, ..config() }).await;
    let node = bench.reaches("clean failed").await;
    let error = node["last_error"].as_str().unwrap();
    assert!(error.contains("Timeout reached") && error.contains("the agent has not called"), "{error}");
}

#[tokio::test]
async fn an_agent_that_fell_silent_is_told_from_one_that_never_called() {
    let bench = waiting_for_cleaning(Config { callback_timeout_seconds: 0.6, ..config() }).await;
    let (agent, token) = bench.boot_agent().await;
    agent.be_busy_once();
    bench.heartbeat(&agent, &token).await;
    let node = bench.reaches("clean failed").await;
    assert!(node["last_error"].as_str().unwrap().contains("the last heartbeat came at 20"), "{node}");

    let boot_retry_timeout_seconds = Some(100.0);
    let config = Config { callback_timeout_seconds: 0.6, boot_retry_timeout_seconds, ..config() };
    let bench = waiting_for_cleaning(config).await;
    bench.look_up().await;
    let node = bench.reaches("clean failed").await;
    assert!(node["last_error"].as_str().unwrap().contains("looked itself up at 20"), "{node}");
}

#[tokio::test]
async fn agents_that_do_not_answer_keep_nobody_from_being_looked_at() {
    let bench = Bench::new(Config { progress_interval_seconds: 0.05, ..config() }).await;
    bench.to_manageable().await;
    bench.ask(json!({"target": "provide"})).await;
    bench.reaches("clean wait").await;
    let (agent, token) = bench.boot_agent().await;
    bench.heartbeat(&agent, &token).await;
    bench.reaches("clean wait").await;
    // The same node several times over, with agents that take connections and say nothing; they come first.
    let deaf = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let store = &bench.server.conductor.store;
    let node = store.node("n1").unwrap().unwrap();
    store.delete_node(node.uuid).unwrap();
    for number in 0..5 {
        let mut other = node.clone();
        (other.uuid, other.spec.name) = (uuid::Uuid::new_v4(), Some(format!("deaf-{number}")));
        other.internal.agent_url = Some(format!("http://{}", deaf.local_addr().unwrap()));
        store.save_node(&other, &[]).unwrap();
    }
    store.save_node(&node, &[]).unwrap();
    for _ in 0..100 {
        let (_, shown) = bench.call(Method::GET, "/stub/nodes", None).await;
        let nodes = shown["nodes"].as_array().unwrap();
        if nodes.iter().any(|node| node["name"] == "n1" && node["progress"]["command"] == "execute_clean_step") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
    panic!("the progress of n1 is not shown");
}

#[tokio::test]
async fn a_busy_agent_is_asked_again() {
    let bench = waiting_for_cleaning(config()).await;
    let (agent, token) = bench.boot_agent().await;
    agent.be_busy_once();
    bench.beat_until(&agent, &token, "available").await;
    assert_eq!(agent.names().len(), 3);
}

#[tokio::test]
async fn a_rebooted_agent_counts_as_the_end_of_its_step() {
    let bench = waiting_for_cleaning(config()).await;
    let (agent, token) = bench.boot_agent().await;
    bench.heartbeat(&agent, &token).await;
    bench.reaches("clean wait").await;
    agent.reboot();
    bench.beat_until(&agent, &token, "available").await;
    assert_eq!(agent.names().len(), 3, "as Ironic does: the interrupted step is not run again");
}

#[tokio::test]
async fn tokens_are_shown_once_and_asked_for_always() {
    let bench = waiting_for_cleaning(config()).await;
    let (agent, token) = bench.boot_agent().await;
    assert_eq!(token.len(), 43);
    assert_eq!(bench.look_up().await, "******");
    let (status, body) = bench.heartbeat(&agent, "wrong").await;
    assert_eq!(status, 400);
    let fault: serde_json::Value = serde_json::from_str(body["error_message"].as_str().unwrap()).unwrap();
    assert_eq!(fault["faultstring"], "Invalid or missing agent token received.");
    let uuid = bench.node().await["uuid"].as_str().unwrap().to_owned();
    let path = format!("/v1/heartbeat/{uuid}");
    for (body, text) in [
        (
            json!({"callback_url": "http://x", "agent_token": token, "agent_version": "1", "agent_foo": 1}),
            "Unexpected arguments: agent_foo",
        ),
        (json!({"callback_url": "ftp://x", "agent_token": token, "agent_version": "1"}), "callback_url"),
        (json!({"callback_url": "http://x", "agent_version": "1"}), "Agent token is required"),
        (json!({"callback_url": "http://x", "agent_token": token}), "a version is required"),
    ] {
        let (status, answer) = bench.call_as("1.68", Method::POST, &path, Some(body)).await;
        assert!(status == 400 && answer.to_string().contains(text), "{status} {answer} wants {text}");
    }
    assert_eq!(bench.heartbeat(&agent, &token).await.0, 202);
    let other = json!({"callback_url": "http://192.0.2.1:9999", "agent_token": token, "agent_version": "1"});
    let (status, answer) = bench.call_as("1.68", Method::POST, &path, Some(other)).await;
    assert!(status == 400 && answer.to_string().contains("Detected change"), "{answer}");
}

#[tokio::test]
async fn lookups_are_refused_alike() {
    let bench = Bench::new(config()).await;
    bench.to_manageable().await;
    let lookup = |version: &'static str, query: &str| {
        let path = format!("/v1/lookup?{query}");
        let bench = &bench;
        async move { bench.call_as(version, Method::GET, &path, None).await.0.as_u16() }
    };
    assert_eq!(lookup("1.62", &format!("addresses={MAC}")).await, 404, "not in this state");
    assert_eq!(lookup("1.62", "addresses=52:54:00:00:00:99").await, 404, "no such node");
    assert_eq!(lookup("1.62", "addresses=nonsense").await, 400);
    assert_eq!(lookup("1.20", &format!("addresses={MAC}")).await, 404, "before 1.22 there was no look-up");
    assert_eq!(lookup("1.999", &format!("addresses={MAC}")).await, 406);
}

#[tokio::test]
async fn verbs_that_do_not_fit_are_refused() {
    let bench = Bench::new(config()).await;
    bench.to_manageable().await;
    for (body, status) in [
        (json!({"target": "active"}), 400),
        (json!({"target": "nonsense"}), 400),
        (json!({"target": "clean"}), 400),
        (json!({"target": "manage", "typo": 1}), 400),
    ] {
        let (got, answer) = bench.call(Method::PUT, "/v1/nodes/n1/states/provision", Some(body)).await;
        assert_eq!(got.as_u16(), status, "{answer}");
        assert!(answer["error_message"].is_string(), "{answer}");
    }
    assert_eq!(bench.call(Method::GET, "/v1/nodes/none", None).await.0, 404);
    assert_eq!(bench.call(Method::POST, "/v1/nodes", Some(json!({"driver": "none"}))).await.0, 400);
    assert_eq!(
        bench.call(Method::POST, "/v1/nodes", Some(json!({"driver": "fake-hardware", "name": "n1"}))).await.0,
        409
    );
}

#[tokio::test]
async fn artefacts_are_served_in_parts_and_only_to_those_who_know_the_url() {
    let bench = Bench::new(config()).await;
    bench.enrol().await;
    let file = bench.state.path().join("x.iso");
    std::fs::write(&file, b"0123456789").unwrap();
    let uuid = bench.node().await["uuid"].as_str().unwrap().parse().unwrap();
    let url = bench.server.conductor.artefacts.publish(uuid, "x.iso", &file).unwrap();
    assert_eq!(
        bench.server.conductor.artefacts.publish(uuid, "x.iso", &file).unwrap(),
        url,
        "an address does not change"
    );
    let client = reqwest::Client::new();
    let whole = client.head(&url).send().await.unwrap();
    assert_eq!((whole.status().as_u16(), whole.headers()["content-length"].to_str().unwrap()), (200, "10"));
    let etag = whole.headers()["etag"].clone();
    let part = client.get(&url).header("range", "bytes=2-4").header("if-range", &etag).send().await.unwrap();
    assert_eq!((part.status().as_u16(), part.headers()["content-range"].to_str().unwrap()), (206, "bytes 2-4/10"));
    assert_eq!(part.text().await.unwrap(), "234");
    let changed = client.get(&url).header("range", "bytes=2-4").header("if-range", "\"other\"").send().await.unwrap();
    assert_eq!(changed.status(), 200);
    assert_eq!(client.get(&url).header("range", "bytes=99-").send().await.unwrap().status(), 416);
    assert_eq!(client.get(&url).header("if-none-match", &etag).send().await.unwrap().status(), 304);
    let guess = url.replace("/artefacts/", "/artefacts/x");
    assert_eq!(client.get(guess).send().await.unwrap().status(), 404);

    let fault = json!({"path": "/x.iso", "times": 1, "action": "truncate", "after_bytes": 4});
    assert_eq!(bench.call(Method::POST, "/stub/faults", Some(fault)).await.0, 201);
    let whole = async || client.get(&url).send().await?.bytes().await;
    assert!(whole().await.is_err(), "cut off");
    assert_eq!(whole().await.unwrap().len(), 10);
}
