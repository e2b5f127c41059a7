//! Switching machines whose BMCs have their own idea of it.

use std::time::Duration;

use conductor_stub::redfish::{RedfishError, Reset, System};
use serde_json::json;

use crate::replay::{Replay, file};

const LIMIT: Duration = Duration::from_secs(10);
const SYSTEM: &str = "/redfish/v1/Systems/System.Embedded.1";

#[tokio::test]
async fn a_soft_power_off_is_never_made_a_hard_one() {
    let mut stubborn = file("idrac9");
    stubborn.habits.stubborn = true;
    stubborn.tree.get_mut(SYSTEM).unwrap()["PowerState"] = "On".into();
    let bmc = Replay::start(stubborn).await;
    let client = bmc.client();
    let system = System::find(&client).await.unwrap();
    let error = system.reset(Reset::GracefulShutdown, Duration::from_millis(600)).await.unwrap_err();
    assert!(matches!(error, RedfishError::Power { wanted: "Off", .. }), "{error}");
    assert_eq!(bmc.bodies("POST", "Reset"), [json!({"ResetType": "GracefulShutdown"})]);
    assert_eq!(system.power().await.unwrap(), "On");
}

#[tokio::test]
async fn what_is_not_offered_is_not_sent() {
    let mut few = file("idrac9");
    few.tree.get_mut(SYSTEM).unwrap()["Actions"]["#ComputerSystem.Reset"]["ResetType@Redfish.AllowableValues"] =
        json!(["ForceOn", "ForceOff"]);
    let bmc = Replay::start(few).await;
    let client = bmc.client();
    let system = System::find(&client).await.unwrap();
    system.set_power(true, LIMIT).await.unwrap();
    assert_eq!(bmc.bodies("POST", "Reset"), [json!({"ResetType": "ForceOn"})]);
    let error = system.reset(Reset::GracefulShutdown, LIMIT).await.unwrap_err().to_string();
    assert!(error.contains("offers no GracefulShutdown, only ForceOn, ForceOff"), "{error}");
}

#[tokio::test]
async fn what_is_offered_may_stand_elsewhere() {
    let mut elsewhere = file("idrac9");
    let reset = &mut elsewhere.tree.get_mut(SYSTEM).unwrap()["Actions"]["#ComputerSystem.Reset"];
    *reset = json!({"target": reset["target"], "@Redfish.ActionInfo": "/redfish/v1/Systems/ResetActionInfo"});
    let parameters = json!([{"Name": "ResetType", "Required": true, "AllowableValues": ["ForceOn", "ForceOff"]}]);
    elsewhere.tree.insert("/redfish/v1/Systems/ResetActionInfo".into(), json!({"Parameters": parameters}));
    let bmc = Replay::start(elsewhere).await;
    let client = bmc.client();
    System::find(&client).await.unwrap().set_power(true, LIMIT).await.unwrap();
    assert_eq!(bmc.bodies("POST", "Reset"), [json!({"ResetType": "ForceOn"})]);
}

#[tokio::test]
async fn a_machine_that_is_there_already_is_no_error() {
    let mut hidden = file("idrac9");
    hidden.tree.get_mut(SYSTEM).unwrap()["PowerState"] = serde_json::Value::Null;
    let reset = format!("POST {SYSTEM}/Actions/ComputerSystem.Reset");
    let words = json!({"error": {"code": "Base.1.8.GeneralError", "message": "The host is already powered on."}});
    hidden.habits.answers.insert(reset, (409, words));
    let bmc = Replay::start(hidden).await;
    let client = bmc.client();
    System::find(&client).await.unwrap().set_power(true, LIMIT).await.unwrap();
}
