//! What one conductor can stand: prints figures, asserts that nothing is lost.
//!
//! `cargo bench -p conductor-stub --bench load -- [life|heartbeats|lists|artefacts|variants]… [MACHINES]`

#[expect(dead_code, reason = "nobody kills it here")]
mod conductor;
mod fleet;
mod live_iso;
mod readers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use conductor_stub::config::Config;
use conductor_stub::coreos::agent::CoreosIpa;
use conductor_stub::media::Medium;
use conductor_stub::node::{Node, Spec};
use conductor_stub::ramdisk::sources::Sources;
use conductor_stub::ramdisk::{ByConfiguration, Ramdisk, Ramdisks};
use conductor_stub::server::Server;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use uuid::Uuid;

use conductor::Conductor;
use fleet::{Fleet, all};
use readers::{Nginx, client, fetch};

/// How often the agents of a fleet call when nothing happens.
const PERIOD: Duration = Duration::from_secs(60);
/// For how long heartbeats are measured.
const WINDOW: Duration = Duration::from_secs(60);
/// What each of the readers fetches, for this many of them.
const READERS: [(u32, u64); 2] = [(1, 2048 << 20), (200, 16 << 20)];

#[tokio::main]
async fn main() -> Result<()> {
    conductor_stub::tls::use_ring();
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let machines = words.iter().find_map(|word| word.parse().ok());
    let wanted =
        |name: &str| !words.iter().any(|word| word.parse::<u32>().is_err()) || words.iter().any(|word| word == name);
    if wanted("life") {
        life(machines.unwrap_or(1000)).await?;
    }
    if wanted("heartbeats") || wanted("lists") {
        waiting(machines.unwrap_or(10_000), wanted("lists"), wanted("heartbeats")).await?;
    }
    if wanted("artefacts") {
        artefacts().await?;
    }
    if wanted("variants") {
        variants(machines.unwrap_or(1000)).await?;
    }
    Ok(())
}

fn options() -> Value {
    json!({"require_tls": false, "command_wait_interval_seconds": 0.2, "power_off_wait_seconds": 0.7,
        "callback_timeout_seconds": 600, "file_url_allowed_paths": [std::env::temp_dir()]})
}

fn image() -> Value {
    json!([{"op": "add", "path": "/instance_info", "value": {
        "image_source": "http://192.0.2.1/image.raw", "image_os_hash_algo": "sha256", "image_os_hash_value": "0".repeat(64)}}])
}

/// Enrol, inspect, clean and deploy, all machines at once.
async fn life(machines: u32) -> Result<()> {
    let conductor = Conductor::start(&options()).await?;
    let fleet = Fleet::start(&conductor.url, PERIOD, Client::new()).await?;
    let start = Instant::now();
    let nodes = all(machines, |number| {
        let fleet = fleet.clone();
        async move {
            let node = fleet.enrol(number).await?;
            for (target, state) in [("manage", "manageable"), ("inspect", "manageable"), ("provide", "available")] {
                fleet.go(node, number, target, state).await?;
            }
            fleet.call(Method::PATCH, &format!("/v1/nodes/{node}"), Some(&image())).await?;
            fleet.go(node, number, "active", "active").await?;
            Ok(node)
        }
    })
    .await?;
    let seconds = start.elapsed().as_secs_f64();
    let expected = ["execute_clean_step erase_devices_metadata", "execute_deploy_step write_image"];
    for node in &nodes {
        let steps = fleet.steps(*node);
        ensure!(steps == expected, "{node}: {steps:?}");
    }
    let (median, p99, requests) = fleet.latencies();
    println!(
        "life: {machines} machines enrolled, inspected, cleaned and deployed in {seconds:.1} s, none lost; {requests} requests of \
         their owners, median {median:.1?}, 99 % below {p99:.1?}; conductor: {:.1} s of processor, at most {} MiB",
        conductor.cpu_seconds()?,
        conductor.peak_mib()?
    );
    Ok(())
}

/// Machines in the middle of cleaning: lists of them, and their heartbeats.
async fn waiting(machines: u32, lists: bool, heartbeats: bool) -> Result<()> {
    let conductor = Conductor::start(&options()).await?;
    let fleet = Fleet::start(&conductor.url, PERIOD, Client::new()).await?;
    let mut nodes: Vec<(u32, Uuid)> = Vec::new();
    // Not all at once: it is not their way here that counts.
    let turns = Arc::new(tokio::sync::Semaphore::new(32));
    nodes.extend(
        all(machines, |number| {
            let (fleet, turns) = (fleet.clone(), turns.clone());
            async move {
                let _turn = turns.acquire().await?;
                let node = fleet.enrol(number).await?;
                fleet.never_ends(node);
                fleet.go(node, number, "manage", "manageable").await?;
                let body = json!({"target": "provide"});
                fleet.call(Method::PUT, &format!("/v1/nodes/{node}/states/provision"), Some(&body)).await?;
                while fleet.steps(node).is_empty() {
                    fleet.beat(node, number).await;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Ok((number, node))
            }
        })
        .await?,
    );
    if heartbeats {
        beats(&conductor, &fleet, &nodes).await?;
    }
    if lists {
        pages(&fleet, machines as usize).await?;
    }
    Ok(())
}

/// Every machine calls once a minute.
async fn beats(conductor: &Conductor, fleet: &Fleet, nodes: &[(u32, Uuid)]) -> Result<()> {
    let pause = PERIOD / u32::try_from(nodes.len())?;
    let start = Instant::now();
    let cpu = conductor.cpu_seconds()?;
    let mut tick = tokio::time::interval(pause);
    for (number, node) in nodes.iter().cycle() {
        tick.tick().await;
        if start.elapsed() > WINDOW {
            break;
        }
        let (fleet, number, node) = (fleet.clone(), *number, *node);
        tokio::spawn(async move { fleet.beat(node, number).await });
    }
    let share = 100.0 * (conductor.cpu_seconds()? - cpu) / start.elapsed().as_secs_f64();
    println!(
        "heartbeats: {} machines at a step, a heartbeat each minute: {share:.1} % of one core, {} MiB, at most {} MiB",
        nodes.len(),
        conductor.memory_mib()?,
        conductor.peak_mib()?
    );
    Ok(())
}

async fn pages(fleet: &Fleet, machines: usize) -> Result<()> {
    for path in ["/v1/nodes", "/v1/nodes/detail"] {
        fleet.latencies();
        let (mut marker, mut seen, mut longest) = (String::new(), 0, Duration::ZERO);
        loop {
            let start = Instant::now();
            let page = fleet.call(Method::GET, &format!("{path}?limit=1000{marker}"), None).await?;
            longest = longest.max(start.elapsed());
            let nodes = page["nodes"].as_array().context("a list")?;
            seen += nodes.len();
            let Some(last) = nodes.last().filter(|_| page["next"].is_string()) else { break };
            marker = format!("&marker={}", last["uuid"].as_str().context("a UUID")?);
        }
        ensure!(seen == machines, "{seen} of {machines}");
        let (median, _, requests) = fleet.latencies();
        println!(
            "lists: {machines} machines by GET {path} in {requests} pages of 1000: median {median:.1?}, longest {longest:.1?}"
        );
    }
    Ok(())
}

/// Files for machines, beside nginx.
async fn artefacts() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".into()])?;
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    std::fs::write(&certificate, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    for (_, bytes) in READERS {
        std::fs::File::create(path(&format!("{bytes}.raw")))?.set_len(bytes)?;
    }
    let nginx = Nginx::start(folder.path(), &certificate, &key).await?;
    let client = client(&certificate)?;
    for tls in [false, true] {
        let mut options = options();
        options["file_url_allowed_paths"] = json!([folder.path()]);
        if tls {
            (options["enable_ssl_api"], options["ssl_cert_file"]) = (true.into(), json!(certificate));
            options["ssl_key_file"] = json!(key);
        }
        let conductor = Conductor::start(&options).await?;
        let fleet = Fleet::start(&conductor.url, PERIOD, client.clone()).await?;
        for (number, (readers, bytes)) in (0..).zip(READERS) {
            let name = format!("{bytes}.raw");
            let url = published(&fleet, number, &path(&name)).await?;
            conductor.forget_peak()?;
            let cpu = conductor.cpu_seconds()?;
            let ours = fetch(&client, &url, readers, bytes).await?;
            let (memory, cpu) = (conductor.peak_mib()?, conductor.cpu_seconds()? - cpu);
            let theirs = fetch(&client, &format!("{}/{name}", nginx.urls[usize::from(tls)]), readers, bytes).await?;
            let way = if tls { "TLS" } else { "plain" };
            println!(
                "artefacts: {way}, {readers} readers: {ours:.0} MiB/s in {cpu:.1} s of processor, at most {memory} MiB; nginx: {theirs:.0} MiB/s"
            );
        }
    }
    Ok(())
}

/// The URL under which the agent of a new machine is given `file`.
async fn published(fleet: &Fleet, number: u32, file: &std::path::Path) -> Result<String> {
    let node = fleet.enrol(number).await?;
    fleet.never_ends(node);
    fleet.go(node, number, "manage", "manageable").await?;
    let patch = json!([{"op": "add", "path": "/automated_clean", "value": false},
        {"op": "add", "path": "/instance_info", "value": {"image_source": file}}]);
    fleet.call(Method::PATCH, &format!("/v1/nodes/{node}"), Some(&patch)).await?;
    fleet.go(node, number, "provide", "available").await?;
    let body = json!({"target": "active"});
    fleet.call(Method::PUT, &format!("/v1/nodes/{node}/states/provision"), Some(&body)).await?;
    while fleet.steps(node).is_empty() {
        fleet.beat(node, number).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(fleet.last_step(node)["image_info"]["urls"][0].as_str().context("a URL")?.to_owned())
}

/// The time from a new node to the first bytes of its variant of an ISO, with an Ignition config of its own.
async fn variants(machines: u32) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let iso = live_iso::live_iso(folder.path(), 100)?;
    let server = Server::start(Config::default(), &folder.path().join("state"), ([127, 0, 0, 1], 0).into()).await?;
    let artefacts = Arc::clone(&server.conductor.artefacts);
    let ipa = CoreosIpa { agent_image: "registry.example:5000/ferric/agent:1".into(), ..CoreosIpa::default() };
    let site = ipa.site(&server.url, None)?;
    let media = Arc::clone(&server.conductor.media);
    let sources = Sources { named: ByConfiguration::default(), coreos: None, media };
    let ramdisks = Ramdisks { sources, arguments: String::new(), coreos: Some(site), artefacts };
    let base = Ramdisk::live_iso(Medium::of_host(iso));
    let client = Client::new();
    let mut times = Vec::new();
    for number in 0..machines {
        let start = Instant::now();
        let token = format!("ipa-agent-token={number:043}").parse()?;
        let node = Node::new(Uuid::new_v4(), Spec::default());
        let url = ramdisks.issue(&node, base.clone(), vec![token]).await?;
        let first = client.get(url).header("Range", "bytes=0-2047").send().await?.error_for_status()?.bytes().await?;
        times.push(start.elapsed());
        ensure!(first.len() == 2048, "{} bytes", first.len());
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "variants: {machines} of an ISO of 100 MiB, from a new node to its first bytes: median {:.1?}, 99 % below {:.1?}",
        at(0.5),
        at(0.99)
    );
    server.stop().await;
    Ok(())
}
