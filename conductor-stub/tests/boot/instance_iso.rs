//! Deploy interface `ramdisk`: a user's ISO is the instance.

use std::path::PathBuf;

use conductor_stub::config::Config;
use ferric_ignition::live_iso::LiveIso;
use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::{Bench, MAC, UUID};
use crate::efi;
use crate::eventually::eventually;
use crate::live_iso::live_iso;
use crate::stock::{extracted, said, stock_iso};

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
    let blank = file("blank.iso", &[0; 1 << 20]);
    let elsewhere = uuid::Uuid::new_v4();
    let download = bench.server.conductor.artefacts.publish(elsewhere, "elsewhere.iso", blank.as_ref()).unwrap();
    for (source, fault, reason) in [
        (dead, None, "404"),
        (download, None, "it is blank"),
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

    // One's own file is inserted as it is, and that is said.
    patch(&bench, "/instance_info/boot_iso", json!(blank)).await;
    bench.verb("active", "active").await;
    let history = bench.call(Method::GET, "/v1/nodes/n1/history", None).await.to_string();
    assert!(history.contains("boot_iso is blank"), "{history}");
}

/// Waits until the machine is on or off, and its conductor has nothing more to do about that.
async fn switched(bench: &Bench, power: &str) {
    let is_so = async || {
        let is_done = bench.at_rest("active").await["target_power_state"].is_null();
        (is_done && bench.redfish("").await["PowerState"] == power).then_some(())
    };
    eventually(power, is_so).await;
}

/// Switches the machine off and on again; whether its BMC was told what to boot in between.
async fn is_told_before_a_start(bench: &Bench) -> bool {
    bench.call(Method::PUT, "/v1/nodes/n1/states/power", Some(json!({"target": "power off"}))).await;
    switched(bench, "Off").await;
    // A fault that does nothing, and is used up by being told.
    bench.fault(json!({"path": format!("Systems/{UUID}"), "method": "PATCH"})).await;
    bench.call(Method::PUT, "/v1/nodes/n1/states/power", Some(json!({"target": "power on"}))).await;
    switched(bench, "On").await;
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

/// Has the node deployed with `info` and returns the ISO that is in its drive.
async fn deployed(bench: &Bench, info: Value) -> PathBuf {
    patch(bench, "/instance_info", info).await;
    let node = bench.verb("active", "active").await;
    assert_eq!(node["last_error"], Value::Null);
    let image = drive(bench).await["image"].as_str().unwrap().to_owned();
    let served = bench.folder.path().join("served.iso");
    std::fs::write(&served, bench.client.get(image).send().await.unwrap().bytes().await.unwrap()).unwrap();
    served
}

fn user_data(text: &str) -> Value {
    json!({"meta_data": {"name": "n1"}, "user_data": text})
}

#[tokio::test]
async fn an_iso_of_others_gets_kernel_arguments_and_a_config_drive_beside_it() {
    let (bench, small) = available("redfish-virtual-media").await;
    let stock = stock_iso(bench.folder.path());
    let info = json!({"boot_iso": stock, "kernel_append_params": "one=1", "ramdisk_kernel_arguments": "two"});
    patch(&bench, "/properties/root_device", json!({"name": "/dev/sda"})).await;
    patch(&bench, "/instance_info", info.clone()).await;
    let drive = json!({"target": "active", "configdrive": user_data("#cloud-config")});
    bench.call(Method::PUT, "/v1/nodes/n1/states/provision", Some(drive)).await;
    bench.at_rest("active").await;
    let history = bench.call(Method::GET, "/v1/nodes/n1/history", None).await.to_string();
    assert!(history.contains("root device hints are ignored"), "{history}");
    let stick = bench.redfish("/VirtualMedia/Usb").await;
    assert_eq!(stick["Inserted"], true, "{stick}");
    let image = bench.client.get(stick["Image"].as_str().unwrap()).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(image[16 * 2048 + 40..16 * 2048 + 48], *b"config-2");
    bench.verb("deleted", "available").await;
    bench.assert_clear().await;
    assert_eq!(bench.redfish("/VirtualMedia/Usb").await["Inserted"], false);
    let kept = bench.call(Method::GET, "/stub/media", None).await;
    assert!(!kept.to_string().contains("config drive"), "what is one machine's goes with its instance: {kept}");

    let iso = deployed(&bench, info).await;
    let grub = extracted(&iso, "/boot/grub/grub.cfg");
    assert!(grub.contains("    linux /live/vmlinuz boot=live one=1 two --- quiet\n#"), "{grub}");
    bench.verb("deleted", "available").await;
    // Nothing is ignored.
    patch(&bench, "/instance_info", json!({"boot_iso": small, "kernel_append_params": "one=1"})).await;
    let failed = bench.verb("active", "deploy failed").await["last_error"].take();
    assert!(failed.as_str().unwrap().starts_with("kernel_append_params: "), "{failed}");
    let refused = json!([{"op": "add", "path": "/instance_info/kernel_append_params", "value": "a\nb"}]);
    let refused = bench.call(Method::PATCH, "/v1/nodes/n1", Some(refused)).await;
    assert!(refused["error_message"].as_str().unwrap().contains("kernel_append_params"), "{refused}");
}

#[tokio::test]
async fn a_machine_without_a_stick_has_its_config_drive_in_a_partition_of_the_iso() {
    let bench = Bench::with_drives(Config { automated_clean: false, ..Config::default() }, &["cd"]).await;
    bench.enrol("redfish-virtual-media", json!({})).await;
    bench.verb("manage", "manageable").await;
    bench.verb("provide", "available").await;
    patch(&bench, "/deploy_interface", json!("ramdisk")).await;
    let stock = stock_iso(bench.folder.path());
    let iso = deployed(&bench, json!({"boot_iso": stock, "configdrive": user_data("#cloud-config")})).await;
    let report = said("xorriso", &["-indev", iso.to_str().unwrap(), "-report_system_area", "plain"]);
    let last = report
        .lines()
        .rfind(|line| line.starts_with("MBR partition") || line.starts_with("GPT start and size"))
        .unwrap();
    let numbers: Vec<u64> = last.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let offset = numbers[numbers.len() - 2] * 512;
    let found = said("blkid", &["-p", "-o", "value", "-s", "LABEL", "-O", &offset.to_string(), iso.to_str().unwrap()]);
    assert_eq!(found.trim(), "config-2", "{report}");
    bench.verb("deleted", "available").await;
    let kept = bench.call(Method::GET, "/stub/media", None).await;
    assert_eq!(kept["bytes"], 0, "{kept}");
}

#[tokio::test]
async fn user_data_that_are_ignition_go_where_coreos_looks_for_them() {
    let (bench, _) = available("redfish-virtual-media").await;
    let live = live_iso(bench.folder.path(), 1).unwrap();
    let ignition = r#"{"ignition": {"version": "3.4.0"}}"#;
    let info = json!({"boot_iso": live, "kernel_append_params": "one=1", "configdrive": user_data(ignition)});
    let iso = LiveIso::read(std::fs::File::open(deployed(&bench, info).await).unwrap()).unwrap();
    assert!(iso.kernel_arguments().unwrap().ends_with(" one=1"));
    assert_eq!(iso.ignition().unwrap(), br#"{"ignition":{"version":"3.4.0"}}"#);
    assert_eq!(bench.redfish("/VirtualMedia/Usb").await["Inserted"], false);
    bench.verb("deleted", "available").await;
    let wrong = json!({"boot_iso": live, "configdrive": user_data(r#"{"ignition": {"version": "9.0.0"}}"#)});
    patch(&bench, "/instance_info", wrong).await;
    let failed = bench.verb("active", "deploy failed").await["last_error"].take();
    assert!(failed.as_str().unwrap().contains("user_data of the config drive"), "{failed}");
    bench.assert_clear().await;
}

#[tokio::test]
async fn media_go_by_themselves_when_their_time_has_come() {
    let (bench, iso) = available("redfish-virtual-media").await;
    deployed(&bench, json!({"boot_iso": iso, "boot_iso_detach_after": 1})).await;
    let is_out = async || (bench.redfish("/VirtualMedia/Cd").await["Inserted"] == false).then_some(());
    eventually("the medium is out", is_out).await;
    let node = bench.at_rest("active").await;
    assert_eq!((&node["last_error"], &node["power_state"]), (&Value::Null, &json!("power on")));
    let system = bench.redfish("").await;
    assert_eq!((&system["PowerState"], &system["Boot"]["BootSourceOverrideTarget"]), (&json!("On"), &json!("Hdd")));
}

#[tokio::test]
async fn media_go_when_the_machine_has_switched_itself_off() {
    let (bench, iso) = available("redfish-virtual-media").await;
    deployed(&bench, json!({"boot_iso": iso, "boot_iso_detach_after": "power off"})).await;
    assert_eq!(bench.redfish("/VirtualMedia/Cd").await["Inserted"], true);
    // Behind the conductor's back.
    let url = format!("http://{}/redfish/v1/Systems/{UUID}/Actions/ComputerSystem.Reset", bench.bmc.address);
    let off = bench.client.post(url).basic_auth("admin", Some("secret")).json(&json!({"ResetType": "ForceOff"}));
    assert!(off.send().await.unwrap().status().is_success());
    for _ in 0..600 {
        if bench.redfish("/VirtualMedia/Cd").await["Inserted"] == false {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let node = bench.at_rest("active").await;
    assert_eq!(node["last_error"], Value::Null);
    assert_eq!(bench.redfish("").await["Boot"]["BootSourceOverrideTarget"], "Hdd");
    assert_eq!(bench.redfish("/VirtualMedia/Cd").await["Inserted"], false);
    let wrong = json!([{"op": "add", "path": "/instance_info/boot_iso_detach_after", "value": "soon"}]);
    let wrong = bench.call(Method::PATCH, "/v1/nodes/n1", Some(wrong)).await;
    assert!(wrong["error_message"].is_null(), "it is looked at when it is used: {wrong}");
    let refused = bench.call(Method::PUT, "/v1/nodes/n1/states/provision", Some(json!({"target": "rebuild"}))).await;
    assert!(refused["error_message"].as_str().unwrap().contains("must be seconds, or"), "{refused}");
}
