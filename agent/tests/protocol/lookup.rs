//! Finding the node: request, retries, token, several URLs.

use reqwest::Method;
use serde_json::json;

use crate::fixture::{Ironic, MAC, NODE, Setup, TOKEN, looked_up};

#[tokio::test]
async fn the_request_names_every_mac_and_an_old_version() {
    let ironic = Ironic::start().await;
    let _agent = looked_up(&mut Setup::new(), &ironic).await;
    let asked = &ironic.asked("/v1/lookup")[0];
    assert_eq!(asked.method, Method::GET);
    assert_eq!(asked.query, format!("addresses={}", MAC.replace(':', "%3A")));
    assert_eq!(asked.version.as_deref(), Some("1.62"));
}

#[tokio::test]
async fn every_refusal_is_asked_again() {
    let ironic = Ironic::start().await;
    let refusals = [(404, json!({"error_message": "not yet"})), (409, json!({})), (200, json!({"node": {}}))];
    ironic.answer_first("/v1/lookup", refusals);
    let _agent = looked_up(&mut Setup::new(), &ironic).await;
    assert_eq!(ironic.asked("/v1/lookup").len(), 4);
}

#[tokio::test]
async fn an_url_that_does_not_answer_is_passed_over() {
    let ironic = Ironic::start().await;
    let mut setup = Setup::new();
    setup.flag("--api-url", &format!("http://127.0.0.1:1,,{}/", ironic.url)).switch("--noenable-auto-tls");
    let agent = setup.start();
    agent.serves().await;
    ironic.wait_for("/v1/heartbeat/", 1).await;
}

#[tokio::test]
async fn giving_up_is_a_failure_of_the_process() {
    let ironic = Ironic::start().await;
    ironic.answer_first("/v1/lookup", vec![(404, json!({})); 100]);
    let mut setup = Setup::new();
    setup.flag("--api-url", &ironic.url).flag("--lookup-timeout", "2");
    let mut agent = setup.start();
    assert_eq!(agent.exit_code().await, 1);
    assert!(agent.log().contains("could not look up the node"), "{}", agent.log());
}

#[tokio::test]
async fn an_agent_that_is_still_looking_ends_when_it_is_told_to() {
    let ironic = Ironic::start().await;
    ironic.answer_first("/v1/lookup", vec![(404, json!({})); 100]);
    let mut setup = Setup::new();
    setup.flag("--api-url", &ironic.url);
    let mut agent = setup.start();
    ironic.wait_for("/v1/lookup", 1).await;
    agent.terminate();
    assert_eq!(agent.exit_code().await, 0);
}

#[tokio::test]
async fn a_token_given_to_somebody_else_leaves_the_agent_idle() {
    let ironic = Ironic::start().await;
    ironic.configure("agent_token", json!("******"));
    let mut setup = Setup::new();
    setup.flag("--api-url", &ironic.url);
    let mut agent = setup.start();
    ironic.wait_for("/v1/lookup", 1).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(agent.runs() && ironic.asked("/v1/heartbeat/").is_empty());
    assert!(crate::fixture::plain().get(&agent.url).send().await.is_err(), "nothing is served");
}

#[tokio::test]
async fn a_token_made_beforehand_is_kept() {
    let ironic = Ironic::start().await;
    ironic.configure("agent_token", json!("******"));
    let mut setup = Setup::new();
    setup.flag("--agent-token", TOKEN);
    let agent = looked_up(&mut setup, &ironic).await;
    assert!(agent.commands().await.is_empty());
    let heartbeat = ironic.wait_for("/v1/heartbeat/", 1).await;
    assert_eq!(heartbeat.body["agent_token"], TOKEN);
    assert_eq!(heartbeat.path, format!("/v1/heartbeat/{NODE}"));
}

#[tokio::test]
async fn an_old_ironic_is_asked_in_its_own_version() {
    let ironic = Ironic::start().await;
    ironic.answer_first("/", [(200, json!({"default_version": {"version": "1.40"}}))]);
    let _agent = looked_up(&mut Setup::new(), &ironic).await;
    assert_eq!(ironic.asked("/v1/lookup")[0].version.as_deref(), Some("1.40"));
    let heartbeat = ironic.wait_for("/v1/heartbeat/", 1).await;
    let keys: Vec<&String> = heartbeat.body.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["callback_url", "agent_version"]);
}
