//! Which node am I: ask Ironic, wait, back off, keep the token, take over what Ironic configures.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ferric_steps::error::chain;
use ferric_steps::http::Request;
use rand::RngExt;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::agent::Agent;
use crate::config::options;
use crate::config::settings::Lookup;
use crate::ironic::{self, Failure, Ironic};
use crate::token::{MASKED, Token};

/// The longest pause between two look-ups, before jitter, in seconds.
const LONGEST_PAUSE_SECONDS: f64 = 60.0;

/// Why no node was found.
#[derive(Debug, thiserror::Error)]
#[error("could not look up the node within {} s: {reason}", .after.as_secs())]
pub struct NotFound {
    after: Duration,
    reason: String,
}

/// What the answer says about the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// There is one, or the conductor does without.
    Granted,
    /// The conductor has given a token to somebody else, perhaps to this agent before it lost its memory.
    Refused,
}

/// Looks up the node, again and again, until the time for that is over. What ran before in this boot is believed when
/// Ironic does not answer at once.
///
/// # Errors
/// `lookup_timeout` has passed.
pub async fn run(
    agent: &Agent,
    ironic: &Ironic,
    macs: &[String],
    node_uuid: Option<&str>,
) -> Result<Admission, NotFound> {
    let Lookup { timeout, interval } = agent.settings().lookup.clone();
    let before = agent.lookup();
    let known_uuid = before["node"]["uuid"].as_str().map(str::to_string);
    let node_uuid = node_uuid.or(known_uuid.as_deref());
    let started = Instant::now();
    for attempt in 1.. {
        let reason = match ask(ironic, macs, node_uuid).await {
            Ok(answer) => return Ok(apply(agent, answer)),
            Err(reason) => reason,
        };
        if !before.is_null() {
            warn!(reason = chain(&reason), "look-up failed, going on as the agent that ran before");
            return Ok(apply(agent, before));
        }
        if started.elapsed() >= timeout {
            return Err(NotFound { after: started.elapsed(), reason: chain(&reason) });
        }
        let pause = pause(attempt, interval.as_secs_f64());
        warn!(reason = chain(&reason), seconds = pause.as_secs_f64(), "look-up failed, trying again");
        tokio::time::sleep(pause).await;
    }
    unreachable!("attempts are not limited by number")
}

/// Between `interval` and twice as much with every attempt, never more than a minute.
fn pause(attempt: u32, interval: f64) -> Duration {
    let longest = 2_f64.powi(attempt.min(30) as i32 - 1).min(LONGEST_PAUSE_SECONDS).max(interval);
    Duration::from_secs_f64(rand::rng().random_range(interval..=longest))
}

async fn ask(ironic: &Ironic, macs: &[String], node_uuid: Option<&str>) -> Result<Value, Failure> {
    let mut query = vec![("addresses", macs.join(","))];
    query.extend(node_uuid.map(|uuid| ("node_uuid", uuid.to_string())));
    let prepare = |request: Request| request.query(&query);
    let answer = ironic.call(Method::GET, "/v1/lookup", ironic::AGENT_TOKEN, StatusCode::OK, prepare).await?;
    parse(answer).map_err(Failure::Content)
}

/// Checks the answer to a look-up and brings that of old servers into today's form.
///
/// # Errors
/// What is missing.
pub fn parse(mut answer: Value) -> Result<Value, String> {
    if !answer["node"]["uuid"].is_string() {
        return Err("the answer to the look-up names no node".to_string());
    }
    if !answer["config"].is_object() {
        answer["config"] = json!({ "heartbeat_timeout": answer["heartbeat_timeout"] });
    }
    if !answer["config"]["heartbeat_timeout"].is_number() {
        return Err("the answer to the look-up has no heartbeat_timeout".to_string());
    }
    Ok(answer)
}

/// Takes over what Ironic says: node, token, options.
pub fn apply(agent: &Agent, answer: Value) -> Admission {
    let mut admission = Admission::Granted;
    match answer["config"]["agent_token"].as_str() {
        Some(MASKED) if agent.token.text().is_none() => admission = Admission::Refused,
        Some(MASKED) | None => {}
        Some(token) if Token::is_acceptable(token) => {
            if agent.token.text().is_some_and(|own| own != token) {
                // A new token means that the conductor takes this for a fresh boot: old commands would confuse it.
                agent.forget();
            }
            agent.token.adopt(token);
        }
        Some(_) => warn!("Ironic sent an invalid token, ignoring it"),
    }
    configure(agent, &answer["config"]);
    info!(node = answer["node"]["uuid"].as_str(), "node found");
    agent.set_node(answer["node"].clone());
    let mut kept = answer;
    if let Some(config) = kept["config"].as_object_mut() {
        // It is kept beside, and the answer may be shown.
        config.remove("agent_token");
    }
    agent.set_lookup(kept);
    agent.save();
    admission
}

/// Options that Ironic sets. A value that is not good is skipped: newer servers may know more.
fn configure(agent: &Agent, config: &Value) {
    agent.configure(|own| {
        let mut set = |spec, value: &Value| {
            let text = match value {
                Value::Null => return,
                Value::String(text) => text.clone(),
                Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
                other => other.to_string(),
            };
            if let Err(error) = own.set(spec, &text, "look-up") {
                warn!(%error, "ignoring an option from Ironic");
            }
        };
        set(&options::MD5_ENABLED, &config["agent_md5_checksum_enable"]);
        set(&options::DISABLE_DEEP_IMAGE_INSPECTION, &config["disable_deep_image_inspection"]);
        set(&options::PERMITTED_IMAGE_FORMATS, &config["permitted_image_formats"]);
        if config["enable_bios_bootloader_install"] == true {
            set(&options::ENABLE_BIOS_BOOTLOADER_INSTALL, &json!(true));
        }
        for (spec, key) in
            [(&options::TLS_MIN_VERSION, "tls_min_version"), (&options::TLS_CIPHER_SUITES, "tls_cipher_suites")]
        {
            if config[key].as_str().is_some_and(|text| !text.is_empty()) {
                set(spec, &config[key]);
            }
        }
        for (group, key) in
            [("container", "agent_containers"), ("metrics", "metrics"), ("metrics_statsd", "metrics_statsd")]
        {
            for spec in options::ALL.iter().filter(|spec| spec.group == group) {
                set(spec, &config[key][spec.name]);
            }
        }
    });
}

/// Asks once more for the node, as its instance data may have changed. Nothing happens when that fails.
pub async fn refresh(agent: &Arc<Agent>) {
    let Some((ironic, uuid)) = agent.ironic().zip(agent.node_uuid()) else { return };
    match ask(&ironic, &[], Some(&uuid)).await {
        Ok(answer) => agent.set_node(answer["node"].clone()),
        Err(reason) => warn!(reason = chain(&reason), "cannot refresh the node, using what is known"),
    }
}

#[cfg(test)]
mod tests {
    use ferric_hardware::machine::Machine;
    use ferric_steps::options::Runner;

    use super::*;
    use crate::config::Config;

    fn agent() -> (tempfile::TempDir, Arc<Agent>) {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::with_defaults();
        config.set(&options::STATE_DIR, directory.path().to_str().unwrap(), "test").unwrap();
        let machine = Machine::at(directory.path());
        (directory, Agent::new(machine, config).unwrap())
    }

    fn answer(config: Value) -> Value {
        let mut answer = json!({"node": {"uuid": "u"}, "config": {"heartbeat_timeout": 300}});
        answer["config"].as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        answer
    }

    #[test]
    fn answers_are_checked_and_old_ones_understood() {
        assert!(parse(json!({"node": {}})).is_err());
        assert!(parse(json!({"node": {"uuid": "u"}})).is_err());
        let old = parse(json!({"node": {"uuid": "u"}, "heartbeat_timeout": 60})).unwrap();
        assert_eq!(old["config"]["heartbeat_timeout"], 60);
    }

    #[test]
    fn tokens_are_adopted_kept_or_missed() {
        let (_directory, agent) = agent();
        assert_eq!(apply(&agent, answer(json!({"agent_token": MASKED}))), Admission::Refused);
        assert_eq!(apply(&agent, answer(json!({"agent_token": "short"}))), Admission::Granted);
        assert_eq!(agent.token.text(), None);
        let token = "t".repeat(43);
        apply(&agent, answer(json!({ "agent_token": token })));
        assert_eq!(apply(&agent, answer(json!({"agent_token": MASKED}))), Admission::Granted);
        assert_eq!(agent.token.text(), Some(token));
        assert!(!agent.lookup().to_string().contains("ttt"));
    }

    #[test]
    fn a_new_token_means_a_new_boot_for_the_conductor() {
        let (_directory, agent) = agent();
        agent.token.adopt(&"a".repeat(43));
        let record =
            json!([{"id": uuid::Uuid::new_v4(), "name": "x", "status": "FAILED", "error": null, "result": null}]);
        agent.commands.restore(serde_json::from_value(record).unwrap());
        apply(&agent, answer(json!({"agent_token": "a".repeat(43)})));
        assert_eq!(agent.commands.documents().len(), 1);
        apply(&agent, answer(json!({"agent_token": "b".repeat(43)})));
        assert_eq!(agent.commands.documents().len(), 0);
    }

    #[test]
    fn ironic_sets_options() {
        let (_directory, agent) = agent();
        apply(
            &agent,
            answer(json!({"agent_md5_checksum_enable": true, "permitted_image_formats": ["raw", "iso"],
                "tls_min_version": "1.3", "tls_cipher_suites": null, "enable_bios_bootloader_install": false,
                "agent_containers": {"runner": "docker", "unknown": 1, "run_options": ["--rm"]}, "unknown": {}})),
        );
        let options = agent.site().options;
        assert!(options.image.md5 && !options.boot.install_for_bios && options.tls.only_1_3);
        assert_eq!(options.image.permitted_formats, ["raw", "iso"]);
        assert_eq!(
            (options.container.runner, &options.container.run_options[..]),
            (Runner::Docker, &["--rm".into()][..])
        );
    }

    #[test]
    fn pauses_grow_to_a_minute() {
        for (attempt, longest) in [(1, 1.0), (2, 2.0), (4, 8.0), (40, 60.0)] {
            for _ in 0..50 {
                let pause = pause(attempt, 1.0).as_secs_f64();
                assert!((1.0..=longest).contains(&pause), "{attempt}: {pause}");
            }
        }
    }
}
