//! `standby.*`: writing an image without the step interface, and taking the machine down.

use std::sync::Arc;
use std::time::Duration;

use ferric_steps::image::oci;
use ferric_steps::power::{self, Power};
use ferric_steps::step::Kind;
use ferric_steps::{catalogue, clock, flush};
use serde_json::Value;

use super::{Arguments, Command, Extension, Mode, PLAIN, Running, steps};
use crate::agent::{self, Agent};
use crate::config::options;
use crate::error::{self, Error};
use crate::lookup;

/// `standby`.
pub const EXTENSION: Extension = Extension {
    name: "standby",
    class: "StandbyExtension",
    commands: &[
        Command {
            name: "prepare_image",
            mode: Mode::Async,
            optional: &["image_info", "configdrive"],
            validate: Some(check_image),
            run: |agent, arguments, running| Box::pin(deploy("write_image", agent, arguments, running)),
            ..PLAIN
        },
        Command {
            name: "execute_bootc_install",
            mode: Mode::Async,
            required: &["image_source"],
            optional: &["instance_info", "pull_secret", "configdrive"],
            run: |agent, arguments, running| Box::pin(deploy("execute_bootc_install", agent, arguments, running)),
            ..PLAIN
        },
        Command {
            name: "get_partition_uuids",
            mode: Mode::Sync,
            run: |agent, _, _| Box::pin(async move { Ok(agent.partition_uuids()) }),
            ..PLAIN
        },
        Command { name: "sync", mode: Mode::Sync, run: |agent, _, _| Box::pin(sync(agent)), ..PLAIN },
        Command { name: "run_image", run: |agent, _, _| Box::pin(take_down(agent, Power::Reboot)), ..PLAIN },
        Command { name: "power_off", run: |agent, _, _| Box::pin(take_down(agent, Power::Off)), ..PLAIN },
    ],
};

/// How long the answer to the request has before the machine goes down.
const ANSWER: Duration = Duration::from_millis(100);

/// Length of an MD5 digest in hex.
const MD5_LENGTH: usize = 32;

fn check_image(agent: &Agent, arguments: &Arguments) -> Result<(), Error> {
    let bad = |text: String| Err(Error::new(error::INVALID_PARAMETERS, text));
    let image = arguments.get("image_info").and_then(Value::as_object).cloned().unwrap_or_default();
    for field in ["id", "urls"] {
        if !image.contains_key(field) {
            return bad(format!("Image is missing '{field}' field."));
        }
    }
    if image["urls"].as_array().is_none_or(Vec::is_empty) {
        return bad("Image 'urls' must be a list with at least one element.".to_string());
    }
    let given = |name: &str| image.get(name).filter(|value| !value.is_null());
    let mut verifiable = false;
    if let Some(checksum) = given("checksum") {
        let Some(checksum) = checksum.as_str().filter(|text| !text.is_empty()) else {
            return bad("Image 'checksum' must be a non-empty string.".to_string());
        };
        let is_url = checksum.contains("://");
        verifiable = is_url || checksum.len() > MD5_LENGTH || agent.config().flag(&options::MD5_ENABLED);
    }
    let pair = ["os_hash_algo", "os_hash_value"];
    let is_set = |name: &str| given(name).is_some_and(|value| value.as_str() != Some(""));
    if pair.into_iter().any(is_set) {
        for name in pair {
            if given(name).and_then(Value::as_str).is_none_or(str::is_empty) {
                return bad(format!("Image '{name}' must be a non-empty string."));
            }
        }
        verifiable = true;
    }
    let urls = image["urls"].as_array().into_iter().flatten().filter_map(Value::as_str);
    // A registry knows the digests of what it holds.
    if verifiable || urls.into_iter().all(|url| url.starts_with(oci::SCHEME)) {
        return Ok(());
    }
    bad("Image checksum is not available, either the 'checksum' field or the 'os_hash_algo' and 'os_hash_value' \
         fields pair must be set for image verification."
        .to_string())
}

/// Runs a deploy step with these arguments, for conductors that don't use steps. They send no node, so the one from the
/// look-up is refreshed first: root device hints may have been set since.
async fn deploy(step: &str, agent: Arc<Agent>, arguments: Arguments, running: Running) -> Result<Value, Error> {
    lookup::refresh(&agent).await;
    let running = agent.step(&running, Value::Null);
    Ok(catalogue::execute(Kind::Deploy, step, arguments, running).await?)
}

async fn sync(agent: Arc<Agent>) -> Result<Value, Error> {
    let site = agent.site();
    steps::blocking(move || flush::all(&site)).await?;
    Ok(Value::Null)
}

async fn take_down(agent: Arc<Agent>, power: Power) -> Result<Value, Error> {
    tokio::time::sleep(ANSWER).await;
    let site = agent.site();
    let ending = steps::blocking(move || {
        clock::set(&site)?;
        clock::store(&site)?;
        flush::all(&site);
        power::change(power, &site)
    })
    .await??;
    if ending == power::Ending::EndProcess {
        agent.end(agent::Ending::Exit);
    }
    Ok(Value::Null)
}
