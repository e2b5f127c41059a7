//! Inspection at start-up: collect what is configured (`data`) and post it to the callback URLs.

mod data;

use std::sync::Arc;
use std::time::Duration;

use ferric_steps::error::chain;
use reqwest::StatusCode;
use serde_json::Value;
use tracing::{info, warn};

use crate::agent::Agent;
use crate::config::settings::Inspection;
use crate::ironic::{self, JsonClient};

/// Pauses between attempts.
const PAUSES_SECONDS: [u64; 6] = [1, 2, 4, 5, 6, 12];

/// Inspection data that nobody took, though asking again could have helped.
#[derive(Debug, thiserror::Error)]
#[error("could not post inspection data: {0}")]
pub struct Undelivered(String);

/// Where inspection data go; nothing when inspection is not wanted.
pub fn targets(inspection: &Inspection, api_urls: &[String]) -> Vec<String> {
    let callback_urls = inspection.callback_urls.list();
    if !callback_urls.is_empty() {
        return callback_urls.to_vec();
    }
    if inspection.collectors.is_empty() {
        return Vec::new();
    }
    api_urls.iter().map(|url| format!("{url}/v1/continue_inspection")).collect()
}

/// Collects and posts, and returns the UUID of the node when Ironic names it. A refusal is only logged: what comes after
/// it may still be possible.
///
/// A machine that has the collectors in its configuration inspects at every boot, and Ironic knows no inspection then
/// (404). As a fast agent is also here before Ironic has seen the power come on, that answer starts a task which goes on
/// asking, and nothing waits for it.
///
/// # Errors
/// No URL could be reached, the node stayed locked, or the server kept failing.
pub async fn run(agent: &Arc<Agent>, client: &JsonClient, targets: &[String]) -> Result<Option<String>, Undelivered> {
    let data = data::collect(agent).await;
    let mut pauses = PAUSES_SECONDS.into_iter();
    match post(client, targets, &data, &mut pauses).await? {
        Reply::Accepted(answer) => return Ok(accepted(&data, &answer)),
        Reply::Refused(reason) => warn!(reason, "inspection failed"),
        Reply::Unexpected(reason) => {
            info!(reason, "no inspection is under way, going on");
            let (client, targets) = (client.clone(), targets.to_vec());
            tokio::spawn(async move { keep_offering(&client, &targets, &data, pauses).await });
        }
    }
    Ok(None)
}

/// The UUID in the answer, for data that were complete.
fn accepted(data: &Value, answer: &Value) -> Option<String> {
    info!(node = answer["uuid"].as_str(), "inspection data accepted");
    match data["error"].as_str() {
        Some(error) => {
            warn!(error, "inspection data were incomplete");
            None
        }
        None => answer["uuid"].as_str().map(str::to_string),
    }
}

/// Posts again after each pause until the data are taken. At most boots they are not, and that is no failure.
async fn keep_offering(client: &JsonClient, targets: &[String], data: &Value, mut pauses: impl Iterator<Item = u64>) {
    while let Some(seconds) = pauses.next() {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        match post(client, targets, data, &mut pauses).await {
            Ok(Reply::Unexpected(_)) => {}
            Ok(Reply::Accepted(answer)) => {
                accepted(data, &answer);
                return;
            }
            Ok(Reply::Refused(reason)) | Err(Undelivered(reason)) => {
                info!(reason, "inspection data were not wanted");
                return;
            }
        }
    }
}

/// What Ironic said to inspection data.
enum Reply {
    Accepted(Value),
    /// It expects none from this machine, at least not yet.
    Unexpected(String),
    Refused(String),
}

/// Posts to each URL in turn until one answers, again after a pause when that may help.
async fn post(
    client: &JsonClient,
    targets: &[String],
    data: &Value,
    pauses: &mut impl Iterator<Item = u64>,
) -> Result<Reply, Undelivered> {
    loop {
        let reason = match post_once(client, targets, data).await {
            Ok((status, answer)) if status.is_success() => return Ok(Reply::Accepted(answer)),
            Ok((status, answer)) => {
                let reason = format!("error {}: {}", status.as_u16(), ironic::error_text(&answer));
                match status {
                    StatusCode::NOT_FOUND => return Ok(Reply::Unexpected(reason)),
                    StatusCode::CONFLICT => reason,
                    status if status.is_server_error() => reason,
                    _ => return Ok(Reply::Refused(reason)),
                }
            }
            Err(reason) => reason,
        };
        let Some(seconds) = pauses.next() else { return Err(Undelivered(reason)) };
        warn!(reason, seconds, "posting inspection data failed, trying again");
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

async fn post_once(client: &JsonClient, targets: &[String], data: &Value) -> Result<(StatusCode, Value), String> {
    let mut reason = "there is no URL for inspection data".to_string();
    for url in targets {
        match client.post(url, data).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => reason = chain(&failure),
        }
    }
    Err(reason)
}

#[cfg(test)]
mod tests {
    use ferric_steps::options::Tls;

    use super::*;
    use crate::config::{Config, options};

    #[test]
    fn inspection_runs_when_it_is_asked_for() {
        let mut config = Config::with_defaults();
        let targets = |config: &Config, api: &[String]| targets(&config.settings().inspection, api);
        let api = ["http://a".to_string(), "http://b".to_string()];
        assert!(targets(&config, &api).is_empty());
        config.set(&options::INSPECTION_COLLECTORS, "default", "test").unwrap();
        assert_eq!(targets(&config, &api), ["http://a/v1/continue_inspection", "http://b/v1/continue_inspection"]);
        config.set(&options::INSPECTION_CALLBACK_URL, "http://c/x, http://d/y", "test").unwrap();
        assert_eq!(targets(&config, &api), ["http://c/x", "http://d/y"]);
    }

    #[tokio::test]
    async fn a_server_that_cannot_be_reached_is_given_up() {
        let client = JsonClient::new(&Config::with_defaults().settings().conductor, &Tls::default()).unwrap();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut pauses = [0, 0].into_iter();
        let outcome = post(&client, &[format!("http://{closed}/x")], &Value::Null, &mut pauses).await;
        assert!(outcome.err().unwrap().to_string().contains("cannot reach"));
        assert_eq!(pauses.next(), None);
    }
}
