//! What a BMC cannot make the client do: talk to others, read for ever, take a refusal for something else.

use std::time::Duration;

use conductor_stub::redfish::{RedfishError, System};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::eventually::eventually;
use crate::replay::{Replay, file};

const SYSTEM: &str = "/redfish/v1/Systems/System.Embedded.1";
const LIMIT: Duration = Duration::from_secs(10);

/// A server that sends these bytes to everybody, `times` over.
async fn says(bytes: Vec<u8>, times: usize) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let bytes = bytes.clone();
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                for _ in 0..times {
                    if stream.write_all(&bytes).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn links_to_others_lead_nowhere_else() {
    let stranger = Replay::of("idrac10").await;
    let mut luring = file("idrac9");
    let far = |path: &str| format!("{}{path}", stranger.url);
    luring.tree.get_mut("/redfish/v1").unwrap()["Systems"]["@odata.id"] = far("/redfish/v1/Systems").into();
    luring.tree.get_mut("/redfish/v1").unwrap()["Links"]["Sessions"]["@odata.id"] =
        far("/redfish/v1/SessionService/Sessions").into();
    luring.tree.get_mut(SYSTEM).unwrap()["Actions"]["#ComputerSystem.Reset"]["target"] =
        far(&format!("{SYSTEM}/Actions/ComputerSystem.Reset")).into();
    let bmc = Replay::start(luring).await;
    let client = bmc.client();
    System::find(&client).await.unwrap().set_power(true, LIMIT).await.unwrap();
    client.log_out().await;
    assert!(stranger.log().is_empty(), "{:?}", stranger.log());
}

#[tokio::test]
async fn redirects_keep_the_method_and_the_address() {
    let stranger = Replay::of("idrac10").await;
    let reset = format!("{SYSTEM}/Actions/ComputerSystem.Reset");
    for status in [301, 302, 307, 308] {
        let mut moving = file("idrac9");
        let target = format!("{SYSTEM}/Actions/Oem/Go");
        moving.tree.get_mut(SYSTEM).unwrap()["Actions"]["#ComputerSystem.Reset"]["target"] = target.clone().into();
        moving.habits.moved.insert(target.clone(), (status, reset.clone()));
        let bmc = Replay::start(moving.clone()).await;
        let client = bmc.client();
        System::find(&client).await.unwrap().set_power(true, LIMIT).await.unwrap();
        assert_eq!(bmc.bodies("POST", "ComputerSystem.Reset"), [json!({"ResetType": "On"})], "{status}");

        moving.habits.moved.insert(target, (status, format!("{}{reset}", stranger.url)));
        let bmc = Replay::start(moving).await;
        let client = bmc.client();
        let error = System::find(&client).await.unwrap().set_power(true, LIMIT).await.unwrap_err().to_string();
        assert!(error.contains("redirects to another address"), "{error}");
        assert!(stranger.log().is_empty(), "{:?}", stranger.log());
    }
}

#[tokio::test]
async fn answers_are_bounded() {
    let mut long = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
    long.resize(1 << 20, b' ');
    let client = Replay::of("idrac9").await;
    let endless = says(long, 64).await;
    let client = client.client_with(json!({"redfish_address": endless, "redfish_auth_type": "basic"}));
    let error = client.get("/redfish/v1/").await.unwrap_err().to_string();
    assert!(error.contains("more than 16 MiB"), "{error}");

    let deep = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = says(deep.into_bytes(), 1).await;
    let bmc = Replay::of("idrac9").await;
    let client = bmc.client_with(json!({"redfish_address": deep, "redfish_auth_type": "basic"}));
    let error = client.get("/redfish/v1/").await.unwrap_err().to_string();
    assert!(error.contains("without a JSON object"), "{error}");
}

#[tokio::test]
async fn an_expired_session_is_opened_again_and_given_back_by_whoever_is_stopped() {
    let mut short = file("idrac9");
    short.habits.session_requests = Some(2);
    short.habits.no_basic = true;
    let bmc = Replay::start(short).await;
    let client = bmc.client();
    for _ in 0..5 {
        client.get(SYSTEM).await.unwrap();
    }
    let logins = bmc.bodies("POST", "SessionService/Sessions").len();
    assert_eq!(logins, 3);
    drop(client);
    let deleted = async || bmc.log().iter().any(|request| request.method == "DELETE").then_some(());
    eventually("the session is given back", deleted).await;
}

#[tokio::test]
async fn not_every_403_is_about_the_password() {
    let mut licensed = file("idrac9");
    let words = json!({"error": {"@Message.ExtendedInfo": [{"MessageId": "IDRAC.2.8.LIC501",
        "Message": "A required license is missing"}]}});
    licensed.habits.answers.insert(format!("GET {SYSTEM}"), (403, words));
    let bmc = Replay::start(licensed).await;
    let error = bmc.client().get(SYSTEM).await.unwrap_err();
    assert!(matches!(error, RedfishError::Refused { status: 403, .. }), "{error}");
    assert!(error.to_string().contains("A required license is missing"), "{error}");
    let error = bmc.client_with(json!({"redfish_password": "wrong", "redfish_auth_type": "session"})).get(SYSTEM).await;
    assert!(error.unwrap_err().to_string().contains("401"));
}
