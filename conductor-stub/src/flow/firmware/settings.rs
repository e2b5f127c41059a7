//! The settings of a machine's firmware: what they are, and the steps that change them.
//!
//! A change comes into force at the next start: the step has the machine booted, and runs once more to see whether it did.

use serde_json::{Map, Value};

use crate::clock;
use crate::crash;
use crate::flow::error::FlowError;
use crate::flow::steps::Started;
use crate::flow::task::Task;
use crate::node::{Setting, Step, setting};
use crate::store::settings::Settings;

/// Of the steps.
pub const INTERFACE: &str = "bios";

/// What there is to do.
pub fn steps() -> [Step; 2] {
    let own = |name: &str| Step { interface: INTERFACE.into(), ..Step::of_conductor(name, 0) };
    let mut apply = own("apply_configuration");
    apply.more.insert("argsinfo".into(), setting::argsinfo());
    [apply, own("factory_reset")]
}

/// Does one of them.
///
/// # Errors
/// When the BMC refuses, or the settings are not what they were to be after the start.
pub async fn run(task: &mut Task, step: &Step) -> Result<Started, FlowError> {
    let is_second_look = task.node.internal.plan.as_ref().is_some_and(|plan| plan.is_second_look);
    let settings = learn(task).await?;
    match step.step.as_str() {
        "factory_reset" if is_second_look => Ok(Started::Done),
        "factory_reset" => {
            crash::point();
            task.firmware(INTERFACE)?.reset_settings().await?;
            crash::point();
            Ok(Started::NextBoot)
        }
        "apply_configuration" => {
            let wanted = wanted(step, &settings)?;
            let differs = |(name, value): &(&String, &Value)| {
                settings.iter().find(|setting| setting.name == **name).is_none_or(|setting| !setting.is(value))
            };
            let missing: Vec<&str> = wanted.iter().filter(differs).map(|(name, _)| name.as_str()).collect();
            match (missing.is_empty(), is_second_look) {
                (true, _) => Ok(Started::Done),
                (false, true) => {
                    let text = format!("BIOS settings that are not in force after the start: {}", missing.join(", "));
                    Err(FlowError::Refused(text))
                }
                (false, false) => {
                    crash::point();
                    task.firmware(INTERFACE)?.change_settings(&wanted).await?;
                    crash::point();
                    Ok(Started::NextBoot)
                }
            }
        }
        other => Err(FlowError::Refused(format!("no such step: {INTERFACE}.{other}"))),
    }
}

/// Asks for the settings and keeps them.
///
/// # Errors
/// When the machine has none, or cannot be asked.
pub async fn learn(task: &mut Task) -> Result<Vec<Setting>, FlowError> {
    let list = task.firmware(INTERFACE)?.settings().await?;
    let (store, node) = (&task.conductor.store, task.node.uuid);
    let before = store.settings(node)?;
    let updated_at = before.is_some().then(clock::now);
    let created_at = before.map_or_else(clock::now, |before| before.created_at);
    store.save_settings(node, &Settings { created_at, updated_at, list: list.clone() })?;
    Ok(list)
}

/// What the step's arguments ask for, as the BMC wants it.
fn wanted(step: &Step, known: &[Setting]) -> Result<Map<String, Value>, FlowError> {
    let refused = |text: String| FlowError::Refused(format!("bios.apply_configuration: {text}"));
    let list = step.more.get("args").and_then(|args| args.get("settings")).and_then(Value::as_array);
    let list = list.ok_or_else(|| refused("settings must be a list of objects with name and value".into()))?;
    let mut wanted = Map::new();
    for asked in list {
        let (Some(name), Some(value)) = (asked["name"].as_str(), asked.get("value")) else {
            return Err(refused(format!("no setting with name and value: {asked}")));
        };
        let value = match known.iter().find(|setting| setting.name == name) {
            Some(setting) => setting.admit(value).map_err(refused)?,
            None => return Err(refused(format!("the machine has no setting {name}"))),
        };
        wanted.insert(name.to_owned(), value);
    }
    Ok(wanted)
}
