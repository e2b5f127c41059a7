//! Commands: sync and async, one at a time, results and errors.

use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{NODE, Setup, TOKEN, eventually, standalone, step};

#[tokio::test]
async fn steps_are_listed_by_manager() {
    let mut setup = Setup::new();
    setup.plugin();
    let agent = standalone(&mut setup).await;
    for kind in ["clean", "deploy", "service"] {
        let params = json!({"node": {"uuid": NODE}, "ports": []});
        let (status, answer) = agent.command(&format!("{kind}.get_{kind}_steps"), params, false).await;
        assert_eq!(status, 200);
        assert_eq!(answer["command_status"], "SUCCEEDED", "{answer}");
        assert_eq!(answer["command_name"], format!("get_{kind}_steps"));
        let result = &answer["command_result"];
        assert_eq!(result[format!("{kind}_steps")]["WaitHardwareManager"][0]["step"], "wait");
        let generic = result[format!("{kind}_steps")]["GenericHardwareManager"].as_array().unwrap();
        for step in generic {
            assert!(step["step"].is_string() && step["interface"].is_string() && step["priority"].is_i64(), "{step}");
        }
        assert!(result["hardware_manager_version"]["generic_hardware_manager"].is_string());
    }
}

#[tokio::test]
async fn a_step_runs_in_the_background_and_alone() {
    let mut setup = Setup::new();
    setup.plugin();
    let agent = standalone(&mut setup).await;
    let wait = json!({"interface": "deploy", "step": "wait", "priority": 10, "args": null, "note": "echoed"});
    let (status, started) = agent.command("clean.execute_clean_step", step("clean", wait.clone()), false).await;
    assert_eq!(status, 200);
    assert_eq!(started["command_status"], "RUNNING");
    assert_eq!((&started["command_error"], &started["command_result"]), (&Value::Null, &Value::Null));

    // Busy comes before everything but a name that is none.
    for (name, code) in [("standby.sync", 409), ("nowhere.nothing", 409), ("standby.nothing", 409), ("nodot", 400)] {
        let (status, answer) = agent.command(name, json!({}), false).await;
        assert_eq!(status, code, "{name}: {answer}");
    }
    let (_, busy) = agent.command("standby.sync", json!({}), false).await;
    assert_eq!(busy["faultstring"], "Agent is busy: executing command execute_clean_step");
    // Before the plugin's first line the progress is the agent's own.
    let of_plugin =
        async || agent.commands().await[0].get("progress").filter(|now| now["activity"] == "waiting").cloned();
    let progress = eventually("the plugin's progress", of_plugin).await;
    assert_eq!(progress["total_bytes"], json!(2));

    let id = started["id"].as_str().unwrap().to_string();
    let path = format!("/v1/commands/{id}?wait=TRUE&agent_token={TOKEN}");
    let waiting = agent.request(Method::GET, &path, "");
    let release = async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        assert_eq!(agent.commands().await.len(), 1, "others are answered while one waits");
        setup.release();
    };
    let ((status, ended), ()) = tokio::join!(waiting, release);
    assert_eq!(status, 200);
    assert_eq!(ended["command_status"], "SUCCEEDED");
    assert_eq!(ended["command_result"], json!({"clean_result": {"waited": true}, "clean_step": wait}));

    let (_, answer) = agent.command("standby.sync", json!({}), false).await;
    assert_eq!((&answer["command_status"], &answer["command_result"]), (&json!("SUCCEEDED"), &Value::Null));
    let names: Vec<Value> = agent.commands().await.iter().map(|command| command["command_name"].clone()).collect();
    assert_eq!(names, ["execute_clean_step", "sync"]);
}

#[tokio::test]
async fn failures_are_200_with_an_error_inside() {
    let agent = standalone(&mut Setup::new()).await;
    let node = json!({"uuid": NODE});
    for (name, params, shown, kind, details) in [
        (
            "clean.execute_clean_step",
            step("clean", json!({"step": "no_such_step", "interface": "deploy"})),
            "execute_clean_step",
            "HardwareManagerMethodNotFound",
            "Could not find method: no_such_step",
        ),
        (
            "deploy.execute_deploy_step",
            step("deploy", json!({"interface": "deploy"})),
            "execute_deploy_step",
            "CommandExecutionError",
            "Malformed deploy_step, no \"step\" key: ",
        ),
        (
            "clean.get_clean_steps",
            json!({ "node": node }),
            "clean.get_clean_steps",
            "CommandExecutionError",
            "CleanExtension.get_clean_steps() missing 1 required positional argument: 'ports'",
        ),
        (
            "service.execute_service_step",
            json!({}),
            "execute_service_step",
            "CommandExecutionError",
            "ServiceExtension.execute_service_step() missing 3 required positional arguments: 'step', 'node', and 'ports'",
        ),
        (
            "standby.sync",
            json!({"surprise": 1}),
            "standby.sync",
            "CommandExecutionError",
            "StandbyExtension.sync() got an unexpected keyword argument 'surprise'",
        ),
    ] {
        let (status, answer) = agent.command(name, params, true).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["command_status"], "FAILED", "{answer}");
        assert_eq!(answer["command_name"], shown);
        assert_eq!(answer["command_error"]["type"], kind, "{answer}");
        assert_eq!(answer["command_error"]["code"], 500);
        assert!(answer["command_error"]["details"].as_str().unwrap().starts_with(details), "{answer}");
        assert_eq!(answer["command_result"], Value::Null);
    }
}

#[tokio::test]
async fn a_changed_version_stops_the_step() {
    let mut setup = Setup::new();
    setup.plugin();
    let agent = standalone(&mut setup).await;
    let (_, listed) = agent.command("clean.get_clean_steps", json!({"node": {"uuid": NODE}, "ports": []}), true).await;
    let versions = listed["command_result"]["hardware_manager_version"].clone();
    for kind in ["clean", "deploy", "service"] {
        let mut params = step(kind, json!({"step": "wait", "interface": "deploy"}));
        params[format!("{kind}_version")] = json!({"generic_hardware_manager": "0.9"});
        let (_, answer) = agent.command(&format!("{kind}.execute_{kind}_step"), params, true).await;
        assert_eq!(answer["command_status"], "CLEAN_VERSION_MISMATCH");
        assert_eq!(answer["command_error"]["type"], "VersionMismatch");
        assert_eq!(answer["command_error"]["code"], 409);
        let details = answer["command_error"]["details"].as_str().unwrap();
        assert!(details.contains("versions used by ironic: {'generic_hardware_manager': '0.9'}"), "{details}");
    }
    setup.release();
    let mut params = step("clean", json!({"step": "wait", "interface": "deploy"}));
    params["clean_version"] = versions;
    let (_, answer) = agent.command("clean.execute_clean_step", params, true).await;
    assert_eq!(answer["command_status"], "SUCCEEDED", "{answer}");
}

#[tokio::test]
async fn flows_run_their_commands_in_order_and_stop_at_a_failure() {
    let agent = standalone(&mut Setup::new()).await;
    let flow = |name: &str| json!({"flow": [{"standby.sync": {}}, {name: {}}]});
    let (_, answer) = agent.command("flow.start_flow", flow("standby.get_partition_uuids"), true).await;
    assert_eq!(answer["command_status"], "SUCCEEDED", "{answer}");
    let (_, answer) = agent.command("flow.start_flow", flow("clean.get_clean_steps"), true).await;
    assert_eq!(answer["command_error"]["details"], "clean.get_clean_steps was failed");
    let (status, answer) = agent.command("flow.start_flow", flow("nowhere.x"), true).await;
    assert_eq!((status, &answer["command_name"]), (200, &json!("flow.start_flow")));
    assert_eq!(answer["command_error"]["type"], "RequestedObjectNotFoundError");
    let (status, answer) = agent.command("flow.start_flow", flow("standby.nope"), true).await;
    assert_eq!(
        (status, &answer["faultstring"]),
        (400, &json!("Invalid command parameters: Extension standby doesn't provide nope method"))
    );
}

#[tokio::test]
async fn a_polling_conductor_can_do_without_look_up() {
    let agent = standalone(&mut Setup::new()).await;
    let (_, answer) = agent.command("poll.get_hardware_info", json!({}), true).await;
    let inventory = answer["command_result"].as_object().unwrap();
    for key in
        ["interfaces", "cpu", "disks", "memory", "bmc_address", "bmc_v6address", "system_vendor", "boot", "hostname"]
    {
        assert!(inventory.contains_key(key), "{key}");
    }
    let (status, _) = agent.command("poll.set_node_info", json!({"node_info": {"node": {}}}), true).await;
    assert_eq!(status, 400);
    let other = "x".repeat(43);
    let info = json!({"node": {"uuid": NODE}, "config": {"heartbeat_timeout": 300, "agent_token": other}});
    let (status, answer) = agent.command("poll.set_node_info", json!({ "node_info": info }), true).await;
    assert_eq!((status, &answer["command_status"]), (200, &json!("SUCCEEDED")));
    let (status, _) = agent.command("standby.sync", json!({}), true).await;
    assert_eq!(status, 401, "the token of the answer replaces the own one");
}

#[tokio::test]
async fn logs_are_an_archive_without_the_token() {
    let agent = standalone(&mut Setup::new()).await;
    let (_, answer) = agent.command("log.collect_system_logs", json!({}), true).await;
    let text = answer["command_result"]["system_logs"].as_str().unwrap();
    let archive = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).unwrap();
    let names: Vec<String> = tar::Archive::new(flate2::read::GzDecoder::new(archive.as_slice()))
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert!(names.iter().any(|name| name == "df") && names.iter().any(|name| name == "mount"), "{names:?}");
}

#[tokio::test]
async fn a_local_agent_ends_instead_of_taking_the_machine_down() {
    for name in ["system.lockdown", "standby.power_off", "standby.run_image"] {
        let mut agent = standalone(&mut Setup::new()).await;
        let (status, answer) = agent.command(name, json!({}), false).await;
        assert_eq!(status, 200, "{answer}");
        assert_ne!(answer["command_status"], "FAILED");
        assert_eq!(agent.exit_code().await, 0, "{name}");
    }
}
