//! `standby.*`: writing an image without the step interface, and taking the machine down.

use std::sync::Arc;
use std::time::Duration;

use ferric_steps::arguments::FromArguments;
use ferric_steps::deploy::write_image::WriteImage;
use ferric_steps::power::{self, Power};
use ferric_steps::step::Kind;
use ferric_steps::{ErrorKind, catalogue, clock, flush};
use serde_json::Value;

use crate::agent::{self, Agent};
use crate::blocking::blocking;
use crate::error::Error;
use crate::extension::{Arguments, Call, Command, Extension, Extensions, Mode, PLAIN};
use crate::lookup;
use crate::registry::Running;

/// `standby`.
pub(super) const EXTENSION: Extension = Extension {
    name: "standby",
    class: "StandbyExtension",
    commands: &[
        Command {
            name: "prepare_image",
            mode: Mode::Async,
            optional: &["image_info", "configdrive"],
            validate: Some(check_image),
            run: |call| Box::pin(deploy("write_image", call)),
            ..PLAIN
        },
        Command {
            name: "execute_bootc_install",
            mode: Mode::Async,
            required: &["image_source"],
            optional: &["instance_info", "pull_secret", "configdrive"],
            run: |call| Box::pin(deploy("execute_bootc_install", call)),
            ..PLAIN
        },
        Command {
            name: "get_partition_uuids",
            mode: Mode::Sync,
            run: |call| Box::pin(async move { Ok(call.agent.partition_uuids()) }),
            ..PLAIN
        },
        Command { name: "sync", mode: Mode::Sync, run: |call| Box::pin(sync(call.agent)), ..PLAIN },
        Command { name: "run_image", run: |call| Box::pin(take_down(call.agent, Power::Reboot)), ..PLAIN },
        Command { name: "power_off", run: |call| Box::pin(take_down(call.agent, Power::Off)), ..PLAIN },
    ],
};

/// How long the answer to the request has before the machine goes down.
const ANSWER: Duration = Duration::from_millis(100);

/// Parameters that the step refuses are refused at once; whatever else is wrong fails the command.
fn check_image(agent: &Agent, _: Extensions, arguments: &Arguments) -> Result<(), Error> {
    match WriteImage::from_arguments(arguments, &agent.step(&Running::default(), Value::Null)) {
        Err(error) if error.kind == ErrorKind::InvalidParameters => Err(error.into()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Runs a deploy step with these arguments, for conductors that don't use steps. They send no node, so the one from the
/// look-up is refreshed first: root device hints may have been set since.
async fn deploy(name: &str, call: Call) -> Result<Value, Error> {
    lookup::refresh(&call.agent).await;
    let step = call.agent.step(&call.running, Value::Null);
    Ok(catalogue::execute(Kind::Deploy, name, call.arguments, step).await?)
}

async fn sync(agent: Arc<Agent>) -> Result<Value, Error> {
    let site = agent.site();
    blocking(move || flush::all(&site)).await?;
    Ok(Value::Null)
}

async fn take_down(agent: Arc<Agent>, power: Power) -> Result<Value, Error> {
    tokio::time::sleep(ANSWER).await;
    let site = agent.site();
    let ending = blocking(move || {
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
