//! An agent that dies in the middle comes back as itself.

use serde_json::json;

use crate::fixture::{Ironic, NODE, Setup, TOKEN, looked_up, step};

#[tokio::test]
async fn a_killed_agent_reports_the_interrupted_step_as_failed() {
    let ironic = Ironic::start().await;
    let mut setup = Setup::new();
    setup.plugin();
    let mut agent = looked_up(&mut setup, &ironic).await;
    agent.command("clean.get_clean_steps", json!({"node": {"uuid": NODE}, "ports": []}), true).await;
    agent
        .command("clean.execute_clean_step", step("clean", json!({"step": "wait", "interface": "deploy"})), false)
        .await;
    let before = agent.commands().await;
    agent.kill();

    // Ironic hands out a token once.
    ironic.configure("agent_token", json!("******"));
    let agent = setup.start();
    agent.serves().await;
    let after = agent.commands().await;
    assert_eq!(after[0], before[0]);
    assert_eq!(after[1]["id"], before[1]["id"]);
    assert_eq!(after[1]["command_status"], "FAILED");
    assert!(after[1]["command_error"]["details"].as_str().unwrap().contains("restarted"));
    let heartbeats = ironic.asked("/v1/heartbeat/");
    assert!(heartbeats.iter().all(|heartbeat| heartbeat.body["agent_token"] == TOKEN));
    let lookup = ironic.asked("/v1/lookup").pop().unwrap();
    assert!(lookup.query.contains(NODE), "{}", lookup.query);
}

#[tokio::test]
async fn it_goes_on_although_ironic_does_not_find_it_any_more() {
    let ironic = Ironic::start().await;
    let mut setup = Setup::new();
    let mut agent = looked_up(&mut setup, &ironic).await;
    agent.kill();
    ironic.answer_first("/v1/lookup", vec![(404, json!({})); 100]);
    let count = ironic.asked("/v1/heartbeat/").len();
    let agent = setup.start();
    agent.serves().await;
    ironic.wait_for("/v1/heartbeat/", count + 1).await;
    assert!(agent.commands().await.is_empty());
}
