//! The versions of a machine's firmware, and the step that has its BMC write others (ironic/drivers/modules/redfish/firmware.py).
//!
//! One update follows the other. What is sent, and where the BMC tells how that goes, is written, so that whichever conductor
//! goes on watches the same update. Where the machine has to be started for it, the step has it booted and runs once more.

use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use crate::clock;
use crate::crash;
use crate::driver::firmware::Progress;
use crate::flow::error::FlowError;
use crate::flow::steps::Started;
use crate::flow::task::Task;
use crate::node::{Component, Stage, Step, Update};

/// Of the step.
pub const INTERFACE: &str = "firmware";
/// How long one update may take.
const LIMIT: Duration = Duration::from_secs(7200);
/// How long the machine is left on by an update that neither ends nor says that it waits for a start.
const UNCLEAR: f64 = 300.0;
/// Between two looks at a BMC that does not answer.
const PAUSE: Duration = Duration::from_secs(5);
/// How long somebody may want to wait after an update, in seconds.
const LONGEST_WAIT: u64 = 3600;
/// Updates of one step.
const MOST: usize = 64;

/// What there is to do.
pub fn step() -> Step {
    let mut step = Step { interface: INTERFACE.into(), ..Step::of_conductor("update", 0) };
    let settings = "A list of dicts with firmware components to be updated";
    step.more.insert("argsinfo".into(), json!({"settings": {"description": settings, "required": true}}));
    step
}

/// Asks for the versions and keeps them.
///
/// # Errors
/// When the machine has none, or cannot be asked.
pub async fn learn(task: &mut Task) -> Result<Vec<Component>, FlowError> {
    let seen = task.firmware(INTERFACE)?.versions().await?;
    let store = &task.conductor.store;
    let mut components = store.components(task.node.uuid)?;
    for version in seen {
        match components.iter_mut().find(|known| known.component == version.component) {
            Some(known) => known.learn(version, clock::now()),
            None => components.push(Component::new(version, clock::now())),
        }
    }
    store.save_components(task.node.uuid, &components)?;
    Ok(components)
}

/// Does the step.
///
/// # Errors
/// When the BMC refuses, the update fails or takes too long.
pub async fn run(task: &mut Task, step: &Step) -> Result<Started, FlowError> {
    if updates(task).is_empty() {
        let wanted = wanted(step, &learn(task).await?)?;
        change(task, |updates| *updates = wanted);
    }
    for number in 0..updates(task).len() {
        if !finish(task, number).await? {
            return Ok(restart(task));
        }
    }
    if updates(task).iter().any(|update| update.needs_start() && !update.is_restarted) {
        return Ok(restart(task));
    }
    let now = learn(task).await?;
    for Update { component, before, .. } in updates(task) {
        let version = version(&now, &component);
        let said = |version: Option<String>| version.unwrap_or_else(|| "?".into());
        let text = format!("{component}: {} -> {}", said(before), said(version));
        task.note("firmware", &text, &Value::Null);
    }
    change(task, Vec::clear);
    Ok(Started::Done)
}

/// The machine is started anew; the step goes on then. That is written together with the start, not before.
fn restart(task: &mut Task) -> Started {
    change(task, |updates| {
        updates.iter_mut().filter(|update| update.stage != Stage::Due).for_each(|update| update.is_restarted = true);
    });
    Started::NextBoot
}

/// Takes one update to its end; false when that needs a start of the machine.
async fn finish(task: &mut Task, number: usize) -> Result<bool, FlowError> {
    loop {
        let Some(update) = updates(task).get(number).cloned() else { return Ok(true) };
        match &update.stage {
            Stage::Due => send(task, number, &update).await?,
            Stage::Sending => {
                // To write the same once more changes nothing; to leave it out would.
                let is_there = version(&learn(task).await?, &update.component) != update.before;
                reach(task, number, if is_there { Stage::Done } else { Stage::Due })?;
            }
            Stage::Running(places) => {
                let mut places = places.clone();
                let seconds = clock::seconds() - update.began;
                let progress = task.firmware(INTERFACE)?.look(&mut places).await?;
                let may_start = update.needs_start() && !update.is_restarted;
                let pause = match progress {
                    Progress::Done => {
                        tokio::time::sleep(Duration::from_secs(update.wait)).await;
                        return_of_bmc(task, &update).await?;
                        reach(task, number, Stage::Done)?;
                        continue;
                    }
                    Progress::Waiting(_) if may_start => return Ok(false),
                    Progress::Running(_) if may_start && seconds > UNCLEAR => return Ok(false),
                    Progress::Running(pause) | Progress::Waiting(pause) => pause,
                    Progress::Silent(reason) => {
                        tracing::info!(node = %task.node.label(), reason, "the BMC does not answer during an update");
                        PAUSE
                    }
                };
                if seconds > LIMIT.as_secs_f64() {
                    let text = format!("the update of {} is not done after {} s", update.component, LIMIT.as_secs());
                    return Err(FlowError::Refused(text));
                }
                if Stage::Running(places.clone()) != update.stage {
                    reach(task, number, Stage::Running(places))?;
                }
                tokio::time::sleep(pause).await;
            }
            Stage::Done => return Ok(true),
        }
    }
}

async fn send(task: &mut Task, number: usize, update: &Update) -> Result<(), FlowError> {
    change(task, |updates| updates[number].began = clock::seconds());
    reach(task, number, Stage::Sending)?;
    crash::point();
    let places = task.firmware(INTERFACE)?.update(&update.url).await?;
    crash::point();
    reach(task, number, if places.is_empty() { Stage::Done } else { Stage::Running(places) })
}

/// A BMC whose own firmware was replaced starts anew: it is waited for.
async fn return_of_bmc(task: &mut Task, update: &Update) -> Result<(), FlowError> {
    if update.needs_start() {
        return Ok(());
    }
    loop {
        match learn(task).await {
            Ok(_) => return Ok(()),
            Err(error) if clock::seconds() - update.began > LIMIT.as_secs_f64() => return Err(error),
            Err(error) => tracing::info!(node = %task.node.label(), %error, "the BMC is waited for"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn updates(task: &Task) -> Vec<Update> {
    task.node.internal.plan.as_ref().map(|plan| plan.updates.clone()).unwrap_or_default()
}

fn change(task: &mut Task, change: impl FnOnce(&mut Vec<Update>)) {
    if let Some(plan) = &mut task.node.internal.plan {
        change(&mut plan.updates);
    }
}

fn reach(task: &mut Task, number: usize, stage: Stage) -> Result<(), FlowError> {
    change(task, |updates| updates[number].stage = stage);
    Ok(task.save()?)
}

fn version(known: &[Component], component: &str) -> Option<String> {
    known.iter().find(|known| known.component == component)?.current_version.clone()
}

/// What the step's arguments ask for.
fn wanted(step: &Step, known: &[Component]) -> Result<Vec<Update>, FlowError> {
    let refused = |text: String| FlowError::Refused(format!("firmware.update: {text}"));
    let list = step.more.get("args").and_then(|args| args.get("settings")).and_then(Value::as_array);
    let list = list.filter(|list| (1..=MOST).contains(&list.len()));
    let list = list.ok_or_else(|| refused("settings must be a list of objects with component and url".into()))?;
    let update = |asked: &Value| {
        let unknown = asked
            .as_object()
            .into_iter()
            .flatten()
            .find(|(key, _)| !["component", "url", "wait"].contains(&key.as_str()));
        if let Some((key, _)) = unknown {
            return Err(format!("there is no such key: {key}"));
        }
        let (Some(component), Some(url)) = (asked["component"].as_str(), asked["url"].as_str()) else {
            return Err("an update has to have component and url".into());
        };
        if !(["bios", "bmc"].contains(&component) || component.starts_with("nic:")) {
            return Err(format!("{component} is not one of bios, bmc and nic:ID"));
        }
        let is_fetched = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        let url = Url::parse(url).ok().filter(is_fetched);
        let url =
            url.ok_or_else(|| format!("url of {component}: must be an http or https URL, which the BMC fetches"))?;
        let wait = match &asked["wait"] {
            Value::Null => 0,
            wait => wait
                .as_u64()
                .filter(|wait| (1..=LONGEST_WAIT).contains(wait))
                .ok_or_else(|| format!("wait of {component}: must be a number of seconds from 1 to {LONGEST_WAIT}"))?,
        };
        Ok(Update {
            component: component.to_owned(),
            url: url.into(),
            wait,
            before: version(known, component),
            stage: Stage::Due,
            began: 0.0,
            is_restarted: false,
        })
    };
    list.iter().map(update).collect::<Result<_, _>>().map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: Value) -> Result<Vec<Update>, String> {
        let mut step = step();
        step.more.insert("args".into(), json!({"settings": settings}));
        wanted(&step, &[]).map_err(|error| error.to_string())
    }

    #[test]
    fn updates_are_checked_before_the_first_is_sent() {
        let url = "https://files.example/bios.bin";
        let updates =
            read(json!([{"component": "bios", "url": url, "wait": 30}, {"component": "nic:AB12", "url": url}]));
        let updates = updates.unwrap();
        assert_eq!((updates[0].url.as_str(), updates[0].wait, updates[1].wait), (url, 30, 0));
        for (settings, words) in [
            (json!([]), "settings must be a list"),
            (json!("bios"), "settings must be a list"),
            (json!([{"component": "bios"}]), "has to have component and url"),
            (json!([{"component": "disk", "url": url}]), "disk is not one of"),
            (json!([{"component": "bmc", "url": "file:///etc/shadow"}]), "must be an http or https URL"),
            (json!([{"component": "bmc", "url": url, "wait": 0}]), "from 1 to"),
            (json!([{"component": "bmc", "url": url, "checksum": "x"}]), "no such key: checksum"),
        ] {
            let error = read(settings).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
