//! What a statsd server gets.

use serde_json::json;
use tokio::net::UdpSocket;

use crate::fixture::{Ironic, Setup, TIMEOUT, looked_up, step};

/// Waits for a metric with this name and returns its value and type.
async fn metric(server: &UdpSocket, name: &str) -> String {
    let mut datagram = [0; 500];
    let found = async {
        loop {
            let length = server.recv(&mut datagram).await.unwrap();
            let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
            if let Some((_, value)) = text.split_once(':').filter(|(found, _)| *found == name) {
                return value.to_string();
            }
        }
    };
    tokio::time::timeout(TIMEOUT, found).await.unwrap_or_else(|_| panic!("no metric {name}"))
}

#[tokio::test]
async fn ironic_says_where_metrics_go_and_requests_and_commands_are_measured() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let ironic = Ironic::start().await;
    let port = server.local_addr().unwrap().port();
    ironic.configure("metrics", json!({"backend": "statsd", "prepend_uuid": false, "global_prefix": "site"}));
    ironic.configure("metrics_statsd", json!({"statsd_host": "127.0.0.1", "statsd_port": port}));
    let mut setup = Setup::new();
    setup.plugin();
    let agent = looked_up(&mut setup, &ironic).await;
    agent.commands().await;
    let value = metric(&server, "site.ironic_python_agent.api.app.list_commands").await;
    assert!(value.strip_suffix("|ms").unwrap().parse::<f64>().unwrap() >= 0.0, "{value}");

    agent
        .command("clean.execute_clean_step", step("clean", json!({"step": "wait", "interface": "deploy"})), false)
        .await;
    assert_eq!(metric(&server, "site.ironic_python_agent.command.execute_clean_step.done_bytes").await, "1|g");
    setup.release();
    let value = metric(&server, "site.ironic_python_agent.command.execute_clean_step").await;
    assert!(value.ends_with("|ms"), "{value}");
    agent.command("clean.execute_clean_step", step("clean", json!({"step": "nothing"})), true).await;
    assert_eq!(metric(&server, "site.ironic_python_agent.command.execute_clean_step.failed").await, "1|c");
}
