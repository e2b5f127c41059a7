//! From enrol to undeploy, with nothing going wrong.

use conductor_stub::config::Config;
use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::{Bench, MAC, config};

fn inspection_data() -> Value {
    json!({
        "inventory": {
            "interfaces": [{"name": "eth0", "mac_address": MAC, "ipv4_address": "192.0.2.5"}],
            "cpu": {"architecture": "x86_64", "count": 4}, "memory": {"physical_mb": 8192},
            "boot": {"current_boot_mode": "uefi", "pxe_interface": "01-52-54-00-aa-bb-01"},
        },
        "root_disk": {"size": 10u64 << 30},
    })
}

#[tokio::test]
async fn a_node_is_inspected_cleaned_deployed_and_taken_back() {
    let bench = Bench::new(config()).await;
    bench.to_manageable().await;

    bench.ask(json!({"target": "inspect"})).await;
    let node = bench.reaches("inspect wait").await;
    let callback = &node["driver_internal_info"]["ramdisk_parameters"]["ipa-inspection-callback-url"];
    assert!(callback.as_str().unwrap().ends_with("/v1/continue_inspection"));
    let (status, body) = bench.call_as("1.1", Method::POST, "/v1/continue_inspection", Some(inspection_data())).await;
    assert_eq!((status.as_u16(), &body["uuid"]), (202, &node["uuid"]));
    let node = bench.reaches("manageable").await;
    assert_eq!(
        node["properties"],
        json!({"cpu_arch": "x86_64", "cpus": 4, "memory_mb": 8192, "local_gb": 9, "capabilities": "boot_mode:uefi"})
    );
    let (_, inventory) = bench.call(Method::GET, "/v1/nodes/n1/inventory", None).await;
    assert_eq!(inventory["inventory"]["cpu"]["count"], 4);
    assert!(inventory["plugin_data"]["root_disk"].is_object());

    bench.ask(json!({"target": "provide"})).await;
    bench.reaches("clean wait").await;
    let (agent, token) = bench.boot_agent().await;
    bench.beat_until(&agent, &token, "available").await;
    assert_eq!(agent.names(), ["clean.get_clean_steps", "clean.execute_clean_step", "clean.execute_clean_step"]);
    let step = &agent.received()[1]["params"];
    assert_eq!(step["step"]["step"], "erase_devices_metadata");
    assert_eq!(step["step"]["requires_ramdisk"], true);
    assert_eq!(step["clean_version"], json!({"generic_hardware_manager": "1.2"}));
    assert_eq!(step["ports"][0]["address"], MAC);
    assert_eq!(step["node"]["driver_internal_info"]["agent_secret_token"], "******");

    let image = bench.state.path().join("disk.raw");
    std::fs::write(&image, b"an image").unwrap();
    let patch =
        json!([{"op": "add", "path": "/instance_info/image_source", "value": format!("file://{}", image.display())}]);
    assert_eq!(bench.call(Method::PATCH, "/v1/nodes/n1", Some(patch)).await.0, 200);
    bench.ask(json!({"target": "active", "configdrive": {"meta_data": {"name": "n1"}}})).await;
    bench.reaches("wait call-back").await;
    let (agent, token) = bench.boot_agent().await;
    bench.beat_until(&agent, &token, "active").await;
    assert_eq!(
        agent.names(),
        [
            "deploy.get_deploy_steps",
            "deploy.execute_deploy_step",
            "standby.get_partition_uuids",
            "image.install_bootloader",
            "standby.power_off"
        ]
    );
    let args = &agent.received()[1]["params"]["step"]["args"];
    let info = &args["image_info"];
    // printf 'an image' | sha256sum
    assert_eq!(info["os_hash_value"], "a5df3fde7b200c3fa2791144c7e05c5c2bced4c6ad863d3a4cf76c972c1712f9");
    assert_eq!(info["id"], "disk.raw");
    assert!(args["configdrive"].as_str().unwrap().starts_with("H4sI"), "gzip in base64");
    assert_eq!(info["configdrive"], args["configdrive"]);
    assert_eq!(
        agent.received()[3]["params"],
        json!({"root_uuid": "root-1", "efi_system_part_uuid": null, "prep_boot_part_uuid": null, "target_boot_mode": "uefi"})
    );
    assert_eq!(bench.node().await["power_state"], "power on");

    bench.ask(json!({"target": "deleted"})).await;
    let node = bench.reaches("clean wait").await;
    assert_eq!(node["instance_info"], json!({}));
    let (agent, token) = bench.boot_agent().await;
    bench.beat_until(&agent, &token, "available").await;
}

#[tokio::test]
async fn fast_track_uses_the_ramdisk_that_is_up() {
    let bench = Bench::new(Config { fast_track: true, ..config() }).await;
    bench.to_manageable().await;
    let look_up = format!("/v1/lookup?addresses={MAC}");
    assert_eq!(bench.call_as("1.62", Method::GET, &look_up, None).await.0, 404, "nobody is expected");
    bench.ask(json!({"target": "inspect"})).await;
    let node = bench.reaches("inspect wait").await;
    let parameters = &node["driver_internal_info"]["ramdisk_parameters"];
    assert!(parameters["ipa-api-url"].is_string() && parameters["ipa-inspection-callback-url"].is_string());
    bench.call_as("1.1", Method::POST, "/v1/continue_inspection", Some(inspection_data())).await;
    assert_eq!(bench.reaches("manageable").await["power_state"], "power on");

    // Faster than the agent's first heartbeat.
    bench.ask(json!({"target": "provide"})).await;
    bench.reaches("clean wait").await;
    let (agent, token) = bench.boot_agent().await;
    let node = bench.beat_until(&agent, &token, "available").await;
    assert_eq!(node["power_state"], "power on");
    assert_eq!(agent.names().len(), 3, "{:?}", agent.names());
    assert_eq!(bench.heartbeat(&agent, &token).await.0, 202);

    // Without waiting for one.
    let image = bench.state.path().join("disk.raw");
    std::fs::write(&image, b"an image").unwrap();
    let patch =
        json!([{"op": "add", "path": "/instance_info/image_source", "value": format!("file://{}", image.display())}]);
    bench.call(Method::PATCH, "/v1/nodes/n1", Some(patch)).await;
    bench.ask(json!({"target": "active"})).await;
    for _ in 0..500 {
        if agent.names().len() > 4 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(agent.names()[3..], ["deploy.get_deploy_steps", "deploy.execute_deploy_step"]);
    assert!(agent.received()[4]["params"]["step"]["args"]["image_info"]["os_hash_value"].is_string());
    bench.beat_until(&agent, &token, "active").await;
    assert_eq!(bench.call_as("1.62", Method::GET, &look_up, None).await.0, 404, "an instance has no agent");
}

#[tokio::test]
async fn a_ramdisk_that_is_silent_or_old_is_booted_again() {
    let bench = Bench::new(Config { fast_track: true, max_command_attempts: 1, ..config() }).await;
    bench.to_manageable().await;
    bench.ask(json!({"target": "provide"})).await;
    bench.reaches("clean wait").await;
    let (agent, token) = bench.boot_agent().await;
    bench.beat_until(&agent, &token, "available").await;
    agent.be_another();
    let patch = json!([{"op": "add", "path": "/deploy_interface", "value": "custom-agent"}]);
    bench.call(Method::PATCH, "/v1/nodes/n1", Some(patch)).await;
    bench.ask(json!({"target": "active"})).await;
    let node = bench.reaches("wait call-back").await;
    assert_eq!(node["driver_internal_info"]["agent_url"], Value::Null, "{node}");
    let (agent, token) = bench.boot_agent().await;
    bench.beat_until(&agent, &token, "active").await;

    let bench = Bench::new(Config { fast_track: true, fast_track_timeout_seconds: 0.0, ..config() }).await;
    bench.to_manageable().await;
    bench.ask(json!({"target": "provide"})).await;
    bench.reaches("clean wait").await;
    let (agent, token) = bench.boot_agent().await;
    let node = bench.beat_until(&agent, &token, "available").await;
    assert_eq!(node["power_state"], "power off");

    let body = json!({"driver": "fake-hardware", "driver_info": {"fast_track": "perhaps"}});
    let (status, answer) = bench.call(Method::POST, "/v1/nodes", Some(body)).await;
    assert_eq!(status, 400);
    assert!(answer.to_string().contains("driver_info/fast_track: Unrecognized value 'perhaps'"), "{answer}");
}

#[tokio::test]
async fn a_custom_agent_runs_the_steps_of_the_user() {
    let bench = Bench::new(crate::bench::config()).await;
    bench.to_manageable().await;
    let patch = json!([
        {"op": "add", "path": "/automated_clean", "value": false},
        {"op": "add", "path": "/deploy_interface", "value": "custom-agent"},
    ]);
    bench.call(Method::PATCH, "/v1/nodes/n1", Some(patch)).await;
    bench.ask(json!({"target": "provide"})).await;
    bench.reaches("available").await;
    let steps = json!([{"interface": "deploy", "step": "install_coreos", "priority": 80, "args": {}}]);
    bench.ask(json!({"target": "active", "deploy_steps": steps, "configdrive": {"user_data": "{}"}})).await;
    bench.reaches("wait call-back").await;
    let (agent, token) = bench.boot_agent().await;
    bench.beat_until(&agent, &token, "active").await;
    assert_eq!(agent.names(), ["deploy.get_deploy_steps", "deploy.execute_deploy_step", "standby.power_off"]);
    let node = &agent.received()[1]["params"]["node"];
    assert_eq!(node["instance_info"]["configdrive"], json!({"user_data": "{}"}), "left as it is for install_coreos");
}

#[tokio::test]
async fn a_step_that_wants_a_reboot_gets_one() {
    let bench = Bench::new(config()).await;
    bench.to_manageable().await;
    let steps = json!([{"interface": "deploy", "step": "reboot_me"}, {"interface": "deploy", "step": "burnin_cpu"}]);
    bench.ask(json!({"target": "clean", "clean_steps": steps})).await;
    let node = bench.reaches("clean wait").await;
    assert_eq!(node["target_provision_state"], "manageable");
    let (first, token) = bench.boot_agent().await;
    bench.heartbeat(&first, &token).await;
    bench.reaches("clean wait").await;
    bench.heartbeat(&first, &token).await;
    for _ in 0..100 {
        if bench.node().await["driver_internal_info"]["agent_url"].is_null() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let (second, new_token) = bench.boot_agent().await;
    assert_ne!(token, new_token);
    bench.beat_until(&second, &new_token, "manageable").await;
    assert_eq!(second.names(), ["clean.execute_clean_step"]);
    assert_eq!(second.received()[0]["params"]["step"]["step"], "burnin_cpu");
}

#[tokio::test]
async fn rescue_and_back() {
    let bench = Bench::new(config()).await;
    bench.to_manageable().await;
    bench.ask(json!({"target": "adopt"})).await;
    bench.reaches("active").await;
    bench.ask(json!({"target": "rescue", "rescue_password": "s3cret"})).await;
    bench.reaches("rescue wait").await;
    let (agent, token) = bench.boot_agent().await;
    bench.beat_until(&agent, &token, "rescue").await;
    let params = &agent.received()[0]["params"];
    assert!(params["rescue_password"].as_str().unwrap().starts_with("$5$"), "{params}");
    assert_eq!(params["hashed"], true);
    bench.ask(json!({"target": "unrescue"})).await;
    bench.reaches("active").await;
}

#[tokio::test]
async fn the_conductor_may_restart_in_the_middle() {
    let bench = Bench::new(config()).await;
    bench.to_manageable().await;
    bench.ask(json!({"target": "provide"})).await;
    bench.reaches("clean wait").await;
    let (agent, token) = bench.boot_agent().await;
    bench.heartbeat(&agent, &token).await;
    bench.reaches("clean wait").await;
    let bench = bench.restart(config()).await;
    assert_eq!(bench.node().await["provision_state"], "clean wait");
    bench.beat_until(&agent, &token, "available").await;
    assert_eq!(agent.names().len(), 3, "no step was run twice");
}
