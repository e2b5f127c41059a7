//! What is told while it happens, and what was counted afterwards.

use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::bench::{Bench, config};

/// A stream that is read.
struct Stream {
    response: Response,
    text: String,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

impl Stream {
    async fn open(bench: &Bench, path: &str, last: Option<&str>) -> Self {
        let mut request = reqwest::Client::new().get(format!("http://{}{path}", bench.server.address));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event that is none of the beats.
    async fn next(&mut self) -> Event {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let prefix = format!("{name}: ");
                    event.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default().to_owned()
                };
                let event = Event {
                    id: field("id"),
                    name: field("event"),
                    data: serde_json::from_str(&field("data")).unwrap_or_default(),
                };
                self.text = rest.to_owned();
                if !event.name.is_empty() && event.name != "beat" {
                    return event;
                }
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.response.chunk()).await;
            let chunk = chunk.expect("an event").unwrap().expect("the stream goes on");
            self.text += std::str::from_utf8(&chunk).unwrap();
        }
    }

    async fn until(&mut self, fits: impl Fn(&Event) -> bool) -> Event {
        // Other events may come for ever.
        for _ in 0..10_000 {
            let event = self.next().await;
            if fits(&event) {
                return event;
            }
        }
        panic!("it was not told");
    }
}

fn happened(text: &str) -> impl Fn(&Event) -> bool {
    move |event| event.name == "history" && event.data["text"] == text
}

#[tokio::test]
async fn a_client_that_comes_back_misses_nothing() {
    let bench = Bench::new(config()).await;
    bench.enrol().await;
    let list = bench.call(Method::GET, "/stub/nodes", None).await.1;
    assert_eq!((&list["nodes"][0]["name"], &list["nodes"][0]["phase"]), (&json!("n1"), &json!("stable")));
    let path = format!("/stub/events?after={}", list["position"].as_str().unwrap());
    let mut stream = Stream::open(&bench, &path, None).await;
    bench.ask(json!({"target": "manage"})).await;
    let first = stream.until(happened("enroll -> verifying")).await;
    drop(stream);
    bench.reaches("manageable").await;

    let mut stream = Stream::open(&bench, "/stub/events", Some(&first.id)).await;
    stream.until(happened("verifying -> manageable")).await;
    bench
        .call(Method::PATCH, "/v1/nodes/n1", Some(json!([{"op": "add", "path": "/maintenance", "value": true}])))
        .await;
    let node = stream.until(|event| event.name == "node" && event.data["maintenance"] == true).await;
    assert_eq!(node.data["provision_state"], "manageable");
    assert_eq!(bench.call(Method::DELETE, "/v1/nodes/n1", None).await.0, 204);
    let gone = stream.until(|event| event.name == "gone").await;
    assert_eq!(gone.data["uuid"], node.data["uuid"]);

    let (status, _) = bench.call(Method::GET, "/stub/events?after=nonsense", None).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn after_a_restart_everything_is_to_be_asked_for_again() {
    let bench = Bench::new(config()).await;
    bench.enrol().await;
    let before = bench.call(Method::GET, "/stub/nodes", None).await.1["position"].as_str().unwrap().to_owned();
    let bench = bench.restart(config()).await;
    let mut stream = Stream::open(&bench, "/stub/events", Some(&before)).await;
    assert_eq!(stream.next().await.name, "reset");
}

#[tokio::test]
async fn streams_end_with_the_conductor_and_there_are_not_too_many() {
    let bench = Bench::new(config()).await;
    bench.enrol().await;
    let mut streams = Vec::new();
    let refused = loop {
        let response = reqwest::get(format!("http://{}/stub/events", bench.server.address)).await.unwrap();
        if response.status() != StatusCode::OK {
            break response;
        }
        streams.push(response);
        assert!(streams.len() < 1000, "there is no end of readers");
    };
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let one = streams.pop().unwrap();
    drop(streams);
    bench.server.stop().await;
    // In either way, but it ends.
    let _ = tokio::time::timeout(Duration::from_secs(20), one.bytes()).await.expect("the stream ends");
}

#[tokio::test]
async fn progress_is_told_and_shown() {
    let bench = Bench::new(config()).await;
    bench.enrol().await;
    let uuid: uuid::Uuid = bench.node().await["uuid"].as_str().unwrap().parse().unwrap();
    let mut stream = Stream::open(&bench, &format!("/stub/events?node={uuid}"), None).await;
    let said = json!({"activity": "writing /dev/sda", "done_bytes": 5, "total_bytes": 10});
    let progress = conductor_stub::node::Progress::read("execute_deploy_step", "RUNNING", &said);
    bench.server.conductor.running.set(uuid, Some(progress));
    let event = stream.until(|event| event.name == "progress").await;
    assert_eq!(event.data["progress"]["done_bytes"], 5);
    let shown = &bench.node().await["driver_internal_info"]["progress"];
    assert_eq!((&shown["done_bytes"], &shown["activity"]), (&json!(5), &json!("writing /dev/sda")));
    bench.server.conductor.running.set(uuid, None);
    assert!(stream.until(|event| event.name == "progress").await.data["progress"].is_null());
    assert!(bench.node().await["driver_internal_info"].get("progress").is_none());
}

#[tokio::test]
async fn what_was_done_is_counted() {
    let bench = Bench::new(config()).await;
    bench.to_manageable().await;
    bench.call(Method::GET, "/v1/nodes/nobody", None).await;
    bench.call(Method::GET, "/nonsense", None).await;
    bench.ask(json!({"target": "provide"})).await;
    bench.reaches("clean wait").await;
    let (agent, token) = bench.boot_agent().await;
    agent.fail_next("no");
    bench.beat_until(&agent, &token, "clean failed").await;
    let file = bench.state.path().join("x.iso");
    std::fs::write(&file, b"0123456789").unwrap();
    let uuid = bench.node().await["uuid"].as_str().unwrap().parse().unwrap();
    let url = bench.server.conductor.artefacts.publish(uuid, "x.iso", &file).unwrap();
    assert_eq!(reqwest::get(url).await.unwrap().bytes().await.unwrap().len(), 10);

    let response = reqwest::get(format!("http://{}/metrics", bench.server.address)).await.unwrap();
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = response.text().await.unwrap();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).trim().parse::<f64>().unwrap()
    };
    assert_eq!(value(r#"conductor_nodes{provision_state="clean failed"}"#), 1.0);
    assert_eq!(value(r#"conductor_flow_duration_seconds_count{flow="verify",outcome="done"}"#), 1.0);
    assert_eq!(value(r#"conductor_flow_duration_seconds_count{flow="clean",outcome="failed"}"#), 1.0);
    let request = |labels: &str| value(&format!("conductor_request_duration_seconds_count{{{labels}}}"));
    assert_eq!(request(r#"method="GET",route="/v1/nodes/{node}",code="404""#), 1.0);
    assert_eq!(request(r#"method="GET",route="none",code="404""#), 1.0);
    assert!(request(r#"method="POST",route="/v1/heartbeat/{node}",code="202""#) >= 1.0);
    assert!(value("conductor_heartbeats_total") >= 1.0);
    assert_eq!(value("conductor_artefact_bytes_total"), 10.0);
    assert!(!text.contains("nobody") && !text.contains(&token), "nothing of a client's is in a label");
}

#[tokio::test]
async fn a_console_is_shown_line_by_line_and_without_secrets() {
    let bench = Bench::new(config()).await;
    bench.enrol().await;
    let uuid = bench.node().await["uuid"].as_str().unwrap().to_owned();
    let path = format!("/stub/nodes/{uuid}/console");
    assert_eq!(bench.call(Method::GET, &path, None).await.0, 404, "it has none");
    let log = bench.state.path().join("console");
    std::fs::write(&log, "Command line: ipa-agent-token=s3cret quiet\nlog").unwrap();
    let patch = json!([{"op": "add", "path": "/driver_info/console_log", "value": log}]);
    assert_eq!(bench.call(Method::PATCH, "/v1/nodes/n1", Some(patch)).await.0, 200);

    let mut stream = Stream::open(&bench, &path, None).await;
    assert_eq!(stream.next().await.name, "clear");
    let first = stream.next().await;
    assert_eq!(first.data, json!({"text": "Command line: ipa-agent-token=****** quiet\n", "rest": "log"}));
    let add = |text: &str| {
        use std::io::Write;
        std::fs::File::options().append(true).open(&log).unwrap().write_all(text.as_bytes()).unwrap();
    };
    add("in: ");
    assert_eq!(stream.next().await.data, json!({"text": "", "rest": "login: "}));
    drop(stream);
    add("root\n");
    let mut stream = Stream::open(&bench, &path, Some(&first.id)).await;
    assert_eq!(stream.next().await.data, json!({"text": "login: root\n", "rest": ""}));
    std::fs::write(&log, "again\n").unwrap();
    assert_eq!(stream.next().await.name, "clear", "the machine was started anew");
    assert_eq!(stream.next().await.data["text"], "again\n");
}
