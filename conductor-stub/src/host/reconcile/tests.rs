use super::*;
use crate::host::document::Name;
use crate::host::wanted::preparation::Preparation;

fn wanted() -> Wanted {
    let mut instance_info = Object::new();
    instance_info.insert("image_source".into(), "http://x/i".into());
    Wanted {
        name: Name { namespace: "lab".into(), name: "h".into() },
        registration: Object::new(),
        port: None,
        inspect: true,
        preparation: Some(Preparation {
            raid: Some(Object::new()),
            clean_steps: vec![json!({"interface": "raid", "step": "delete_configuration"})],
            has_firmware_settings: false,
        }),
        instance: Some(Instance { deploy_interface: "direct", instance_info, configdrive: None, deploy_steps: None }),
        externally_provisioned: false,
        online: true,
        consumer: None,
        paused: false,
    }
}

/// A conductor that does at once whatever is asked; returns the words until nothing is left to be done.
fn walk(wanted: &Wanted, node: &mut NodeView) -> Vec<&'static str> {
    let mut words = Vec::new();
    for _ in 0..20 {
        let Next::Ask { word, requests } = next(wanted, node, words.last().copied()).unwrap() else { break };
        words.push(word);
        for request in requests {
            obey(node, &request);
        }
    }
    words
}

fn obey(node: &mut NodeView, request: &Request) {
    match request {
        Request::Patch(patch) => {
            for operation in patch.as_array().unwrap() {
                if operation["path"] == "/extra/metal3" {
                    node.extra.insert(MEMORY.into(), operation["value"].clone());
                }
            }
        }
        Request::Power(target) => {
            let state = if target.ends_with("off") { "power off" } else { "power on" };
            node.power_state = Some(state.into());
        }
        Request::Provision(verb) => {
            node.provision_state = match verb["target"].as_str().unwrap() {
                "manage" | "inspect" | "clean" => "manageable",
                "provide" | "deleted" => "available",
                _ => "active",
            }
            .into();
            if verb["target"] == "inspect" {
                node.inspection_finished_at = Some("now".into());
            }
            node.power_state = Some("power on".into());
        }
        Request::Raid(_) => {}
        Request::EndMaintenance => node.maintenance = false,
    }
}

fn node(state: &str) -> NodeView {
    NodeView { provision_state: state.into(), ..NodeView::default() }
}

#[test]
fn a_life_and_nothing_more_afterwards() {
    let mut wanted = wanted();
    let mut node = node("enroll");
    let whole = ["manage", "inspect", "clean", "prepared", "provide", "active"];
    assert_eq!(walk(&wanted, &mut node), whole);
    assert_eq!(walk(&wanted, &mut node), [""; 0], "applied again");
    wanted.online = false;
    assert_eq!(walk(&wanted, &mut node), ["shut down"]);
    wanted.instance.as_mut().unwrap().instance_info.insert("root_device".into(), json!({"size": ">= 1"}));
    assert_eq!(walk(&wanted, &mut node), [""; 0], "a hint is for the next deployment");
    wanted.online = true;
    wanted.instance.as_mut().unwrap().instance_info.insert("image_source".into(), "http://x/other".into());
    assert_eq!(walk(&wanted, &mut node), ["deleted", "active"], "another image");
    wanted.instance = None;
    assert_eq!(walk(&wanted, &mut node), ["deleted"]);
}

#[test]
fn what_somebody_else_installed_stays() {
    let mut wanted = wanted();
    (wanted.externally_provisioned, wanted.inspect, wanted.instance) = (true, false, None);
    let mut node = node("enroll");
    node.extra.insert(MEMORY.into(), json!(remembered(&wanted, Memory::default()).unwrap()));
    assert_eq!(walk(&wanted, &mut node), ["manage", "adopt"]);
    wanted.externally_provisioned = false;
    assert!(matches!(next(&wanted, &node, None).unwrap(), Next::Stuck(_)));
}

#[test]
fn failures_of_this_run_are_final_earlier_ones_are_not() {
    let wanted = wanted();
    let mut node = node("deploy failed");
    node.last_error = Some("no room".into());
    node.target_provision_state = Some("active".into());
    node.extra.insert(MEMORY.into(), json!(Memory { prepared: "".into(), ..Memory::default() }));
    assert_eq!(walk(&wanted, &mut node.clone())[0], "deleted", "it was deployed in another way");
    node.deploy_interface = Some("direct".into());
    assert!(matches!(next(&wanted, &node, None).unwrap(), Next::Ask { word: "active", .. }));
    assert_eq!(next(&wanted, &node, Some("active")).unwrap(), Next::Stuck("deploy failed: no room".into()));
    node.reservation = Some("conductor".into());
    assert_eq!(next(&wanted, &node, Some("active")).unwrap(), Next::Wait);
}

#[test]
fn maintenance_of_a_person_is_respected() {
    let wanted = wanted();
    let mut node = node("clean failed");
    node.maintenance = true;
    assert!(matches!(next(&wanted, &node, None).unwrap(), Next::Stuck(_)));
    node.fault = Some("clean failure".into());
    assert_eq!(walk(&wanted, &mut node)[..2], ["end of maintenance", "manage"]);
}

#[test]
fn a_system_that_does_not_listen_is_switched_off() {
    let wanted = Wanted { online: false, instance: None, externally_provisioned: true, ..wanted() };
    let mut node = node("active");
    node.power_state = Some("power on".into());
    assert!(matches!(next(&wanted, &node, None).unwrap(), Next::Ask { word: "shut down", .. }));
    node.last_error = Some("timeout".into());
    assert!(matches!(next(&wanted, &node, Some("shut down")).unwrap(), Next::Ask { word: "power off", .. }));
}
