//! Waiting for a disk at start-up.

use crate::fixture::{Ironic, Setup, eventually, looked_up};

#[tokio::test]
async fn a_machine_without_a_disk_says_what_it_waits_for_and_goes_on() {
    let ironic = Ironic::start().await;
    let mut setup = Setup::new();
    setup.flag("--disk-wait-attempts", "2").flag("--disk-wait-delay", "1");
    let agent = looked_up(&mut setup, &ironic).await;
    ironic.wait_for("/v1/heartbeat/", 1).await;
    let log = eventually("the log", async || Some(agent.log()).filter(|log| log.contains("no root device"))).await;
    let told: Vec<&str> = log.lines().filter(|line| line.contains("waiting for the root device")).collect();
    assert_eq!(told.len(), 1, "{log}");
    assert!(told[0].contains("INFO") && told[0].contains("seconds=1"), "{}", told[0]);
}
