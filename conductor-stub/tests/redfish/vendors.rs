//! A virtual CD booted and taken away again, on BMCs of several vendors; and what else they do their own way.

use std::time::Duration;

use conductor_stub::redfish::virtual_media::{self, Kind};
use conductor_stub::redfish::{Boot, Enabled, Mode, RedfishError, Reset, System};
use serde_json::{Value, json};

use crate::replay::{Replay, file};

const LIMIT: Duration = Duration::from_secs(10);
const ISO: &str = "http://192.0.2.1/agent.iso";

/// Boots the CD once and goes back to the disk; returns the BMC for a look at what it was asked.
async fn one_life(name: &str) -> Replay {
    let bmc = Replay::of(name).await;
    let client = bmc.client();
    let system = System::find(&client).await.unwrap();
    virtual_media::insert(&system, Kind::Cd, ISO).await.unwrap();
    let inserted =
        virtual_media::list(&system).await.unwrap().into_iter().filter(|device| device["Image"] == ISO).count();
    assert_eq!(inserted, 1, "{name}");
    assert_eq!(system.set_boot(&Boot::VirtualCd, Enabled::Once).await.unwrap(), Enabled::Once);
    system.set_power(true, LIMIT).await.unwrap();
    system.set_power(false, LIMIT).await.unwrap();
    virtual_media::eject(&system, Kind::Cd).await.unwrap();
    system.set_boot(&Boot::Disk, Enabled::Continuous).await.unwrap();
    let left = virtual_media::list(&system).await.unwrap();
    let cds = left.iter().filter(|device| device["MediaTypes"] != json!(["Floppy", "USBStick"]));
    assert!(cds.clone().all(|device| device["Image"].is_null()), "{name}: {left:?}");
    client.log_out().await;
    bmc
}

fn boots(bmc: &Replay) -> Vec<Value> {
    bmc.bodies("PATCH", "Systems").iter().map(|body| body["Boot"].clone()).collect()
}

#[tokio::test]
async fn idrac_9_answers_500_after_an_ejection_and_makes_jobs() {
    let bmc = one_life("idrac9").await;
    assert_eq!(bmc.bodies("POST", "VirtualMedia/1/Actions/VirtualMedia.InsertMedia").len(), 3, "two were refused");
    assert!(bmc.log().iter().filter(|request| request.path.ends_with("/Tasks/7")).count() >= 3);
    assert!(bmc.bodies("POST", "VirtualMedia/2").is_empty());
}

#[tokio::test]
async fn idrac_9_before_firmware_6_is_refused() {
    let mut old = file("idrac9");
    old.tree.get_mut("/redfish/v1/Managers/iDRAC.Embedded.1").unwrap()["FirmwareVersion"] = "5.10.50.00".into();
    let bmc = Replay::start(old).await;
    let client = bmc.client();
    let system = System::find(&client).await.unwrap();
    let error = virtual_media::insert(&system, Kind::Cd, ISO).await.unwrap_err().to_string();
    assert!(error.contains("firmware 5") && error.contains("6 is needed"), "{error}");
    assert!(bmc.bodies("POST", "VirtualMedia").is_empty());
}

#[tokio::test]
async fn idrac_10_takes_media_in_its_first_slot_and_on_after_a_while() {
    let bmc = one_life("idrac10").await;
    assert!(bmc.bodies("POST", "VirtualMedia/2/Actions/VirtualMedia.InsertMedia").is_empty());
    assert_eq!(bmc.bodies("POST", "VirtualMedia/2/Actions/VirtualMedia.EjectMedia").len(), 1, "a stale medium");
    let kinds: Vec<Value> = bmc.bodies("POST", "Reset").into_iter().map(|body| body["ResetType"].clone()).collect();
    assert_eq!(kinds, ["On", "On", "On", "ForceOff"]);
}

#[tokio::test]
async fn ilo_5_ejects_with_a_body_and_refuses_changes_in_post() {
    let bmc = one_life("ilo5").await;
    assert_eq!(
        bmc.document("/redfish/v1/Managers/1/VirtualMedia/1")["Image"],
        "http://192.0.2.9/driver.img",
        "not a CD"
    );
    assert!(bmc.bodies("POST", "EjectMedia").contains(&json!({})));
    assert_eq!(boots(&bmc)[0], boots(&bmc)[2], "asked until the self-test is over");
    let tagged = bmc.log().into_iter().filter(|request| request.method == "PATCH");
    assert!(tagged.clone().count() >= 4);
    assert!(
        tagged.into_iter().all(|request| request.if_match.is_some_and(|tag| tag.starts_with("W/"))),
        "from the body"
    );
    let last = bmc.log().pop().unwrap();
    assert_eq!((last.method.as_str(), last.path.as_str()), ("DELETE", "/redfish/v1/SessionService/Sessions/1/"));
    assert_eq!(last.who, "token-1", "though its location named another host");
}

#[tokio::test]
async fn ilo_5_has_no_url_for_the_firmware() {
    let bmc = Replay::of("ilo5").await;
    let client = bmc.client();
    let system = System::find(&client).await.unwrap();
    let error = system.set_boot(&Boot::UefiHttp(Some(ISO.into())), Enabled::Once).await.unwrap_err().to_string();
    assert!(error.contains("no HttpBootUri"), "{error}");
    system.set_boot(&Boot::UefiHttp(None), Enabled::Once).await.unwrap();
}

#[tokio::test]
async fn supermicro_boots_a_usb_cd_and_is_told_its_mode_again() {
    let bmc = one_life("supermicro_x11").await;
    let boots = boots(&bmc);
    let usb_cd = json!({"BootSourceOverrideTarget": "UsbCd", "BootSourceOverrideEnabled": "Once"});
    assert_eq!(boots[..2], [usb_cd, json!({"BootSourceOverrideMode": "UEFI"})]);
    assert_eq!(bmc.document("/redfish/v1/Systems/1")["Boot"]["BootSourceOverrideMode"], "UEFI");
    assert_eq!(bmc.bodies("POST", "InsertMedia"), [json!({"Image": ISO})]);
}

#[tokio::test]
async fn lenovo_inserts_by_patch_and_keeps_its_boot_order() {
    let bmc = one_life("xcc").await;
    let wanted = json!({"Image": ISO, "Inserted": true, "WriteProtected": true});
    assert_eq!(bmc.bodies("PATCH", "VirtualMedia/Remote1"), [wanted, json!({"Image": null, "Inserted": false})]);
    assert!(boots(&bmc).iter().all(|boot| boot["BootSourceOverrideTarget"] != "Hdd"), "{:?}", boots(&bmc));
}

#[tokio::test]
async fn megarac_wants_whole_requests_any_etag_and_credentials() {
    let bmc = one_life("megarac").await;
    let inserted = bmc.bodies("POST", "InsertMedia").pop().unwrap();
    let whole = json!({"Image": ISO, "TransferProtocolType": "HTTP", "UserName": "none", "Password": "none"});
    assert_eq!(inserted, whole);
    let patches: Vec<_> = bmc.log().into_iter().filter(|request| request.method == "PATCH").collect();
    assert_eq!(patches.iter().filter(|request| request.if_match.as_deref() == Some("*")).count(), 2);
    assert!(patches.iter().all(|request| request.body["Boot"].as_object().unwrap().len() >= 3));
}

#[tokio::test]
async fn openbmc_has_slots_for_consoles_and_monitors_for_the_rest() {
    let bmc = one_life("openbmc").await;
    assert!(bmc.bodies("POST", "Slot_0").is_empty() && bmc.bodies("PATCH", "Slot_0").is_empty());
    let monitor = |request: &crate::replay::Request| request.path == "/redfish/v1/TaskService/TaskMonitors/7";
    assert!(bmc.log().iter().any(monitor), "its location named another host");
}

#[tokio::test]
async fn a_task_that_fails_fails_the_insertion() {
    for (kind, ends) in [("task", "Exception"), ("monitor", "Killed"), ("dell", "Cancelled")] {
        let mut failing = file("openbmc");
        failing.habits.insert_task = kind.into();
        failing.habits.task_ends = ends.into();
        let bmc = Replay::start(failing).await;
        let client = bmc.client();
        let system = System::find(&client).await.unwrap();
        let error = virtual_media::insert(&system, Kind::Cd, ISO).await.unwrap_err().to_string();
        assert!(error.contains(ends) && error.contains("cannot fetch the image"), "{kind}: {error}");
    }
}

#[tokio::test]
async fn an_insertion_is_looked_at() {
    let mut late = file("openbmc");
    late.habits.insert_task = String::new();
    late.habits.insert_shows_late = 3;
    let bmc = Replay::start(late).await;
    let client = bmc.client();
    let system = System::find(&client).await.unwrap();
    virtual_media::insert(&system, Kind::Cd, ISO).await.unwrap();
    assert_eq!(bmc.document("/redfish/v1/Managers/bmc/VirtualMedia/Slot_2")["Image"], ISO);
}

#[tokio::test]
async fn a_list_of_media_that_is_not_there_is_no_end() {
    let mut dangling = file("openbmc");
    dangling.tree.get_mut("/redfish/v1/Systems/system").unwrap()["VirtualMedia"] =
        json!({"@odata.id": "/redfish/v1/Systems/system/VirtualMedia"});
    let managers = json!([{"@odata.id": "/redfish/v1/Managers/gone"}, {"@odata.id": "/redfish/v1/Managers/bmc"}]);
    dangling.tree.get_mut("/redfish/v1/Systems/system").unwrap()["Links"]["ManagedBy"] = managers;
    let bmc = Replay::start(dangling).await;
    let client = bmc.client();
    let system = System::find(&client).await.unwrap();
    virtual_media::insert(&system, Kind::Cd, ISO).await.unwrap();
}

#[tokio::test]
async fn what_a_bmc_misses_it_is_told() {
    let mut wanting = file("idrac9");
    wanting.habits =
        serde_json::from_value(json!({"insert_wants": ["Inserted", "WriteProtected", "TransferMethod"]})).unwrap();
    let bmc = Replay::start(wanting).await;
    let client = bmc.client();
    let system = System::find(&client).await.unwrap();
    virtual_media::insert(&system, Kind::Cd, ISO).await.unwrap();
    let last = bmc.bodies("POST", "InsertMedia").pop().unwrap();
    assert_eq!(last, json!({"Image": ISO, "Inserted": true, "WriteProtected": true, "TransferMethod": "Stream"}));
}

#[tokio::test]
async fn blades_on_pages_are_all_seen() {
    let bmc = Replay::of("blades").await;
    let client = bmc.client();
    let error = System::find(&client).await.unwrap_err().to_string();
    assert!(error.contains("there are 3 systems"), "{error}");
    let client = bmc.client_with(json!({"redfish_system_id": "/redfish/v1/Systems/Blade2"}));
    let system = System::find(&client).await.unwrap();
    virtual_media::insert(&system, Kind::Stick, "http://192.0.2.1/config.img").await.unwrap();
    let stick = bmc.document("/redfish/v1/Systems/Blade2/VirtualMedia/USB1");
    assert_eq!(stick["Image"], "http://192.0.2.1/config.img", "on the second page of the list");
    virtual_media::eject(&system, Kind::Stick).await.unwrap();
    assert!(bmc.document("/redfish/v1/Systems/Blade2/VirtualMedia/USB1")["Image"].is_null());
}

#[tokio::test]
async fn a_list_without_an_end_is_refused() {
    let mut endless = file("blades");
    endless.habits.page = None;
    endless.tree.get_mut("/redfish/v1/Systems").unwrap()["Members@odata.nextLink"] = "/redfish/v1/Systems".into();
    let bmc = Replay::start(endless).await;
    let error = System::find(&bmc.client()).await.unwrap_err().to_string();
    assert!(error.contains("does not end"), "{error}");
}

#[tokio::test]
async fn an_override_that_cannot_last_is_made_for_one_start() {
    let mut once = file("idrac10");
    once.habits.once_only = true;
    once.tree.get_mut("/redfish/v1/Systems/System.Embedded.1").unwrap()["Boot"]
        .as_object_mut()
        .unwrap()
        .remove("BootSourceOverrideEnabled@Redfish.AllowableValues");
    let bmc = Replay::start(once).await;
    let client = bmc.client();
    let system = System::find(&client).await.unwrap();
    // Not advertised: only the refusal says so.
    assert_eq!(system.set_boot(&Boot::VirtualCd, Enabled::Continuous).await.unwrap(), Enabled::Once);
    assert_eq!(system.set_boot(&Boot::Disk, Enabled::Continuous).await.unwrap(), Enabled::Once);
}

#[tokio::test]
async fn a_machine_without_a_disk_target_boots_by_its_own_order() {
    let mut few = file("idrac10");
    few.tree.get_mut("/redfish/v1/Systems/System.Embedded.1").unwrap()["Boot"]["BootSourceOverrideTarget@Redfish.AllowableValues"] =
        json!(["None", "Cd"]);
    let bmc = Replay::start(few).await;
    let client = bmc.client();
    let system = System::find(&client).await.unwrap();
    system.set_boot(&Boot::Disk, Enabled::Continuous).await.unwrap();
    assert_eq!(boots(&bmc), [json!({"BootSourceOverrideTarget": "None"})], "already disabled");
}

#[tokio::test]
async fn http_boot_needs_uefi_and_idrac_changes_that_by_a_start() {
    let mut legacy = file("idrac9");
    legacy.habits.mode_by_start = true;
    legacy.tree.get_mut("/redfish/v1/Systems/System.Embedded.1").unwrap()["Boot"]["BootSourceOverrideMode"] =
        "Legacy".into();
    let bmc = Replay::start(legacy).await;
    let client = bmc.client();
    let system = System::find(&client).await.unwrap();
    assert_eq!(system.mode().await.unwrap(), Some(Mode::Legacy));
    system.set_boot(&Boot::UefiHttp(Some(ISO.into())), Enabled::Once).await.unwrap();
    assert_eq!(system.mode().await.unwrap(), Some(Mode::Uefi));
    assert_eq!(system.power().await.unwrap(), "Off", "as it was");
    assert_eq!(boots(&bmc)[0], json!({"BootSourceOverrideMode": "UEFI"}));
    assert_eq!(boots(&bmc)[1]["HttpBootUri"], ISO);
}

#[tokio::test]
async fn boot_settings_go_where_they_are_kept() {
    let mut split = file("idrac9");
    let system = split.tree.get_mut("/redfish/v1/Systems/System.Embedded.1").unwrap();
    system["@Redfish.Settings"] =
        json!({"SettingsObject": {"@odata.id": "/redfish/v1/Systems/System.Embedded.1/Settings"}});
    let settings = json!({"@odata.id": "/redfish/v1/Systems/System.Embedded.1/Settings",
        "Boot": {"BootSourceOverrideTarget": "None", "BootSourceOverrideEnabled": "Disabled"}});
    split.tree.insert("/redfish/v1/Systems/System.Embedded.1/Settings".into(), settings);
    split.habits.etag = String::new();
    let bmc = Replay::start(split).await;
    let client = bmc.client();
    let system = System::find(&client).await.unwrap();
    system.set_boot(&Boot::UefiHttp(Some(ISO.into())), Enabled::Once).await.unwrap();
    let later = bmc.document("/redfish/v1/Systems/System.Embedded.1/Settings");
    assert_eq!(later["Boot"]["BootSourceOverrideTarget"], "UefiHttp");
    let now = bmc.document("/redfish/v1/Systems/System.Embedded.1");
    assert_eq!((&now["Boot"]["HttpBootUri"], &now["Boot"]["BootSourceOverrideTarget"]), (&json!(ISO), &json!("None")));
}

#[tokio::test]
async fn a_refusal_without_a_fall_back_names_itself() {
    let bmc = Replay::of("openbmc").await;
    let client = bmc.client();
    let system = System::find(&client).await.unwrap();
    let error = system.reset(Reset::Nmi, LIMIT).await;
    assert!(error.is_ok(), "{error:?}");
    let error = system.set_mode(Mode::Legacy).await;
    assert!(error.is_ok(), "{error:?}");
    let mut only = file("supermicro_x11");
    only.tree.get_mut("/redfish/v1/Systems/1").unwrap()["Boot"]["BootSourceOverrideMode@Redfish.AllowableValues"] =
        json!(["UEFI"]);
    let bmc = Replay::start(only).await;
    let client = bmc.client();
    let error = System::find(&client).await.unwrap().set_mode(Mode::Legacy).await.unwrap_err();
    assert!(matches!(error, RedfishError::Document { .. }) && error.to_string().contains("only UEFI"), "{error}");
}
