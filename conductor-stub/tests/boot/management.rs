//! What an owner asks of a machine beside any flow: soft power, the boot device, the boot mode, Secure Boot.

use std::time::Duration;

use conductor_stub::config::Config;
use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::Bench;

async fn managed() -> Bench {
    let bench = Bench::start(Config::default()).await;
    bench.enrol("redfish-https", json!({})).await;
    bench.verb("manage", "manageable").await;
    bench
}

impl Bench {
    /// Asks, and waits until nobody is at work on the node.
    async fn put(&self, path: &str, body: Value) -> Value {
        let answer = self.call(Method::PUT, &format!("/v1/nodes/n1/{path}"), Some(body)).await;
        assert_eq!(answer, Value::Null, "{path}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.at_rest("manageable").await
    }

    async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, &format!("/v1/nodes/n1/{path}"), None).await
    }
}

#[tokio::test]
async fn what_does_not_shut_down_stays_on() {
    let bench = managed().await;
    assert_eq!(bench.put("states/power", json!({"target": "power on"})).await["power_state"], "power on");
    let node = bench.put("states/power", json!({"target": "soft power off"})).await;
    assert_eq!((&node["power_state"], &node["last_error"]), (&json!("power off"), &Value::Null));
    assert_eq!(bench.redfish("").await["PowerState"], "Off");

    bench.put("states/power", json!({"target": "power on"})).await;
    bench.fault(json!({"method": "POST", "path": "ComputerSystem.Reset", "status": 400, "times": 1})).await;
    let node = bench.put("states/power", json!({"target": "soft rebooting", "timeout": 1})).await;
    assert_eq!(node["power_state"], "power on");
    assert!(node["last_error"].is_string() && node["target_power_state"].is_null(), "{node}");
    assert_eq!(bench.redfish("").await["PowerState"], "On");
}

#[tokio::test]
async fn what_boots_is_chosen_and_shown() {
    let bench = managed().await;
    assert_eq!(bench.get("management/boot_device").await, json!({"boot_device": null, "persistent": null}));
    let supported = bench.get("management/boot_device/supported").await;
    assert!(supported["supported_boot_devices"].as_array().unwrap().contains(&json!("pxe")), "{supported}");
    for (device, persistent, target, enabled) in
        [("pxe", json!(false), "Pxe", "Once"), ("disk", json!("True"), "Hdd", "Continuous")]
    {
        bench.put("management/boot_device", json!({"boot_device": device, "persistent": persistent})).await;
        let boot = bench.redfish("").await["Boot"].clone();
        assert_eq!(
            (&boot["BootSourceOverrideTarget"], &boot["BootSourceOverrideEnabled"]),
            (&json!(target), &json!(enabled))
        );
        let shown = bench.get("management/boot_device").await;
        assert_eq!(shown, json!({"boot_device": device, "persistent": enabled == "Continuous"}));
    }
    let refused =
        bench.call(Method::PUT, "/v1/nodes/n1/management/boot_device", Some(json!({"boot_device": "tape"}))).await;
    assert!(refused["error_message"].as_str().unwrap().contains("Invalid boot device tape specified."), "{refused}");
}

#[tokio::test]
async fn settings_of_firmware_are_shown_with_what_they_may_be() {
    let bench = managed().await;
    let list = bench.get("bios").await["bios"].clone();
    let names: Vec<&str> = list.as_array().unwrap().iter().map(|setting| setting["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Cores", "BootMode", "AssetTag"]);
    assert_eq!((&list[0]["value"], &list[0]["attribute_type"]), (&json!("1"), &Value::Null), "{list}");
    let detail = bench.get("bios?detail=True").await["bios"].clone();
    assert_eq!(detail[1]["allowable_values"], json!(["Uefi", "Legacy"]));
    let one = bench.get("bios/Cores").await["Cores"].clone();
    assert_eq!((&one["attribute_type"], &one["upper_bound"]), (&json!("Integer"), &json!(16)), "{one}");
    let uuid = bench.call(Method::GET, "/v1/nodes/n1", None).await["uuid"].clone();
    let missing = bench.get("bios/Turbo").await;
    let text = format!("Node {} doesn't have a BIOS setting 'Turbo'", uuid.as_str().unwrap());
    assert!(missing["error_message"].as_str().unwrap().contains(&text), "{missing}");
}

#[tokio::test]
async fn a_bmc_without_settings_is_managed_all_the_same() {
    let bench = Bench::start(Config::default()).await;
    bench.enrol("redfish-https", json!({})).await;
    bench.fault(json!({"method": "GET", "path": "/Bios", "status": 404})).await;
    bench.verb("manage", "manageable").await;
    assert_eq!(bench.get("bios").await, json!({"bios": []}));
}

#[tokio::test]
async fn versions_of_firmware_are_shown() {
    let bench = managed().await;
    let list = bench.get("firmware").await["firmware"].clone();
    let [bios, bmc] = list.as_array().unwrap().as_slice() else { panic!("{list}") };
    assert_eq!(
        (&bios["component"], &bios["initial_version"], &bios["current_version"]),
        (&json!("bios"), &json!("1.0.0"), &json!("1.0.0"))
    );
    assert_eq!((&bmc["component"], &bmc["current_version"]), (&json!("bmc"), &json!(env!("CARGO_PKG_VERSION"))));
    assert!(
        bios["created_at"].is_string() && bios["last_version_flashed"].is_null() && bios.get("vendor").is_none(),
        "{bios}"
    );
    let some = bench.get("firmware?fields=component").await["firmware"].clone();
    let keys: Vec<&String> = some[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["component", "created_at", "updated_at"]);
    let newer = bench.get("firmware?fields=vendor").await;
    assert!(newer["error_message"].is_string(), "{newer}");
}

#[tokio::test]
async fn the_bmc_says_what_a_machine_is_while_it_stays_off() {
    let bench = managed().await;
    let port = bench.call(Method::GET, "/v1/ports", None).await["ports"][0]["uuid"].clone();
    bench.call(Method::DELETE, &format!("/v1/ports/{}", port.as_str().unwrap()), None).await;
    let redfish = json!([{"op": "add", "path": "/inspect_interface", "value": "redfish"}]);
    bench.call(Method::PATCH, "/v1/nodes/n1", Some(redfish)).await;
    let node = bench.verb("inspect", "manageable").await;
    assert_eq!(node["last_error"], Value::Null);
    let found =
        json!({"memory_mb": 1024, "local_gb": 0, "cpu_arch": "x86_64", "cpus": 1, "capabilities": "boot_mode:uefi"});
    assert_eq!(node["properties"], found);
    assert!(node["inspection_started_at"].is_string() && node["inspection_finished_at"].is_string(), "{node}");
    assert!(!bench.folder.path().join("machine.log").exists(), "nothing was booted");
    let ports = bench.call(Method::GET, "/v1/ports/detail", None).await["ports"].clone();
    assert_eq!((&ports[0]["address"], &ports[0]["pxe_enabled"]), (&json!(crate::bench::MAC), &json!(true)));
    let stored = bench.get("inventory").await;
    assert_eq!(
        stored["inventory"]["interfaces"],
        json!([{"name": crate::bench::MAC, "mac_address": crate::bench::MAC}])
    );
    assert_eq!(
        (&stored["inventory"]["system_vendor"]["manufacturer"], &stored["plugin_data"]),
        (&json!("Ferric"), &json!({}))
    );
    let history = bench.get("history").await["history"].clone();
    let events: Vec<&str> = history.as_array().unwrap().iter().map(|one| one["event"].as_str().unwrap()).collect();
    assert!(events.ends_with(&["manageable -> inspecting", "inspecting -> manageable"]), "{events:?}");

    // What it refuses to tell is left out; what there must be is missed by name.
    bench.fault(json!({"method": "GET", "path": "/Processors", "status": 404})).await;
    assert_eq!(bench.verb("inspect", "manageable").await["last_error"], Value::Null);
    assert_eq!(bench.get("inventory").await["inventory"]["cpu"], json!({"count": 0, "architecture": ""}));
    bench.fault(json!({"method": "GET", "path": "/EthernetInterfaces", "status": 404})).await;
    let node = bench.verb("inspect", "inspect failed").await;
    assert!(node["last_error"].as_str().unwrap().contains("no network interfaces"), "{node}");
}

#[tokio::test]
async fn how_it_boots_is_chosen_and_shown() {
    let bench = managed().await;
    let states = bench.get("states").await;
    assert_eq!((&states["boot_mode"], &states["secure_boot"]), (&json!("uefi"), &json!(false)));
    let node = bench.put("states/secure_boot", json!({"target": true})).await;
    assert_eq!((&node["secure_boot"], &node["last_error"]), (&json!(true), &Value::Null));
    assert_eq!(bench.redfish("/SecureBoot").await["SecureBootEnable"], true);
    bench.put("states/secure_boot", json!({"target": "False"})).await;
    let node = bench.put("states/boot_mode", json!({"target": "bios"})).await;
    assert_eq!((&node["boot_mode"], &node["last_error"]), (&json!("bios"), &Value::Null));
    let node = bench.put("states/secure_boot", json!({"target": true})).await;
    assert!(node["last_error"].as_str().unwrap().contains("needs the boot mode uefi"), "{node}");
    let refused = bench.call(Method::PUT, "/v1/nodes/n1/states/boot_mode", Some(json!({"target": "fast"}))).await;
    assert!(refused["error_message"].as_str().unwrap().contains("Invalid boot mode fast requested"), "{refused}");
}
