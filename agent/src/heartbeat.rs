//! When to say "I am here", and what. The conductor looks at commands only when a heartbeat arrives, so one goes out at
//! once when a command has ended, and again soon when the conductor has not come to look: it drops a heartbeat that
//! arrives while it is busy with the node.

use std::sync::Arc;
use std::time::Duration;

use ferric_steps::error::chain;
use ferric_steps::http::Request;
use rand::RngExt;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::VERSION;
use crate::agent::Agent;
use crate::ironic::{self, Failure, Ironic};

/// Pause after an answer that was no success, in seconds.
const AFTER_FAILURE: std::ops::Range<f64> = 5.0..10.0;

/// Part of the conductor's time limit after which the next heartbeat is due.
const PART_OF_TIMEOUT: std::ops::Range<f64> = 0.3..0.6;

/// How often a heartbeat is repeated within seconds before the pauses become long.
const QUICK_REPEATS: u32 = 3;

/// Taken when a look-up answer lacks the time limit, in seconds.
const DEFAULT_TIMEOUT_SECONDS: f64 = 300.0;

/// Sends heartbeats for ever.
pub async fn run(agent: Arc<Agent>, ironic: Arc<Ironic>, callback_url: String) {
    let (mut repeats, mut failures) = (0, 0);
    agent.commands.mark_unread();
    loop {
        let due = match send(&agent, &ironic, &callback_url).await {
            Ok(()) => {
                failures = 0;
                after_success(&agent)
            }
            Err(failure) => {
                failures += 1;
                warn!(failure = chain(&failure), "heartbeat failed");
                after_failure(&failure, failures)
            }
        };
        let repeat = (failures == 0).then(|| doubled(repeats + 1));
        repeats = match wait(&agent, due, repeat).await {
            Reason::Due | Reason::Wanted => 0,
            Reason::Unread => repeats + 1,
        };
    }
}

/// Why the next heartbeat goes out.
enum Reason {
    /// It is time.
    Due,
    /// Something has happened.
    Wanted,
    /// The conductor has not come to look at what happened.
    Unread,
}

/// Waits until a heartbeat is `due`, or earlier when there is a reason; one that was heard by nobody counts after `repeat`.
async fn wait(agent: &Agent, due: Duration, repeat: Option<Duration>) -> Reason {
    let repeat = async {
        match repeat {
            Some(pause) => tokio::time::sleep(pause).await,
            None => std::future::pending().await,
        }
        if !agent.commands.is_unread() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = tokio::time::sleep(due) => Reason::Due,
        () = agent.heartbeat_wanted() => Reason::Wanted,
        () = repeat => Reason::Unread,
    }
}

/// 1, 2, 4… seconds.
fn doubled(count: u32) -> Duration {
    Duration::from_secs(1 << count.saturating_sub(1).min(16))
}

fn after_success(agent: &Agent) -> Duration {
    let timeout = agent.lookup()["config"]["heartbeat_timeout"].as_f64().unwrap_or(DEFAULT_TIMEOUT_SECONDS);
    Duration::from_secs_f64((timeout * rand::rng().random_range(PART_OF_TIMEOUT)).max(1.0))
}

/// A locked node and a broken connection are over soon; anything else takes longer.
fn after_failure(failure: &Failure, count: u32) -> Duration {
    let passing = failure.status().is_none_or(|status| status == StatusCode::CONFLICT.as_u16());
    if passing && count <= QUICK_REPEATS {
        doubled(count)
    } else {
        Duration::from_secs_f64(rand::rng().random_range(AFTER_FAILURE))
    }
}

async fn send(agent: &Agent, ironic: &Ironic, callback_url: &str) -> Result<(), Failure> {
    let uuid = agent.node_uuid().ok_or_else(|| Failure::Content("no node is known".to_string()))?;
    let version = ironic.version().await;
    let body = body(agent, version, callback_url);
    let path = format!("/v1/heartbeat/{uuid}");
    let prepare = |request: Request| request.json(&body);
    ironic.call(Method::POST, &path, ironic::AGENT_VERIFY_CA, StatusCode::ACCEPTED, prepare).await?;
    info!(node = uuid, "heartbeat sent");
    Ok(())
}

/// Exactly the keys that this version of Ironic knows: it refuses others.
fn body(agent: &Agent, version: ironic::Version, callback_url: &str) -> Value {
    let mut body = json!({ "callback_url": callback_url });
    if version >= ironic::AGENT_TOKEN {
        body["agent_token"] = json!(agent.token.text());
    }
    if version >= ironic::AGENT_VERSION {
        body["agent_version"] = json!(VERSION);
    }
    if version >= ironic::AGENT_VERIFY_CA
        && let Some(certificate) = agent.certificate()
    {
        body["agent_verify_ca"] = json!(certificate.certificate_pem);
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_node_is_tried_again_soon() {
        let locked = Failure::Status { status: 409, text: String::new() };
        assert_eq!(after_failure(&locked, 1), Duration::from_secs(1));
        assert_eq!(after_failure(&locked, 3), Duration::from_secs(4));
        for (failure, count) in [(locked, 4), (Failure::Status { status: 400, text: String::new() }, 1)] {
            let pause = after_failure(&failure, count).as_secs_f64();
            assert!((5.0..10.0).contains(&pause), "{pause}");
        }
    }
}
