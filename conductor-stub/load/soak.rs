//! Machines that are deployed and undeployed all the time, under a conductor that is killed again and again: every machine gets
//! where it is to be, nothing is done twice, and memory does not grow.
//!
//! `SOAK_SECONDS` (3) says for how long, `SOAK_MACHINES` (20) with how many.

#[expect(dead_code, reason = "the benchmark measures more")]
mod conductor;
#[expect(dead_code, reason = "the benchmark measures more")]
mod fleet;

use std::time::{Duration, Instant};

use rand::RngExt;
use reqwest::{Client, Method};
use serde_json::json;

use conductor::Conductor;
use fleet::{Fleet, all};

fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Memory that a conductor of so few machines never needs, MiB (a debug build).
const MEMORY_MIB: u64 = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_conductors_come_and_go() {
    conductor_stub::tls::use_ring();
    let options = json!({"require_tls": false, "callback_timeout_seconds": 120, "boot_retry_timeout_seconds": 4,
        "check_interval_seconds": 0.5, "command_wait_interval_seconds": 0.1, "power_off_wait_seconds": 0.35});
    let mut conductor = Conductor::start(&options).await.unwrap();
    let client = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
    let fleet = Fleet::start(&conductor.url, Duration::from_secs(1), client).await.unwrap();
    let end = Instant::now() + Duration::from_secs(setting("SOAK_SECONDS", 3).into());
    let machines = setting("SOAK_MACHINES", 20);
    let lives = tokio::spawn({
        let fleet = fleet.clone();
        async move {
            all(machines, |number| {
                let fleet = fleet.clone();
                async move {
                    let node = fleet.enrol(number).await?;
                    fleet.go(node, number, "manage", "manageable").await?;
                    fleet.go(node, number, "provide", "available").await?;
                    let mut rounds = 0;
                    while Instant::now() < end || rounds == 0 {
                        let info =
                            json!({"image_source": "http://192.0.2.1/image.raw", "image_checksum": "0".repeat(32)});
                        let patch = json!([{"op": "add", "path": "/instance_info", "value": info}]);
                        fleet.call(Method::PATCH, &format!("/v1/nodes/{node}"), Some(&patch)).await?;
                        fleet.go(node, number, "active", "active").await?;
                        fleet.go(node, number, "deleted", "available").await?;
                        rounds += 1;
                    }
                    Ok((node, rounds))
                }
            })
            .await
        }
    });
    let mut kills = 0;
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(200..3000))).await;
        assert!(conductor.memory_mib().unwrap() < MEMORY_MIB, "{} MiB", conductor.memory_mib().unwrap());
        conductor.kill_and_start().await.unwrap();
        kills += 1;
    }
    let lives = lives.await.unwrap().unwrap();
    let rounds: usize = lives.iter().map(|(_, rounds)| rounds).sum();
    for (node, rounds) in lives {
        let mut expected = vec!["execute_clean_step erase_devices_metadata"];
        for _ in 0..rounds {
            expected.extend(["execute_deploy_step write_image", "execute_clean_step erase_devices_metadata"]);
        }
        assert_eq!(fleet.steps(node), expected, "{node}");
    }
    assert!(conductor.memory_mib().unwrap() < MEMORY_MIB, "{} MiB", conductor.memory_mib().unwrap());
    println!("{machines} machines, {rounds} lives, {kills} conductors killed, {} MiB", conductor.memory_mib().unwrap());
}
