//! Network burn-in: two machines send each other data (fio), first one way, then the other.

use std::time::Duration;

use ferric_hardware::tool::ToolError;
use serde_json::Value;

use super::tools::{failed, pause};
use crate::options::{BurnIn, NetworkLoad};
use crate::step::Step;
use crate::{ErrorKind, StepError};

const WHAT: &str = "fio (network)";
/// fio's exit code when the partner does not listen yet.
const NOT_LISTENING: i32 = 16;
const RETRY: Duration = Duration::from_secs(2);
/// Time for a partner that starts when we do to listen with all of its jobs. Each of them waits for one connection, for
/// ever: who finds some of them takes those and fails at the others, which then wait for nobody.
const START: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Writer,
    Reader,
}

/// Exchanges data with the partner that `agent_burnin_fio_network_config` names, in both directions.
///
/// # Errors
/// [`ErrorKind::Cleaning`] without a partner; [`ErrorKind::Execution`] when fio is missing or fails.
pub async fn burnin_network(step: &Step) -> Result<Value, StepError> {
    step.blocking(|step| {
        let load = BurnIn::of(&step.node).network;
        let (role, partner) = pairing(&load)?;
        let other = if role == Role::Writer { Role::Reader } else { Role::Writer };
        for role in [role, other] {
            let does = if role == Role::Writer { "sending to" } else { "receiving from" };
            step.progress.activity(format!("burning in the network: {does} {partner}"));
            exchange(step, &load, role, &partner)?;
        }
        Ok(Value::Null)
    })
    .await
}

/// Our role and the partner's name or address.
fn pairing(load: &NetworkLoad) -> Result<(Role, String), StepError> {
    let config = match &load.config {
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        value => value.clone(),
    };
    let cleaning = |text: &str| ErrorKind::Cleaning.error(format!("{WHAT}: {text}"));
    if config.is_null() {
        return Err(match load.pairing_backend_url {
            None => cleaning("dynamic pairing config is missing agent_burnin_fio_network_pairing_backend_url"),
            Some(_) => cleaning("dynamic pairing is not available: set agent_burnin_fio_network_config"),
        });
    }
    let role = match config["role"].as_str() {
        Some("writer") => Role::Writer,
        Some("reader") => Role::Reader,
        _ => return Err(cleaning("the role in agent_burnin_fio_network_config must be writer or reader")),
    };
    let partner = config["partner"].as_str().filter(|partner| !partner.is_empty());
    Ok((role, partner.ok_or_else(|| cleaning("agent_burnin_fio_network_config names no partner"))?.to_string()))
}

fn exchange(step: &Step, load: &NetworkLoad, role: Role, partner: &str) -> Result<(), StepError> {
    let fixed = "--ioengine net --port 9000 --fill_device 1 --group_reporting --gtod_reduce 1 --numjobs 16";
    let mut arguments: Vec<String> = fixed.split_whitespace().map(str::to_string).collect();
    let mut add = |words: &[&str]| arguments.extend(words.iter().map(ToString::to_string));
    let name = match role {
        Role::Writer => {
            add(&["--name", "writer", "--rw", "write", "--runtime", &load.runtime, "--time_based", "--listen"]);
            "writer"
        }
        Role::Reader => {
            add(&["--name", "reader", "--rw", "read", "--hostname", partner]);
            "reader"
        }
    };
    if let Some(file) = &load.output_file {
        add(&["--output-format", "json", "--output", &format!("{file}.{name}")]);
    }
    let tool = step.site.tools.find("fio").map_err(|error| failed(WHAT, error))?;
    let cancelled = || step.cancel.is_cancelled();
    if role == Role::Reader {
        pause(step, START)?;
    }
    loop {
        match tool.run(&arguments).cancelled(&cancelled).output() {
            Ok(_) => return Ok(()),
            Err(ToolError::Failed { code: Some(NOT_LISTENING), .. }) if role == Role::Reader => pause(step, RETRY)?,
            Err(error) => return Err(failed(WHAT, error)),
        }
    }
}
