//! Inspection at start-up.

use serde_json::json;

use crate::fixture::{Ironic, MAC, NODE, Setup, eventually, looked_up};

#[tokio::test]
async fn data_are_posted_before_look_up_which_then_knows_the_node() {
    let ironic = Ironic::start().await;
    ironic.answer_first("/v1/continue_inspection", [(503, json!({})), (409, json!({}))]);
    let mut setup = Setup::new();
    setup.flag("--inspection-collectors", "default,logs");
    let _agent = looked_up(&mut setup, &ironic).await;
    let posted = ironic.asked("/v1/continue_inspection");
    assert_eq!(posted.len(), 3, "a failing server and a locked node are asked again");
    let data = &posted[2].body;
    assert_eq!(posted[2].version, None);
    assert_eq!(data["inventory"]["interfaces"][0]["mac_address"], MAC);
    assert_eq!(data["configuration"]["collectors"], json!(["default", "logs"]));
    assert!(data["logs"].is_string() && data["error"].is_null());
    let lookup = &ironic.asked("/v1/lookup")[0];
    assert!(lookup.query.ends_with(&format!("&node_uuid={NODE}")), "{}", lookup.query);
}

#[tokio::test]
async fn where_no_inspection_is_under_way_nothing_waits_for_one() {
    let ironic = Ironic::start().await;
    ironic.answer_first("/v1/continue_inspection", [(404, json!({})), (404, json!({}))]);
    let mut setup = Setup::new();
    setup.flag("--inspection-collectors", "default");
    let agent = looked_up(&mut setup, &ironic).await;
    ironic.wait_for("/v1/heartbeat/", 1).await;
    // An agent can be faster than its conductor: what was too early at first is accepted later.
    ironic.wait_for("/v1/continue_inspection", 3).await;
    eventually("the agent to log it", async || agent.log().contains("inspection data accepted").then_some(())).await;
    let order: Vec<String> = ironic.asked("/v1/").into_iter().map(|asked| asked.path).collect();
    assert_eq!(order[..2], ["/v1/continue_inspection", "/v1/lookup"]);
    assert_eq!(ironic.asked("/v1/continue_inspection").len(), 3);
    assert_eq!(ironic.asked("/v1/lookup").len(), 1);
}

#[tokio::test]
async fn a_failure_is_reported_and_does_not_stop_the_agent() {
    let ironic = Ironic::start().await;
    ironic.answer_first("/v1/continue_inspection", [(400, json!({"error_message": {"faultstring": "no"}}))]);
    let mut setup = Setup::new();
    setup.flag("--inspection-collectors", "default,no-such-collector");
    let _agent = looked_up(&mut setup, &ironic).await;
    let posted = ironic.asked("/v1/continue_inspection");
    assert_eq!(posted.len(), 1);
    let error = posted[0].body["error"].as_str().unwrap();
    assert!(error.starts_with("The following errors were encountered:\n* ") && error.contains("no-such-collector"));
}
