//! The conductor is killed at every point where it writes or does something to others, and started again: each operation
//! ends where it would have ended, nothing is done twice, and nothing is left switched on, inserted or overridden.

mod lab;
mod machine;

use reqwest::Method;
use serde_json::{Value, json};

use lab::{Ends, Lab};

/// Every how many points the conductor is killed; `make test` has it killed at each.
fn stride() -> u64 {
    std::env::var("CRASH_STRIDE").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

/// Kills the conductor at point after point of what `request` starts, until it gets to the end unharmed.
async fn survives(mut lab: Lab, request: impl Fn(&Lab) -> (Method, &'static str, Value), ends: Ends) {
    lab.snapshot().await;
    let mut point = 1;
    loop {
        lab.restore().await;
        let (method, path, body) = request(&lab);
        let unharmed = lab.run(point, method, path, body, &ends).await;
        if unharmed {
            assert!(point > 4, "there were only {point} points");
            return;
        }
        point += stride();
    }
}

fn provision(body: Value) -> impl Fn(&Lab) -> (Method, &'static str, Value) {
    move |_| (Method::PUT, "/states/provision", body.clone())
}

const OFF: Ends = Ends {
    state: "manageable",
    power: "Off",
    inserted: false,
    commands: &[],
    boots: 1..=2,
    error: None,
    boots_from: None,
    mode: "UEFI",
    secure_boot: false,
    cores: None,
    fetches: 0..=0,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inspection() {
    let lab = Lab::manageable().await;
    survives(lab, provision(json!({"target": "inspect"})), OFF).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inspection_by_the_bmc() {
    let lab = Lab::manageable().await;
    lab.is_inspected_by("redfish").await;
    survives(lab, provision(json!({"target": "inspect"})), Ends { boots: 0..=0, ..OFF }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cleaning() {
    let lab = Lab::manageable().await;
    let commands = &["execute_clean_step erase_devices_metadata", "execute_clean_step erase_devices"];
    survives(lab, provision(json!({"target": "provide"})), Ends { state: "available", commands, ..OFF }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cleaning_with_a_reboot() {
    let lab = Lab::manageable().await;
    let steps = json!([{"interface": "deploy", "step": "reboot_me"}, {"interface": "deploy", "step": "burnin_cpu"}]);
    let commands = &["execute_clean_step reboot_me", "execute_clean_step burnin_cpu"];
    let ends = Ends { commands, boots: 2..=3, ..OFF };
    survives(lab, provision(json!({"target": "clean", "clean_steps": steps})), ends).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cleaning_with_settings_of_firmware() {
    let lab = Lab::manageable().await;
    let settings = json!([{"name": "Cores", "value": "4"}, {"name": "AssetTag", "value": "rack 7"}]);
    let steps = json!([{"interface": "bios", "step": "apply_configuration", "args": {"settings": settings}},
        {"interface": "deploy", "step": "burnin_cpu"}]);
    let commands = &["execute_clean_step burnin_cpu"];
    let ends = Ends { commands, boots: 2..=4, cores: Some(4), ..OFF };
    survives(lab, provision(json!({"target": "clean", "clean_steps": steps})), ends).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cleaning_with_an_update_of_firmware() {
    let lab = Lab::manageable().await;
    let [bmc, bios] = lab.firmware().await;
    let settings = json!([{"component": "bmc", "url": bmc}, {"component": "bios", "url": bios}]);
    let steps = json!([{"interface": "firmware", "step": "update", "args": {"settings": settings}},
        {"interface": "deploy", "step": "burnin_cpu"}]);
    let commands = &["execute_clean_step burnin_cpu"];
    // Again only where nobody can know whether the BMC has heard of it.
    let ends = Ends { commands, boots: 2..=4, fetches: 2..=4, ..OFF };
    survives(lab, provision(json!({"target": "clean", "clean_steps": steps})), ends).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_fails() {
    let lab = Lab::manageable().await;
    let steps = json!([{"interface": "deploy", "step": "burnin_cpu", "args": {}}, {"interface": "deploy", "step": "burnin_cpu"}]);
    lab.fails();
    let commands = &["execute_clean_step burnin_cpu"];
    let ends = Ends { state: "clean failed", commands, error: Some("it burnt"), ..OFF };
    survives(lab, provision(json!({"target": "clean", "clean_steps": steps})), ends).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployment() {
    let lab = Lab::available().await;
    let commands = &["execute_deploy_step write_image"];
    let ends = Ends { state: "active", power: "On", commands, ..OFF };
    survives(lab, provision(json!({"target": "active", "configdrive": {"user_data": "x"}})), ends).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn undeployment() {
    let lab = Lab::active().await;
    let commands = &["execute_clean_step erase_devices_metadata", "execute_clean_step erase_devices"];
    survives(lab, provision(json!({"target": "deleted"})), Ends { state: "available", commands, ..OFF }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servicing() {
    let lab = Lab::active().await;
    let steps = json!([{"interface": "deploy", "step": "burnin_cpu"}]);
    let commands = &["execute_service_step burnin_cpu"];
    let ends = Ends { state: "active", power: "On", commands, ..OFF };
    survives(lab, provision(json!({"target": "service", "service_steps": steps})), ends).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rescue() {
    let lab = Lab::active().await;
    let ends = Ends { state: "rescue", power: "On", ..OFF };
    survives(lab, provision(json!({"target": "rescue", "rescue_password": "s3cret"})), ends).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_rescue() {
    let lab = Lab::active().await;
    lab.provision(json!({"target": "rescue", "rescue_password": "s3cret"}), "rescue").await;
    let ends = Ends { state: "active", power: "On", boots: 0..=0, ..OFF };
    survives(lab, provision(json!({"target": "unrescue"})), ends).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_iso_as_instance_and_its_end() {
    let lab = Lab::available().await;
    lab.wants_iso().await;
    let ends = Ends { state: "active", power: "On", inserted: true, boots: 0..=2, ..OFF };
    survives(lab, provision(json!({"target": "active"})), ends).await;

    let lab = Lab::available().await;
    lab.wants_iso().await;
    lab.provision(json!({"target": "active"}), "active").await;
    // The ISO, when the run begins.
    let ends = Ends { state: "available", boots: 0..=1, ..OFF };
    survives(lab, provision(json!({"target": "deleted"})), ends).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_for_beside_flows() {
    let lab = Lab::active().await;
    let ends = Ends { state: "active", power: "On", boots: 0..=0, ..OFF };
    survives(lab, |_| (Method::PUT, "/states/power", json!({"target": "rebooting"})), ends).await;

    let lab = Lab::manageable().await;
    let ends = Ends { state: "manageable", power: "On", boots: 0..=0, ..OFF };
    survives(lab, |_| (Method::PUT, "/states/power", json!({"target": "power on"})), ends).await;

    for target in ["soft power off", "soft rebooting"] {
        let lab = Lab::active().await;
        let power = if target == "soft power off" { "Off" } else { "On" };
        let ends = Ends { state: "active", power, boots: 0..=0, ..OFF };
        survives(lab, |_| (Method::PUT, "/states/power", json!({"target": target, "timeout": 10})), ends).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_of_firmware() {
    let still = || Ends { boots: 0..=0, ..OFF };
    let put = |path, body: Value| move |_: &Lab| (Method::PUT, path, body.clone());

    let ends = Ends { boots_from: Some("Pxe"), ..still() };
    let body = json!({"boot_device": "pxe", "persistent": true});
    survives(Lab::manageable().await, put("/management/boot_device", body), ends).await;

    let ends = Ends { mode: "Legacy", ..still() };
    survives(Lab::manageable().await, put("/states/boot_mode", json!({"target": "bios"})), ends).await;

    let ends = Ends { secure_boot: true, ..still() };
    survives(Lab::manageable().await, put("/states/secure_boot", json!({"target": true})), ends).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_that_its_owner_makes() {
    let lab = Lab::manageable().await;
    lab.is_silent();
    lab.waits(json!({"target": "provide"}), "clean wait").await;
    let ends = Ends { state: "clean failed", error: Some("By request"), boots: 0..=1, ..OFF };
    survives(lab, provision(json!({"target": "abort"})), ends).await;
}
