//! What must not be in the log, whatever its level.

use serde_json::json;

use crate::fixture::{Ironic, NODE, Setup, TOKEN, looked_up};

const SECRET: &str = "s3cr3t";

#[tokio::test]
async fn secrets_are_in_no_log() {
    let secret = |name: &str| format!("{SECRET}-{name}");
    let node = json!({
        "uuid": NODE,
        "properties": {},
        "driver_info": {"redfish_password": secret("bmc")},
        "driver_internal_info": {"agent_secret_token": secret("token"), "agent_url": "http://192.0.2.5:9999"},
        "instance_info": {
            "configdrive": secret("drive"),
            "image_request_authorization": secret("authorization"),
            "image_source": format!("http://user:{}@192.0.2.1/image", secret("url")),
            "rescue_password": secret("rescue"),
            "hashed_rescue_password": secret("hash"),
        },
    });
    for debug in [false, true] {
        let ironic = Ironic::start().await;
        let config = json!({"heartbeat_timeout": 300, "agent_token": TOKEN});
        ironic.answer_first("/v1/lookup", [(200, json!({"node": node, "config": config}))]);
        let mut setup = Setup::new();
        if debug {
            setup.switch("--debug");
        }
        let agent = looked_up(&mut setup, &ironic).await;
        let image = json!({
            "id": "image", "urls": [format!("http://user:{}@127.0.0.1:1/image", secret("url"))],
            "image_request_authorization": "Bearer", "image_request_authorization_secret": secret("bearer"),
            "os_hash_algo": "sha256", "os_hash_value": "0".repeat(64), "configdrive": secret("drive"),
        });
        let files = json!([{"path": "/etc/key", "content": secret("file")}]);
        let step = json!({"interface": "deploy", "step": "inject_files", "priority": 1, "args": {"files": files}});
        for (command, params) in [
            ("deploy.get_deploy_steps", json!({"node": node, "ports": []})),
            ("standby.prepare_image", json!({"image_info": image, "configdrive": secret("drive")})),
            ("deploy.execute_deploy_step", json!({"step": step, "node": node, "ports": [], "deploy_version": null})),
            ("rescue.finalize_rescue", json!({"rescue_password": secret("rescue"), "no_such_parameter": 1})),
        ] {
            agent.command(command, params, true).await;
            assert!(agent.log().contains(&format!("command received command=\"{command}\"")), "{}", agent.log());
        }
        let log = agent.log();
        assert_eq!(log.contains("parameters={"), debug, "parameters are for the level debug: {log}");
        assert!(!log.contains(SECRET) && !log.contains(TOKEN), "{log}");
    }
}
