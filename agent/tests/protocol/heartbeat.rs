//! Heartbeats: content, and that the conductor is told at once.

use std::time::Duration;

use serde_json::json;

use crate::fixture::{Ironic, Setup, TOKEN, looked_up, step};

#[tokio::test]
async fn it_has_exactly_the_keys_that_ironic_knows() {
    let ironic = Ironic::start().await;
    let mut setup = Setup::new();
    let _agent = looked_up(&mut setup, &ironic).await;
    let heartbeat = ironic.wait_for("/v1/heartbeat/", 1).await;
    assert_eq!(heartbeat.version.as_deref(), Some("1.68"));
    assert_eq!(
        heartbeat.body,
        json!({"callback_url": format!("http://127.0.0.1:{}", setup.port), "agent_token": TOKEN,
               "agent_version": env!("CARGO_PKG_VERSION")})
    );
}

#[tokio::test]
async fn it_follows_the_end_of_a_command_at_once() {
    let ironic = Ironic::start().await;
    let mut setup = Setup::new();
    setup.plugin();
    let agent = looked_up(&mut setup, &ironic).await;
    ironic.wait_for("/v1/heartbeat/", 1).await;
    // The conductor has seen the agent, so that no repetition is due.
    let wait = step("clean", json!({"step": "wait", "interface": "deploy"}));
    agent.command("clean.execute_clean_step", wait, false).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let before = ironic.asked("/v1/heartbeat/").len();
    setup.release();
    let ended = std::time::Instant::now();
    let heartbeat = ironic.wait_for("/v1/heartbeat/", before + 1).await;
    assert!(heartbeat.at.duration_since(ended) < Duration::from_secs(1), "the next one would be due in 90 s");

    // It is repeated until the conductor comes, then no more.
    ironic.wait_for("/v1/heartbeat/", before + 2).await;
    agent.commands().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let seen = ironic.asked("/v1/heartbeat/").len();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(ironic.asked("/v1/heartbeat/").len() <= seen + 1);
}

#[tokio::test]
async fn a_locked_node_is_told_again_soon() {
    let ironic = Ironic::start().await;
    ironic.answer_first("/v1/heartbeat/", [(409, json!({"error_message": {"faultstring": "Node is locked"}}))]);
    let agent = looked_up(&mut Setup::new(), &ironic).await;
    let first = ironic.wait_for("/v1/heartbeat/", 1).await.at;
    let second = ironic.wait_for("/v1/heartbeat/", 2).await.at;
    assert!(second.duration_since(first) < Duration::from_secs(4));
    assert!(agent.log().contains("Node is locked"));
}

#[tokio::test]
async fn a_conductor_that_is_away_does_not_end_the_agent() {
    let ironic = Ironic::start().await;
    ironic.answer_first("/v1/heartbeat/", [(500, json!({})), (404, json!({}))]);
    let mut agent = looked_up(&mut Setup::new(), &ironic).await;
    ironic.wait_for("/v1/heartbeat/", 3).await;
    assert!(agent.runs());
}
