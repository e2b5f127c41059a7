//! Files of the conductor's host that are not for machines.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use conductor_stub::config::{AuthStrategy, Config};
use conductor_stub::server::Server;
use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::{Bench, config};

/// A node in `available`.
async fn available() -> Bench {
    let bench = Bench::new(Config { automated_clean: false, ..config() }).await;
    bench.to_manageable().await;
    bench.ask(json!({"target": "provide"})).await;
    bench.reaches("available").await;
    bench
}

async fn set(bench: &Bench, patch: Value) {
    let (status, body) = bench.call(Method::PATCH, "/v1/nodes/n1", Some(patch)).await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn only_files_of_the_allowed_folders_are_images() {
    let bench = available().await;
    let link = bench.state.path().join("link");
    std::os::unix::fs::symlink("/etc/shadow", &link).unwrap();
    let database = bench.state.path().join("conductor/conductor.sqlite");
    let escape = bench.state.path().join("../../etc/shadow");
    let texts = [&link, &database, &escape].map(|path| path.display().to_string());
    for (interface, key) in [("direct", "image_source"), ("ramdisk", "boot_iso")] {
        for source in
            ["/etc/shadow", "file:///etc/shadow", "file:///etc/does-not-exist", &texts[0], &texts[1], &texts[2]]
        {
            set(&bench, json!([{"op": "add", "path": "/deploy_interface", "value": interface}, {"op": "add", "path": "/instance_info", "value": {key: source}}])).await;
            let (_, verdict) = bench.call(Method::GET, "/v1/nodes/n1/validate", None).await;
            assert_eq!(verdict["deploy"]["result"], false, "{verdict}");
            let (status, body) =
                bench.call(Method::PUT, "/v1/nodes/n1/states/provision", Some(json!({"target": "active"}))).await;
            assert!(status == 400 && body.to_string().contains("file_url_allowed_paths"), "{source}: {status} {body}");
        }
    }
}

#[tokio::test]
async fn a_file_that_leads_elsewhere_later_is_not_served() {
    let bench = Bench::new(config()).await;
    bench.enrol().await;
    let folder = bench.state.path().join("images");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.canonicalize().unwrap().join("x.raw");
    std::fs::write(&file, "an image").unwrap();
    let uuid = bench.node().await["uuid"].as_str().unwrap().parse().unwrap();
    let url = bench.server.conductor.artefacts.publish(uuid, "x.raw", &file).unwrap();
    assert_eq!(reqwest::get(&url).await.unwrap().text().await.unwrap(), "an image");
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", &file).unwrap();
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 404);
}

#[tokio::test]
async fn logs_and_memory_of_local_processes_stay_in_the_allowed_folders() {
    let enabled_hardware_types = vec!["local-process".into()];
    let bench = Bench::new(Config { enabled_hardware_types, ..config() }).await;
    let outside = tempfile::tempdir().unwrap();
    let precious = outside.path().join("precious");
    std::fs::create_dir(&precious).unwrap();
    for (key, path) in
        [("log", outside.path().join("log")), ("memory", precious.clone()), ("memory", bench.state.path().to_owned())]
    {
        let node = json!({"name": "p1", "driver": "local-process", "driver_info": {"command": ["true"], key: path}});
        bench.call(Method::POST, "/v1/nodes", Some(node)).await;
        let (status, body) =
            bench.call(Method::PUT, "/v1/nodes/p1/states/provision", Some(json!({"target": "manage"}))).await;
        assert!(status == 400 && body.to_string().contains(&format!("driver_info/{key}")), "{status} {body}");
        assert_eq!(bench.call(Method::DELETE, "/v1/nodes/p1", None).await.0, 204);
    }
    assert!(precious.exists());
}

/// What a conductor without options says to an image in the temporary directory.
async fn verdict(config: Config, file: &Path) -> String {
    conductor_stub::tls::use_ring();
    let state = tempfile::tempdir().unwrap();
    let server = Server::start(config, state.path(), ([127, 0, 0, 1], 0).into()).await.unwrap();
    let client = reqwest::Client::new();
    let info = json!({"image_source": file});
    let node = json!({"name": "n1", "driver": "fake-hardware", "instance_info": info});
    let url = format!("{}/v1/nodes", server.url);
    let version = ("X-OpenStack-Ironic-API-Version", "1.95");
    let send = async |request: reqwest::RequestBuilder| {
        let answer = request.basic_auth("admin", Some("s3cret")).header(version.0, version.1).send().await.unwrap();
        answer.json::<Value>().await.unwrap()
    };
    send(client.post(&url).json(&node)).await;
    let verdict = send(client.get(format!("{url}/n1/validate"))).await;
    server.stop().await;
    verdict["deploy"].to_string()
}

#[tokio::test]
async fn the_temporary_directory_is_for_trials_on_this_host() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("image.raw");
    std::fs::write(&file, "an image").unwrap();
    let set_mode = |mode| std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    set_mode(0o644);
    let said = verdict(Config::default(), &file).await;
    assert!(said.contains("true"), "{said}");
    set_mode(0o600);
    let said = verdict(Config::default(), &file).await;
    assert!(said.contains("not for everybody to read"), "somebody's own file: {said}");
    set_mode(0o644);
    let said = verdict(Config { file_url_allowed_paths: Some(Vec::new()), ..Config::default() }, &file).await;
    assert!(said.contains("is not below a folder"), "no folder was named: {said}");
    let users = folder.path().join("htpasswd");
    std::fs::write(&users, format!("admin:{}\n", bcrypt::hash("s3cret", 4).unwrap())).unwrap();
    let auth_strategy = AuthStrategy::HttpBasic;
    let said = verdict(Config { auth_strategy, http_basic_auth_user_file: users, ..Config::default() }, &file).await;
    assert!(said.contains("is not below a folder"), "users of the network: {said}");
}
