//! What both agents are asked, in this order.

use ferric_tests::conductor::NODE;
use serde_json::{Value, json};

use super::session::Record;

/// One request.
#[derive(Debug)]
pub(super) struct Request {
    /// What it is called where it makes a difference.
    pub(super) name: String,
    pub(super) method: &'static str,
    /// Path and query; `{token}` stands for the right token, `{id}` for the id of the last command.
    pub(super) target: String,
    pub(super) body: String,
    /// Whether the program that holds a command up is let go first.
    pub(super) release_before: bool,
}

fn request(method: &'static str, target: &str, body: &str) -> Request {
    let name = if body.is_empty() { format!("{method} {target}") } else { format!("{method} {target} {body}") };
    Request { name, method, target: target.to_string(), body: body.to_string(), release_before: false }
}

fn get(target: &str) -> Request {
    request("GET", target, "")
}

/// A command whose end is waited for.
fn command(what: &str, name: &str, params: Value) -> Request {
    let mut request = start(what, name, params);
    request.target.push_str("&wait=true");
    request
}

/// A command whose end is not waited for.
fn start(what: &str, name: &str, params: Value) -> Request {
    let body = json!({"name": name, "params": params}).to_string();
    let mut request = request("POST", "/v1/commands/?{token}", &body);
    request.name = if what.is_empty() { name.to_string() } else { format!("{name}, {what}") };
    request
}

fn node() -> Value {
    json!({"uuid": NODE, "properties": {}, "instance_info": {}, "driver_info": {}, "driver_internal_info": {}})
}

/// A node whose root device is none.
fn node_without_disk() -> Value {
    let mut node = node();
    node["properties"] = json!({"root_device": {"serial": "no such disk"}});
    node
}

/// Runs `step` by the extension `kind`.
fn step(kind: &str, step: &str, args: Value) -> Request {
    let step_object = json!({"step": step, "interface": "deploy", "priority": 10, "args": args});
    let what = if args.is_null() { step.to_string() } else { format!("{step} {args}") };
    command(&what, &format!("{kind}.execute_{kind}_step"), json!({"step": step_object, "node": node(), "ports": []}))
}

/// The life of an agent.
#[derive(Debug)]
pub(super) struct Session {
    /// The disks that are allowed to Ferric.
    pub(super) disks: &'static [&'static str],
    pub(super) collectors: &'static str,
    /// What of the requests to Ironic is compared.
    pub(super) told: fn(Record) -> Record,
    pub(super) requests: Vec<Request>,
}

/// All lives: every command that ends an agent, or takes its machine down, ends one.
pub(super) fn sessions() -> Vec<Session> {
    let last = |name: &str| Session {
        disks: &["sda", "sdb", "nvme0n1"],
        collectors: "default",
        told: |_| Record::new(),
        requests: vec![start("", name, json!({}))],
    };
    let every = "default,logs,pci-devices,numa-topology,usb-devices,dmi-decode,lldp,extra-hardware";
    vec![
        Session { disks: ALL_DISKS, collectors: every, told: |all| all, requests: all() },
        Session { told: root_disk, ..last("system.lockdown") },
        Session { collectors: "default,no-such-collector", told: failed_inspection, ..last("standby.power_off") },
        last("standby.run_image"),
    ]
}

const ALL_DISKS: &[&str] =
    &["sda", "sdb", "sdc", "sdd", "sde", "sdf", "sdg", "sdh", "nvme0n1", "nvme1n1", "vda", "vdb", "vdc"];

/// The disk that the agent would deploy to, where only disks that are large enough for IPA are allowed.
fn root_disk(told: Record) -> Record {
    vec![("root disk among large ones".to_string(), inspected(&told)["root_disk"].clone())]
}

/// What is sent when there is no such collector.
fn failed_inspection(told: Record) -> Record {
    vec![("failed inspection".to_string(), inspected(&told))]
}

fn inspected(told: &Record) -> Value {
    let inspection = told.iter().find(|(name, _)| name.ends_with("inspection"));
    inspection.map(|(_, said)| said["body"].clone()).unwrap_or_default()
}

/// Everything that leaves the agent running, and then the rescue password, which ends it.
fn all() -> Vec<Request> {
    let mut all = documents();
    all.extend(refusals());
    all.extend(steps());
    all.extend(standby());
    all.extend(others());
    all.extend(busy());
    all.push(named("the list", get("/v1/commands/?{token}")));
    all.extend(wrong_parameters_of_sync_commands());
    all.push(command("at the end", "rescue.finalize_rescue", json!({"rescue_password": "secret", "hashed": false})));
    all
}

fn documents() -> Vec<Request> {
    let mut requests: Vec<Request> = [
        "/",
        "/v1",
        "/v1/",
        "/v1?a=b",
        "/v1/status",
        "/status",
        "/v1/status/",
        "/v2/",
        "/nothing",
        "/v1/commands",
        "/v1/commands?{token}",
        "/commands",
        "/v1/commands/",
        "/commands/",
        "/v1/commands/?agent_token=wrong",
        "/v1/commands/?agent_token=",
        "/v1/commands/nothing",
        "/v1/commands/?{token}",
        "/commands/?{token}",
        "/v1/commands/nothing?{token}",
        "/v1/commands/nothing?{token}&wait=true",
        "/commands/nothing?{token}",
        "/v1/commands/nothing/?{token}",
    ]
    .map(get)
    .into();
    for (method, target) in [
        ("HEAD", "/"),
        ("HEAD", "/v1/status"),
        ("HEAD", "/v1/commands/"),
        ("HEAD", "/v1/commands/?{token}"),
        ("POST", "/"),
        ("DELETE", "/v1/"),
        ("PUT", "/v1/status"),
        ("OPTIONS", "/v1/"),
        ("PUT", "/v1/commands/"),
        ("DELETE", "/v1/commands/?{token}"),
        ("POST", "/v1/commands/nothing?{token}"),
        ("PATCH", "/v1/commands/nothing"),
        ("POST", "/v1/commands"),
    ] {
        requests.push(request(method, target, ""));
    }
    requests
}

/// What never becomes a command.
fn refusals() -> Vec<Request> {
    let mut requests = vec![
        request("POST", "/v1/commands/", r#"{"name": "standby.sync", "params": {}}"#),
        request("POST", "/v1/commands/?agent_token=wrong", "no JSON"),
    ];
    for body in [
        "",
        "no JSON",
        "{",
        "[]",
        "{}",
        "null",
        "\"text\"",
        "7",
        r#"{"name": "standby.sync"}"#,
        r#"{"params": {}}"#,
        r#"{"name": "", "params": {}}"#,
        r#"{"name": null, "params": {}}"#,
        r#"{"name": 7, "params": {}}"#,
        r#"{"name": "standby.sync", "params": []}"#,
        r#"{"name": "standby.sync", "params": null}"#,
        r#"{"name": "standby.sync", "params": "text"}"#,
        r#"{"name": "nodot", "params": {}}"#,
        r#"{"name": "nowhere.nothing", "params": {}}"#,
        r#"{"name": "standby.nothing", "params": {}}"#,
        r#"{"name": "standby.sync.more", "params": {}}"#,
        r#"{"name": "standby.", "params": {}}"#,
        r#"{"name": ".sync", "params": {}}"#,
        r#"{"name": "Standby.sync", "params": {}}"#,
        r#"{"name": "standby.cache_image", "params": {}}"#,
    ] {
        let mut request = request("POST", "/v1/commands/?{token}", body);
        request.name = format!("POST a command `{body}`");
        requests.push(request);
    }
    requests.push(get("/v1/commands/?{token}"));
    requests
}

fn steps() -> Vec<Request> {
    let mut requests = Vec::new();
    for (kind, harmless) in [("clean", "erase_pstore"), ("deploy", "inject_files"), ("service", "inject_files")] {
        let (list, execute) = (format!("{kind}.get_{kind}_steps"), format!("{kind}.execute_{kind}_step"));
        let params = |step: Value| json!({"step": step, "node": node(), "ports": []});
        requests.push(start("", &list, json!({"node": node(), "ports": []})));
        requests.push(command("ports as an object", &list, json!({"node": node(), "ports": {}})));
        requests.push(step(kind, "no_such_step", Value::Null));
        requests.push(command("without its name", &execute, params(json!({"interface": "deploy"}))));
        requests.push(command("empty", &execute, params(json!({}))));
        requests.push(command("without parameters", &execute, json!({})));
        requests.push(command("without a node", &execute, json!({"step": {"step": harmless}, "ports": []})));
        let mut mismatch = params(json!({"step": harmless, "interface": "deploy"}));
        mismatch[format!("{kind}_version")] = json!({"generic_hardware_manager": "0.9"});
        requests.push(command("of another version", &execute, mismatch.clone()));
        mismatch[format!("{kind}_version")] =
            json!({"generic_hardware_manager": "1.2", "ContainerHardwareManager": "2"});
        requests.push(command("of this version", &execute, mismatch.clone()));
        mismatch[format!("{kind}_version")] = Value::Null;
        requests.push(command("of no version", &execute, mismatch));
    }
    for name in [
        "erase_pstore",
        "erase_devices",
        "erase_devices_metadata",
        "erase_devices_express",
        "clean_uefi_nvram",
        "delete_configuration",
        "create_configuration",
        "burnin_network",
        "burnin_disk",
        "burnin_gpu",
    ] {
        requests.push(step("clean", name, Value::Null));
    }
    requests.push(step("clean", "erase_pstore", json!({"surprise": 1})));
    requests.push(step("deploy", "erase_pstore", Value::Null));
    requests.push(step("deploy", "apply_configuration", json!({})));
    requests.push(step("deploy", "apply_configuration", json!({"raid_config": {}})));
    requests.push(step("deploy", "apply_configuration", json!({"raid_config": {"logical_disks": []}})));
    requests.push(step("deploy", "write_image", json!({})));
    requests.push(step("deploy", "write_image", json!({"image_info": {}})));
    requests.push(step("deploy", "inject_files", json!({"files": "text"})));
    requests.push(step("deploy", "inject_files", json!({"files": [{"path": 7}]})));
    requests.push(step("deploy", "execute_bootc_install", json!({})));
    requests.push(step("service", "burnin_network", Value::Null));
    requests
}

fn image(change: impl FnOnce(&mut Value)) -> Value {
    let mut image = json!({"id": "image", "urls": ["http://10.0.2.15:6385/image"], "disk_format": "raw",
        "image_type": "whole-disk-image", "os_hash_algo": "sha256", "os_hash_value": "00".repeat(32),
        "node_uuid": NODE});
    change(&mut image);
    json!({"image_info": image})
}

fn standby() -> Vec<Request> {
    let prepare = |what: &str, change: fn(&mut Value)| command(what, "standby.prepare_image", image(change));
    let remove = |image: &mut Value, key: &str| drop(image.as_object_mut().unwrap().remove(key));
    vec![
        command("", "standby.sync", json!({})),
        command("with unknown keys around", "standby.sync", json!({})),
        command("", "standby.get_partition_uuids", json!({})),
        command("without an image", "standby.prepare_image", json!({})),
        command("image null", "standby.prepare_image", json!({"image_info": null})),
        command("image empty", "standby.prepare_image", json!({"image_info": {}})),
        command("no id", "standby.prepare_image", image(|image| remove(image, "id"))),
        command("no URLs", "standby.prepare_image", image(|image| remove(image, "urls"))),
        prepare("URLs empty", |image| image["urls"] = json!([])),
        prepare("URL no list", |image| image["urls"] = json!("http://10.0.2.15:6385/image")),
        command("half a hash", "standby.prepare_image", image(|image| remove(image, "os_hash_value"))),
        command("other half of a hash", "standby.prepare_image", image(|image| remove(image, "os_hash_algo"))),
        prepare("hash empty", |image| image["os_hash_value"] = json!("")),
        prepare("hash null", |image| {
            image["os_hash_value"] = Value::Null;
            image["os_hash_algo"] = Value::Null;
        }),
        prepare("checksum a number", |image| image["checksum"] = json!(7)),
        prepare("checksum empty", |image| image["checksum"] = json!("")),
        prepare("hash unknown", |image| image["os_hash_algo"] = json!("sha9")),
        prepare("an image that is not served", |_| {}),
        prepare("from a scheme unknown", |image| image["urls"] = json!(["gopher://10.0.2.15/image"])),
        command("without an image", "standby.execute_bootc_install", json!({})),
        command("with something unknown", "standby.prepare_image", {
            let mut params = image(|_| {});
            params["surprise"] = json!(1);
            params
        }),
        // From here on no disk is the root device.
        command("of a node without disk", "deploy.get_deploy_steps", json!({"node": node_without_disk(), "ports": []})),
        command("write_image without a disk", "deploy.execute_deploy_step", {
            let args = image(|_| {});
            json!({"step": {"step": "write_image", "interface": "deploy", "args": args}, "node": node_without_disk(), "ports": []})
        }),
    ]
}

fn others() -> Vec<Request> {
    let flow = |what: &str, flow: Value| command(what, "flow.start_flow", json!({ "flow": flow }));
    vec![
        command("without parameters", "image.install_bootloader", json!({})),
        command("with something unknown", "image.install_bootloader", json!({"root_uuid": "x", "surprise": 1})),
        command(
            "for BIOS",
            "image.install_bootloader",
            json!({"root_uuid": "no-such-uuid", "target_boot_mode": "bios"}),
        ),
        command(
            "for UEFI",
            "image.install_bootloader",
            json!({"root_uuid": "no-such-uuid", "target_boot_mode": "uefi"}),
        ),
        command("", "log.collect_system_logs", json!({})),
        command("", "poll.get_hardware_info", json!({})),
        command("", "poll.set_node_info", json!({"node_info": {"node": node(), "config": {"heartbeat_timeout": 300}}})),
        command("without parameters", "poll.set_node_info", json!({})),
        flow("of two", json!([{"standby.sync": {}}, {"standby.get_partition_uuids": {}}])),
        flow("empty", json!([])),
        flow(
            "that fails",
            json!([{"standby.sync": {}}, {"clean.execute_clean_step": {"step": {"step": "no_such_step"},
            "node": node(), "ports": []}}]),
        ),
        flow("of something unknown", json!([{"nowhere.nothing": {}}])),
        flow("of an unknown command", json!([{"standby.nothing": {}}])),
        flow("of bad parameters", json!([{"standby.prepare_image": {}}])),
    ]
}

/// Requests while a command is held up, and its end.
fn busy() -> Vec<Request> {
    let burn_in = json!({"step": "burnin_cpu", "interface": "deploy", "priority": 0});
    let mut end = get("/v1/commands/{id}?{token}&wait=TRUE");
    end.release_before = true;
    let mut requests = vec![
        start("held up", "clean.execute_clean_step", json!({"step": burn_in, "node": node(), "ports": []})),
        get("/v1/commands/{id}?{token}&wait=no"),
    ];
    for name in ["standby.sync", "clean.execute_clean_step", "nowhere.nothing", "standby.nothing", "nodot"] {
        requests.push(command("while busy", name, json!({})));
    }
    requests.extend([get("/v1/status"), end]);
    requests
}

/// After the first of them, IPA can no longer list its commands.
fn wrong_parameters_of_sync_commands() -> Vec<Request> {
    let wrong = |what: &str, name: &str, params: Value| command(&format!("wrong parameters, {what}"), name, params);
    vec![
        wrong("no ports", "clean.get_clean_steps", json!({"node": node()})),
        wrong("none", "clean.get_clean_steps", json!({})),
        wrong("unknown", "service.get_service_steps", json!({"node": node(), "ports": [], "surprise": 1})),
        wrong("unknown", "standby.sync", json!({"surprise": 1})),
        wrong("unknown", "log.collect_system_logs", json!({"surprise": 1})),
        wrong("a number", "rescue.finalize_rescue", json!({"rescue_password": 7})),
        wrong("unknown", "rescue.finalize_rescue", json!({"surprise": 1})),
        command("no uuid in the node", "clean.get_clean_steps", json!({"node": {}, "ports": []})),
        command("node null", "deploy.get_deploy_steps", json!({"node": null, "ports": []})),
        command("not a list", "flow.start_flow", json!({"flow": "text"})),
        command("no parameters", "flow.start_flow", json!({})),
        named("the list after wrong parameters", get("/v1/commands/?{token}")),
    ]
}

fn named(name: &str, mut request: Request) -> Request {
    request.name = name.to_string();
    request
}
