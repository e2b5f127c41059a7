//! Deploy interface `ramdisk`: a user's ISO is the instance.

use conductor_stub::config::Config;
use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::{Bench, MAC, UUID};
use crate::efi;

/// A node in `available` that is to run `boot_iso`; an ISO is at the returned path.
async fn available(boot_interface: &str) -> (Bench, String) {
    let bench = Bench::start(Config { automated_clean: false, ..Config::default() }).await;
    let iso = bench.folder.path().join("live.iso");
    std::fs::write(&iso, efi::iso()).unwrap();
    bench.enrol(boot_interface, json!({})).await;
    bench.verb("manage", "manageable").await;
    bench.verb("provide", "available").await;
    patch(&bench, "/deploy_interface", json!("ramdisk")).await;
    (bench, iso.display().to_string())
}

async fn patch(bench: &Bench, path: &str, value: Value) {
    let patched =
        bench.call(Method::PATCH, "/v1/nodes/n1", Some(json!([{"op": "add", "path": path, "value": value}]))).await;
    assert!(patched["uuid"].is_string(), "{patched}");
}

/// The only drive, as the API shows it.
async fn drive(bench: &Bench) -> Value {
    bench.call(Method::GET, "/v1/nodes/n1/vmedia", None).await[0].take()
}

#[tokio::test]
async fn an_iso_is_booted_at_every_start_until_the_node_is_undeployed() {
    let (bench, iso) = available("redfish-virtual-media").await;
    patch(&bench, "/instance_info/boot_iso", json!(iso)).await;
    let node = bench.verb("active", "active").await;
    assert_eq!((&node["power_state"], &node["last_error"]), (&json!("power on"), &Value::Null));
    let boot = bench.redfish("").await["Boot"].take();
    assert_eq!(
        (&boot["BootSourceOverrideTarget"], &boot["BootSourceOverrideEnabled"]),
        (&json!("Cd"), &json!("Continuous"))
    );
    let inserted = drive(&bench).await;
    assert_eq!((&inserted["inserted"], &inserted["media_types"]), (&json!(true), &json!(["CD", "DVD"])));
    let url = inserted["image"].as_str().unwrap().to_owned();
    assert_eq!(bench.client.get(&url).send().await.unwrap().bytes().await.unwrap(), efi::iso());
    let agent = bench.call(Method::GET, &format!("/v1/lookup?addresses={MAC}"), None).await;
    assert!(agent["error_message"].is_string(), "no agent belongs there: {agent}");

    bench.verb("deleted", "available").await;
    bench.assert_clear().await;
    assert_eq!(bench.client.get(&url).send().await.unwrap().status().as_u16(), 404);
}

#[tokio::test]
async fn an_iso_of_a_server_comes_by_way_of_the_conductor_unless_its_url_is_to_be_handed_on() {
    let (bench, iso) = available("redfish-virtual-media").await;
    let node = bench.call(Method::GET, "/v1/nodes/n1", None).await["uuid"].as_str().unwrap().parse().unwrap();
    // Any server will do; this is one.
    let elsewhere = bench.server.conductor.artefacts.publish(node, "elsewhere.iso", iso.as_ref()).unwrap();
    patch(&bench, "/instance_info/boot_iso", json!(elsewhere)).await;
    patch(&bench, "/instance_info/boot_iso_one_shot", json!("true")).await;
    bench.verb("active", "active").await;
    let inserted = drive(&bench).await["image"].as_str().unwrap().to_owned();
    assert_ne!(inserted, elsewhere);
    assert_eq!(bench.client.get(&inserted).send().await.unwrap().bytes().await.unwrap(), efi::iso());
    let kept = bench.call(Method::GET, "/stub/media", None).await;
    assert_eq!((&kept["bytes"], &kept["kept"][0]["in_use"]), (&json!(efi::iso().len()), &json!(true)), "{kept}");
    bench.verb("deleted", "available").await;
    let kept = bench.call(Method::GET, "/stub/media", None).await;
    assert_eq!(kept["bytes"], 0, "it was for one use: {kept}");

    let elsewhere = bench.server.conductor.artefacts.publish(node, "elsewhere.iso", iso.as_ref()).unwrap();
    patch(&bench, "/instance_info/boot_iso", json!(elsewhere)).await;
    patch(&bench, "/instance_info/ramdisk_image_download_source", json!("http")).await;
    bench.verb("active", "active").await;
    assert_eq!(drive(&bench).await["image"], elsewhere);
}

#[tokio::test]
async fn firmware_fetches_the_iso_itself() {
    let (bench, iso) = available("redfish-https").await;
    patch(&bench, "/instance_info/boot_iso", json!(iso)).await;
    bench.verb("active", "active").await;
    let boot = bench.redfish("").await["Boot"].take();
    assert_eq!(
        (&boot["BootSourceOverrideTarget"], &boot["BootSourceOverrideEnabled"]),
        (&json!("UefiHttp"), &json!("Continuous"))
    );
    assert!(boot["HttpBootUri"].as_str().unwrap().ends_with("/instance.iso"), "{boot}");
    assert_eq!(drive(&bench).await["inserted"], false);
    bench.verb("deleted", "available").await;
    bench.assert_clear().await;
}

#[tokio::test]
async fn media_come_and_go_while_the_instance_runs() {
    let (bench, iso) = available("redfish-virtual-media").await;
    patch(&bench, "/instance_info/boot_iso", json!(iso)).await;
    bench.verb("active", "active").await;
    for (method, body, image) in [
        (Method::DELETE, json!({"device_types": "cdrom"}), ""),
        (
            Method::POST,
            json!({"device_type": "cdrom", "image_url": "http://192.0.2.1/tools.iso"}),
            "http://192.0.2.1/tools.iso",
        ),
        (Method::DELETE, Value::Null, ""),
    ] {
        assert_eq!(bench.call(method, "/v1/nodes/n1/vmedia", Some(body)).await, Value::Null);
        let node = bench.at_rest("active").await;
        assert_eq!((&node["last_error"], &node["power_state"]), (&Value::Null, &json!("power on")));
        assert_eq!(drive(&bench).await["image"], image);
    }
    let refused = json!({"device_type": "floppy", "image_url": "http://192.0.2.1/x"});
    let refused = bench.call(Method::POST, "/v1/nodes/n1/vmedia", Some(refused)).await;
    assert!(refused["error_message"].as_str().unwrap().contains("only cdrom"), "{refused}");
}

#[tokio::test]
async fn an_iso_that_cannot_be_had_leaves_nothing_behind() {
    let (bench, iso) = available("redfish-virtual-media").await;
    let refused = bench.call(Method::PUT, "/v1/nodes/n1/states/provision", Some(json!({"target": "active"}))).await;
    assert!(refused["error_message"].as_str().unwrap().contains("boot_iso"), "{refused}");

    patch(&bench, "/instance_info/boot_iso", json!(format!("{iso}.missing"))).await;
    let refused = bench.call(Method::PUT, "/v1/nodes/n1/states/provision", Some(json!({"target": "active"}))).await;
    assert!(refused["error_message"].as_str().unwrap().contains("live.iso.missing is not a file"), "{refused}");

    let dead = format!("http://{}/none/live.iso", bench.server.address);
    let file = |name: &str, content: &[u8]| {
        let path = bench.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let whole = efi::iso();
    let silent = [&whole[..17 * 2048], &whole[18 * 2048..], &[0; 2048]].concat();
    for (source, fault, reason) in [
        (dead, None, "404"),
        (file("truncated.iso", &whole[..whole.len() - 1]), None, "is incomplete"),
        (file("text.iso", b"not an ISO"), None, "not an ISO 9660 image"),
        (file("silent.iso", &silent), None, "has no boot loader"),
        (iso.clone(), Some(json!({"path": "InsertMedia", "status": 400, "message": "no such image"})), "no such image"),
        (iso, Some(json!({"path": "Reset", "status": 400, "message": "no power"})), "no power"),
    ] {
        patch(&bench, "/instance_info/boot_iso", json!(source)).await;
        if let Some(fault) = fault {
            bench.fault(fault).await;
        }
        let error = bench.verb("active", "deploy failed").await["last_error"].take();
        assert!(error.as_str().unwrap().contains(reason), "{error}");
        bench.assert_clear().await;
    }
}

/// Switches the machine off and on again; whether its BMC was told what to boot in between.
async fn is_told_before_a_start(bench: &Bench) -> bool {
    bench.call(Method::PUT, "/v1/nodes/n1/states/power", Some(json!({"target": "power off"}))).await;
    while bench.redfish("").await["PowerState"] != "Off"
        || !bench.at_rest("active").await["target_power_state"].is_null()
    {}
    // A fault that does nothing, and is used up by being told.
    bench.fault(json!({"path": format!("Systems/{UUID}"), "method": "PATCH"})).await;
    bench.call(Method::PUT, "/v1/nodes/n1/states/power", Some(json!({"target": "power on"}))).await;
    while bench.redfish("").await["PowerState"] != "On"
        || !bench.at_rest("active").await["target_power_state"].is_null()
    {}
    let url = format!("http://{}/faults", bench.bmc.address);
    let left = bench.client.get(url).basic_auth("admin", Some("secret")).send().await.unwrap();
    left.text().await.unwrap() == "[]"
}

#[tokio::test]
async fn a_bmc_whose_overrides_do_not_last_is_told_before_every_start() {
    let (bench, iso) = available("redfish-virtual-media").await;
    patch(&bench, "/instance_info/boot_iso", json!(iso)).await;
    let refuse = json!({"path": format!("Systems/{UUID}"), "method": "PATCH", "status": 400, "message": "Continuous is unknown"});
    bench.fault(refuse).await;
    let node = bench.verb("active", "active").await;
    assert_eq!(node["driver_internal_info"]["redfish_boot_device"], "cdrom");
    assert!(is_told_before_a_start(&bench).await);

    bench.verb("deleted", "available").await;
    bench.assert_clear().await;
    let node = bench.at_rest("available").await;
    assert_eq!(node["driver_internal_info"]["redfish_boot_device"], Value::Null);
}

#[tokio::test]
async fn an_installer_boots_once() {
    let (bench, iso) = available("redfish-virtual-media").await;
    patch(&bench, "/instance_info/boot_iso", json!(iso)).await;
    bench.driver_info("force_persistent_boot_device", "Never").await;
    bench.verb("active", "active").await;
    assert_eq!(bench.redfish("").await["Boot"]["BootSourceOverrideEnabled"], "Disabled", "used up by the start");
    assert!(!is_told_before_a_start(&bench).await);

    // Its BMC will not hear of boot sources any more, and there is nothing of ours to take back.
    bench.fault(json!({"path": format!("Systems/{UUID}"), "method": "PATCH", "status": 400, "times": 100})).await;
    let node = bench.verb("deleted", "available").await;
    assert_eq!(node["last_error"], Value::Null);
}

#[tokio::test]
async fn a_machine_in_legacy_mode_is_put_into_the_one_that_its_node_names() {
    let (bench, iso) = available("redfish-virtual-media").await;
    patch(&bench, "/instance_info/boot_iso", json!(iso)).await;
    patch(&bench, "/properties/capabilities", json!("boot_mode:bios")).await;
    bench.verb("active", "active").await;
    assert_eq!(bench.redfish("").await["Boot"]["BootSourceOverrideMode"], "Legacy");
    bench.verb("deleted", "available").await;
    // HTTP boot is UEFI's.
    patch(&bench, "/properties/capabilities", json!("")).await;
    patch(&bench, "/boot_interface", json!("redfish-https")).await;
    patch(&bench, "/instance_info/boot_iso", json!(iso)).await;
    bench.verb("active", "active").await;
    assert_eq!(bench.redfish("").await["Boot"]["BootSourceOverrideMode"], "UEFI");
}
