//! What clients are told: lists, records and refusals, as Ironic has them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::{Bench, config};

impl Bench {
    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call_as("1.111", Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// The status of a refusal and what it says.
    async fn refused(&self, method: Method, path: &str, body: Option<Value>) -> (u16, String) {
        let (status, body) = self.call_as("1.111", method, path, body).await;
        assert!(status.is_client_error(), "{path}: {body}");
        let fault: Value = serde_json::from_str(body["error_message"].as_str().unwrap()).unwrap();
        let text = fault.get("faultstring").unwrap_or(&fault["description"]);
        (status.as_u16(), text.as_str().unwrap().to_owned())
    }

    async fn create(&self, node: Value) -> Value {
        let (status, node) = self.call_as("1.111", Method::POST, "/v1/nodes", Some(node)).await;
        assert_eq!(status, 201, "{node}");
        node
    }

    async fn patch(&self, operations: Value) -> Value {
        let (status, node) = self.call_as("1.111", Method::PATCH, "/v1/nodes/n1", Some(operations)).await;
        assert_eq!(status, 200, "{node}");
        node
    }
}

fn names(list: &Value) -> Vec<&str> {
    list["nodes"].as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap()).collect()
}

/// Path and query of the next page.
fn next(page: &Value) -> String {
    let url: reqwest::Url = page["next"].as_str().unwrap().parse().unwrap();
    format!("{}?{}", url.path(), url.query().unwrap())
}

#[tokio::test]
async fn pages_keep_what_was_asked_for() {
    let bench = Bench::new(config()).await;
    for name in ["b", "a", "d", "c"] {
        bench.create(json!({"name": name, "driver": "fake-hardware", "extra": {"of": name}})).await;
    }
    let first = bench.get("/v1/nodes/detail?limit=3").await;
    assert_eq!(names(&first), ["b", "a", "d"]);
    assert_eq!(first["nodes"][0]["extra"]["of"], "b");
    let second = bench.get(&next(&first)).await;
    assert_eq!((names(&second), &second["nodes"][0]["extra"]["of"]), (vec!["c"], &json!("c")));
    assert!(second.get("next").is_none());

    let first = bench.get("/v1/nodes?fields=name,driver&sort_key=name&sort_dir=desc&limit=2").await;
    assert_eq!(names(&first), ["d", "c"]);
    let second = bench.get(&next(&first)).await;
    assert_eq!(names(&second), ["b", "a"]);
    let mut keys: Vec<&String> = second["nodes"][0].as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["driver", "links", "name"]);

    let node = bench.get("/v1/nodes/a").await["uuid"].clone();
    for end in 1..=3 {
        let port = json!({"node_uuid": node, "address": format!("52:54:00:00:00:0{end}"), "name": format!("p{end}")});
        assert_eq!(bench.call_as("1.111", Method::POST, "/v1/ports", Some(port)).await.0, 201);
    }
    let first = bench.get("/v1/nodes/a/ports?fields=name&limit=2").await;
    assert_eq!(first["ports"].as_array().unwrap().len(), 2);
    assert!(first["ports"][0].get("address").is_none());
    let second = bench.get(&next(&first)).await;
    assert_eq!(second["ports"][0]["name"], "p3");
    let short = bench.get("/v1/ports?address=52:54:00:00:00:02").await;
    assert_eq!(short["ports"][0].get("name"), None);
    assert_eq!(bench.get("/v1/ports/detail?node=a&limit=1").await["ports"][0]["name"], "p1");
}

#[tokio::test]
async fn a_filter_narrows_or_is_refused() {
    let bench = Bench::new(config()).await;
    for (name, more) in [
        ("plain", json!({})),
        ("described", json!({"description": "Rack 7, upper half", "resource_class": "gold", "owner": "me"})),
        ("retired", json!({"retired": "True", "lessee": "you", "shard": "s1"})),
    ] {
        let mut node = json!({"name": name, "driver": "fake-hardware"});
        node.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bench.create(node).await;
    }
    for (query, found) in [
        ("description_contains=rack 7", vec!["described"]),
        ("retired=True", vec!["retired"]),
        ("retired=0", vec!["plain", "described"]),
        ("resource_class=gold", vec!["described"]),
        ("owner=me", vec!["described"]),
        ("lessee=you", vec!["retired"]),
        ("shard=s1,s2", vec!["retired"]),
        ("sharded=false", vec!["plain", "described"]),
        ("fault=power failure", vec![]),
        ("conductor_group=", vec!["plain", "described", "retired"]),
        ("conductor_group=other", vec![]),
        ("associated=True", vec![]),
        ("maintenance=False&driver=fake-hardware", vec!["plain", "described", "retired"]),
        ("provision_state=available", vec![]),
    ] {
        assert_eq!(names(&bench.get(&format!("/v1/nodes?{query}")).await), found, "{query}");
    }
    for (query, status, words) in [
        ("nonsense=1", 400, "Unexpected arguments: nonsense"),
        ("provision_state=flying", 400, "Provision state \"flying\" is not valid"),
        ("fault=rust", 400, "Unrecognized fault"),
        ("maintenance=perhaps", 400, "Unrecognized value 'perhaps'"),
        ("fields=name,colour", 400, "Field(s) \"colour\" are not valid"),
        ("sort_key=extra", 400, "sort_key value extra"),
        ("limit=many", 400, "Expected an integer for limit"),
        ("marker=00000000-0000-0000-0000-000000000000", 404, "could not be found"),
    ] {
        let (got, text) = bench.refused(Method::GET, &format!("/v1/nodes?{query}"), None).await;
        assert!(got == status && text.contains(words), "{query}: {got} {text}");
    }
    // An earlier client does not know the filter.
    assert_eq!(bench.call_as("1.50", Method::GET, "/v1/nodes?description_contains=x", None).await.0, 406);
}

#[tokio::test]
async fn nodes_are_what_the_hardware_type_allows() {
    let bench = Bench::new(config()).await;
    for (node, words) in [
        (
            json!({"driver": "fake-hardware", "boot_interface": "ilo-uefi-https"}),
            "Could not find the following interface",
        ),
        (
            json!({"driver": "fake-hardware", "boot_interface": "redfish-virtual-media"}),
            "is not supported by hardware type",
        ),
        (json!({"driver": "redfish", "bios_interface": "ilo"}), "Could not find the following interface"),
        (json!({"driver": "ipmi"}), "No conductor service registered which supports driver ipmi"),
        (json!({"driver": "fake-hardware", "name": "states"}), "is reserved"),
        (json!({"driver": "fake-hardware", "name": "with space"}), "invalid name 'with space'"),
        (json!({"driver": "fake-hardware", "colour": 1}), "colour"),
        (json!({"driver": "fake-hardware", "retired": "perhaps"}), "Unrecognized value 'perhaps'"),
        (json!({"driver": "fake-hardware", "protected": true}), "'protected' was unexpected"),
        (json!({"name": "x"}), "'driver' is a required property"),
    ] {
        let (status, text) = bench.refused(Method::POST, "/v1/nodes", Some(node)).await;
        assert!(status == 400 && text.contains(words), "{status} {text}");
    }
    let node = bench.create(json!({"name": "n1", "driver": "fake-hardware", "automated_clean": "False"})).await;
    assert_eq!(node["automated_clean"], false);
    assert_eq!((&node["boot_interface"], &node["network_interface"]), (&json!("fake"), &json!("noop")));
    let (status, text) =
        bench.refused(Method::POST, "/v1/nodes", Some(json!({"name": "n1", "driver": "fake-hardware"}))).await;
    assert!(status == 409 && text.contains("n1 already exists"), "{text}");
}

#[tokio::test]
async fn who_is_protected_or_retired_stays() {
    let bench = Bench::new(config()).await;
    bench.to_manageable().await;
    let (status, text) = bench
        .refused(Method::PATCH, "/v1/nodes/n1", Some(json!([{"op": "add", "path": "/protected", "value": true}])))
        .await;
    assert!(status == 409 && text.contains("can only be made protected"), "{text}");
    bench.patch(json!([
        {"op": "add", "path": "/retired", "value": "True"}, {"op": "add", "path": "/retired_reason", "value": "old"},
    ])).await;
    let (status, text) =
        bench.refused(Method::PUT, "/v1/nodes/n1/states/provision", Some(json!({"target": "provide"}))).await;
    assert!(status == 400 && text.contains("because it is retired"), "{text}");
    let node = bench.patch(json!([{"op": "replace", "path": "/retired", "value": false}])).await;
    assert_eq!(node["retired_reason"], Value::Null);

    assert_eq!(bench.call(Method::PUT, "/v1/nodes/n1/maintenance", None).await.0, 202, "without a body");
    assert_eq!(bench.node().await["maintenance"], true);
    let clean = json!({"target": "clean", "clean_steps": [{"interface": "deploy", "step": "erase_devices"}]});
    let (status, text) = bench.refused(Method::PUT, "/v1/nodes/n1/states/provision", Some(clean)).await;
    assert!(status == 400 && text.contains("maintenance mode"), "{text}");
    bench.call(Method::DELETE, "/v1/nodes/n1/maintenance", None).await;

    bench.patch(json!([{"op": "add", "path": "/automated_clean", "value": false}])).await;
    bench.ask(json!({"target": "provide"})).await;
    bench.reaches("available").await;
    assert_eq!(bench.call(Method::DELETE, "/v1/nodes/n1", None).await.0, 204, "a node in available may go");
}

#[tokio::test]
async fn a_request_says_what_its_verb_needs() {
    let bench = Bench::new(config()).await;
    bench.create(json!({"name": "n2", "driver": "fake-hardware", "inspect_interface": "no-inspect"})).await;
    let inspect = Some(json!({"target": "inspect"}));
    let (status, text) = bench.refused(Method::PUT, "/v1/nodes/n2/states/provision", inspect).await;
    assert!(status == 400 && text.contains("does not support inspect"), "{status} {text}");
    bench.to_manageable().await;
    let path = "/v1/nodes/n1/states/provision";
    for (body, words) in [
        (json!({"target": "clean"}), "\"clean_steps\" is required"),
        (
            json!({"target": "provide", "clean_steps": [{"interface": "raid", "step": "x"}]}),
            "\"clean_steps\" is only valid",
        ),
        (json!({"target": "provide", "configdrive": "abc"}), "config drive is only supported"),
        (json!({"target": "dance"}), "could not be understood"),
        (json!({"target": "active"}), "can not be performed on node"),
        (json!({"target": "provide", "colour": 1}), "Unexpected arguments: colour"),
        (json!({"clean_steps": []}), "Missing mandatory parameter: target"),
    ] {
        let (status, text) = bench.refused(Method::PUT, path, Some(body)).await;
        assert!(status == 400 && text.contains(words), "{status} {text}");
    }
    for (body, status, words) in [
        (json!({"target": "up"}), 400, "The requested action \"up\""),
        (json!({"target": "power on", "timeout": 0}), 400, "positive integer"),
    ] {
        let answer = bench.refused(Method::PUT, "/v1/nodes/n1/states/power", Some(body)).await;
        assert!(answer.0 == status && answer.1.contains(words), "{answer:?}");
    }
    let old = bench
        .call_as("1.26", Method::PUT, "/v1/nodes/n1/states/power", Some(json!({"target": "soft power off"})))
        .await;
    assert_eq!(old.0, 406);
}

#[tokio::test]
async fn what_belongs_to_a_node_is_there() {
    let bench = Bench::new(config()).await;
    bench.to_manageable().await;
    let traits = "/v1/nodes/n1/traits";
    assert_eq!(bench.call(Method::PUT, traits, Some(json!({"traits": ["CUSTOM_B", "CUSTOM_A"]}))).await.0, 204);
    assert_eq!(bench.call(Method::PUT, &format!("{traits}/HW_CPU_X86_VMX"), None).await.0, 204);
    assert_eq!(bench.get(traits).await, json!({"traits": ["CUSTOM_A", "CUSTOM_B", "HW_CPU_X86_VMX"]}));
    assert_eq!(bench.call(Method::DELETE, &format!("{traits}/CUSTOM_B"), None).await.0, 204);
    let (status, text) = bench.refused(Method::DELETE, &format!("{traits}/CUSTOM_B"), None).await;
    assert!(status == 404 && text.contains("doesn't have a trait 'CUSTOM_B'"), "{text}");
    assert_eq!(bench.refused(Method::PUT, traits, Some(json!({"traits": ["gold"]}))).await.0, 400);

    assert_eq!(bench.get("/v1/nodes/n1/vifs").await, json!({"vifs": []}));
    let vif = json!({"id": "fd5ba1b8-9ba4-46b5-8b1a-f8e5f4a8f7b9"});
    assert_eq!(bench.call(Method::POST, "/v1/nodes/n1/vifs", Some(vif)).await.0, 204);

    let history = bench.get("/v1/nodes/n1/history?detail=True").await;
    let entry = &history["history"][0];
    assert_eq!((&entry["event"], &entry["conductor"]), (&json!("enrolled"), &json!("conductor-stub")));
    assert!(entry["created_at"].as_str().unwrap().ends_with("+00:00"));
    let path = format!("/v1/nodes/n1/history/{}", entry["uuid"].as_str().unwrap());
    assert_eq!(bench.get(&path).await["event"], "enrolled");

    let uuid = bench.node().await["uuid"].clone();
    let blade = bench.create(json!({"name": "blade", "driver": "fake-hardware", "parent_node": "n1"})).await;
    assert_eq!(blade["parent_node"], uuid);
    assert_eq!(bench.get("/v1/nodes/n1/children").await["children"], json!([blade["uuid"]]));
    assert_eq!(names(&bench.get("/v1/nodes").await), ["n1"]);
    assert_eq!(names(&bench.get("/v1/nodes?include_children=True").await), ["n1", "blade"]);

    let states = bench.get("/v1/nodes/n1/states").await;
    assert_eq!((&states["provision_state"], &states["secure_boot"]), (&json!("manageable"), &Value::Null));
    let (_, states) = bench.call_as("1.11", Method::GET, "/v1/nodes/n1/states", None).await;
    assert_eq!(states.get("raid_config").or(states.get("boot_mode")), None);
}

#[tokio::test]
async fn conductors_and_drivers_say_what_they_can() {
    let bench = Bench::new(config()).await;
    let drivers = bench.get("/v1/drivers").await;
    let listed: Vec<&str> =
        drivers["drivers"].as_array().unwrap().iter().filter_map(|driver| driver["name"].as_str()).collect();
    assert!(listed.contains(&"redfish") && listed.contains(&"fake-hardware"), "{listed:?}");
    let redfish = bench.get("/v1/drivers/redfish").await;
    assert_eq!(redfish["default_boot_interface"], "redfish-https");
    assert!(redfish["enabled_boot_interfaces"].as_array().unwrap().contains(&json!("redfish-virtual-media")));
    let properties = bench.get("/v1/drivers/redfish/properties").await;
    assert!(properties["redfish_address"].as_str().unwrap().contains("Required"));
    assert!(bench.get("/v1/drivers/redfish/raid/logical_disk_properties").await["raid_level"].is_string());
    assert_eq!(bench.refused(Method::GET, "/v1/drivers/ipmi", None).await.0, 404);
    let host = bench.get("/v1/conductors/conductor-stub").await;
    assert!(host["alive"] == true && host["drivers"].as_array().unwrap().contains(&json!("redfish")), "{host}");
}

#[tokio::test]
async fn what_is_not_there_says_so() {
    let bench = Bench::new(config()).await;
    bench.enrol().await;
    for (path, words) in [
        ("/v1/chassis", "conductor-stub has no chassis."),
        ("/v1/portgroups/detail", "conductor-stub has no portgroups."),
        ("/v1/volume/targets", "conductor-stub has no volumes."),
        ("/v1/deploy_templates", "conductor-stub has no deploy templates."),
        ("/v1/runbooks", "conductor-stub has no runbooks."),
        ("/v1/nodes/n1/management/indicators/system", "conductor-stub has no indicators."),
        ("/v1/nodes/n2", "Node n2 could not be found."),
        ("/v1/no_such_thing", ""),
    ] {
        assert_eq!(bench.refused(Method::GET, path, None).await, (404, words.to_owned()), "{path}");
    }
    assert_eq!(bench.refused(Method::DELETE, "/v1/nodes", None).await.0, 405);
    let (status, text) = bench.refused(Method::GET, "/v1/nodes/a%20b", None).await;
    assert_eq!((status, text.as_str()), (400, "Expected UUID or name for node: a b"));
}

#[tokio::test]
async fn a_node_is_asked_for_by_what_it_is() {
    let bench = Bench::new(config()).await;
    bench.to_manageable().await;
    bench.patch(json!([
        {"op": "add", "path": "/resource_class", "value": "gold"}, {"op": "add", "path": "/automated_clean", "value": false},
    ])).await;
    bench.call(Method::PUT, "/v1/nodes/n1/traits", Some(json!({"traits": ["CUSTOM_A"]}))).await;
    bench.ask(json!({"target": "provide"})).await;
    let node = bench.reaches("available").await;

    let ask = async |body: Value| bench.call_as("1.111", Method::POST, "/v1/allocations", Some(body)).await;
    for (body, words) in [
        (json!({"resource_class": "silver"}), "no available nodes match the resource class silver"),
        (json!({"resource_class": "gold", "traits": ["CUSTOM_B"]}), "the requested traits CUSTOM_B"),
        (json!({"resource_class": "gold", "owner": "somebody"}), "no available nodes"),
    ] {
        let (status, refused) = ask(body).await;
        assert_eq!((status.as_u16(), &refused["state"]), (201, &json!("error")));
        assert!(refused["last_error"].as_str().unwrap().contains(words), "{refused}");
    }
    let (status, made) =
        ask(json!({"resource_class": "gold", "name": "mine", "traits": ["CUSTOM_A"], "candidate_nodes": ["n1"]})).await;
    assert_eq!((status.as_u16(), &made["state"], &made["node_uuid"]), (201, &json!("active"), &node["uuid"]));
    let node = bench.node().await;
    assert_eq!((&node["instance_uuid"], &node["allocation_uuid"]), (&made["uuid"], &made["uuid"]));
    assert_eq!(node["instance_info"]["traits"], json!(["CUSTOM_A"]));
    assert_eq!(bench.get("/v1/nodes/n1/allocation").await["name"], "mine");
    assert_eq!(bench.get("/v1/allocations?state=active").await["allocations"].as_array().unwrap().len(), 1);
    let (status, text) =
        bench.refused(Method::POST, "/v1/allocations", Some(json!({"resource_class": "x", "name": "mine"}))).await;
    assert!(status == 409 && text.contains("name mine already exists"), "{status} {text}");
    let rename = json!([{"op": "replace", "path": "/name", "value": "ours"}]);
    assert_eq!(bench.call(Method::PATCH, "/v1/allocations/mine", Some(rename)).await.0, 200);

    assert_eq!(bench.call(Method::DELETE, "/v1/allocations/ours", None).await.0, 204);
    assert_eq!(bench.node().await["instance_uuid"], Value::Null);
    assert_eq!(bench.refused(Method::GET, "/v1/allocations/ours", None).await.0, 404);

    // Who takes the instance away takes the allocation away.
    let (_, made) = ask(json!({"resource_class": "gold"})).await;
    bench.patch(json!([{"op": "remove", "path": "/instance_uuid"}])).await;
    assert_eq!(
        bench.refused(Method::GET, &format!("/v1/allocations/{}", made["uuid"].as_str().unwrap()), None).await.0,
        404
    );
    let (status, text) = bench.refused(Method::POST, "/v1/allocations", Some(json!({"node": "n1"}))).await;
    assert!(status == 409 && text.contains("must be in the \"active\" state"), "{status} {text}");
}

/// docs/api.md says of every path which methods it has, or that there is none.
#[tokio::test]
async fn the_page_about_the_api_is_true() {
    let bench = Bench::new(config()).await;
    bench.enrol().await;
    // One that found no node is one all the same.
    bench.call(Method::POST, "/v1/allocations", Some(json!({"name": "a1", "resource_class": "none"}))).await;
    let page = include_str!("../../../docs/api.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| `/"))
        .map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect())
        .collect();
    assert!(rows.len() > 40, "{}", rows.len());
    for row in rows {
        let path = row[1]
            .replace("{node}", "n1")
            .replace("{driver}", "redfish")
            .replace("{conductor}", "conductor-stub")
            .replace("{allocation}", "a1");
        let path = path.replace(['{', '}'], "");
        if row[3] == "absent" {
            let (status, text) = bench.refused(Method::GET, &path, None).await;
            assert!(status == 404 && text.starts_with("conductor-stub has no "), "{path}: {status} {text}");
            continue;
        }
        let allowed = bench.methods(&path).await;
        let listed: Vec<&str> = row[2].split(", ").collect();
        assert_eq!(allowed.split(',').filter(|method| *method != "HEAD").collect::<Vec<_>>(), listed, "{path}");
    }
}
