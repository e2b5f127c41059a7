//! From what the agent can do and what the user asked for to an ordered list of steps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Kind;
use crate::config::Config;
use crate::node::Object;

/// One step: the agent's description of it, or the user's order of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// `deploy`, `raid`, `management`…
    pub interface: String,
    /// Its name.
    pub step: String,
    /// Higher runs first; 0 only when asked for.
    #[serde(default)]
    pub priority: i64,
    /// Whether the conductor does it itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub conductor: bool,
    /// Everything else it came with: `args`, `argsinfo`, `abortable`, `reboot_requested`.
    #[serde(flatten)]
    pub more: Object,
}

impl Step {
    /// A step that the conductor does itself.
    pub fn own(step: &str, priority: i64) -> Self {
        Self { interface: "deploy".into(), step: step.into(), priority, conductor: true, more: Object::new() }
    }

    fn is(&self, other: &Self) -> bool {
        self.interface == other.interface && self.step == other.step
    }
}

/// The agent's answer, `{hardware manager: [step]}`, sorted by interface.
pub(super) fn by_interface(listed: &Object) -> Result<BTreeMap<String, Vec<Step>>, String> {
    let mut sorted: BTreeMap<String, Vec<Step>> = BTreeMap::new();
    for step in listed.values().flat_map(|steps| steps.as_array().into_iter().flatten()) {
        let whole = ["interface", "step", "priority"].iter().all(|key| step.get(key).is_some());
        let step: Step = Some(step.clone())
            .filter(|_| whole)
            .and_then(|step| serde_json::from_value(step).ok())
            .ok_or_else(|| format!("The agent listed a step without interface, step and priority: {step}"))?;
        sorted.entry(step.interface.clone()).or_default().push(step);
    }
    Ok(sorted)
}

/// The plan: highest priority first; manual cleaning and servicing in the order asked for.
pub(super) fn make(
    kind: Kind,
    available: &BTreeMap<String, Vec<Step>>,
    user: Option<&Value>,
    config: &Config,
    own: &[Step],
) -> Result<Vec<Step>, String> {
    let known: Vec<Step> = available.values().flatten().cloned().collect();
    let ordered: Vec<Step> = user.map(|user| ordered(user, &known, own)).transpose()?.unwrap_or_default();
    let mut steps = match kind {
        Kind::Clean | Kind::Service if user.is_some() => ordered,
        Kind::Service => Vec::new(),
        Kind::Clean => {
            let mut steps = known;
            for step in &mut steps {
                let priority = match step.step.as_str() {
                    "erase_devices" => config.erase_devices_priority,
                    "erase_devices_metadata" => config.erase_devices_metadata_priority,
                    _ => None,
                };
                step.priority = priority.unwrap_or(step.priority);
            }
            sorted(steps)
        }
        Kind::Deploy => {
            let mut steps = ordered;
            for step in own.iter().chain(&known) {
                if !steps.iter().any(|chosen| chosen.is(step)) {
                    steps.push(step.clone());
                }
            }
            sorted(steps)
        }
    };
    if kind == Kind::Clean {
        for step in &mut steps {
            step.more.insert("requires_ramdisk".into(), true.into());
        }
    }
    Ok(steps)
}

fn sorted(mut steps: Vec<Step>) -> Vec<Step> {
    steps.retain(|step| step.priority > 0);
    steps.sort_by_key(|step| std::cmp::Reverse(step.priority));
    steps
}

/// The user's steps, completed from the agent's description and checked against it.
fn ordered(user: &Value, known: &[Step], own: &[Step]) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    for asked in user.as_array().into_iter().flatten() {
        let asked: Step = serde_json::from_value(asked.clone()).map_err(|error| format!("step {asked}: {error}"))?;
        let Some(found) = known.iter().chain(own).find(|step| step.is(&asked)) else {
            return Err(format!("node does not support this step: {}.{}", asked.interface, asked.step));
        };
        check_arguments(&asked, found)?;
        let mut step = found.clone();
        step.priority = asked.priority;
        step.more.extend(asked.more);
        steps.push(step);
    }
    Ok(steps)
}

fn check_arguments(asked: &Step, found: &Step) -> Result<(), String> {
    let object = |step: &Step, key: &str| step.more.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
    let (given, declared) = (object(asked, "args"), object(found, "argsinfo"));
    let unexpected: Vec<&str> = given.keys().filter(|key| !declared.contains_key(*key)).map(String::as_str).collect();
    if !unexpected.is_empty() {
        return Err(format!(
            "step {}.{} has these unexpected arguments: {}",
            asked.interface,
            asked.step,
            unexpected.join(", ")
        ));
    }
    let required = |info: &Value| info.get("required").and_then(Value::as_bool).unwrap_or_default();
    let missing: Vec<&str> = declared
        .iter()
        .filter(|(key, info)| required(info) && !given.contains_key(*key))
        .map(|(key, _)| key.as_str())
        .collect();
    if !missing.is_empty() {
        return Err(format!(
            "step {}.{} is missing these required arguments: {}",
            asked.interface,
            asked.step,
            missing.join(", ")
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn available() -> BTreeMap<String, Vec<Step>> {
        let listed = json!({"GenericHardwareManager": [
            {"interface": "deploy", "step": "erase_devices", "priority": 10, "abortable": true},
            {"interface": "deploy", "step": "erase_devices_metadata", "priority": 99},
            {"interface": "raid", "step": "create_configuration", "priority": 0, "argsinfo": {"x": {"required": true}}},
            {"interface": "deploy", "step": "burnin_cpu", "priority": 0, "argsinfo": {}},
        ]});
        by_interface(listed.as_object().unwrap()).unwrap()
    }

    fn names(steps: &[Step]) -> Vec<&str> {
        steps.iter().map(|step| step.step.as_str()).collect()
    }

    #[test]
    fn automated_cleaning_runs_by_priority_and_leaves_out_zero() {
        let steps = make(Kind::Clean, &available(), None, &Config::default(), &[]).unwrap();
        assert_eq!(names(&steps), ["erase_devices_metadata", "erase_devices"]);
        let config = Config { erase_devices_priority: Some(0), ..Config::default() };
        let steps = make(Kind::Clean, &available(), None, &config, &[]).unwrap();
        assert_eq!(names(&steps), ["erase_devices_metadata"]);
        assert_eq!(steps[0].more["requires_ramdisk"], json!(true));
    }

    #[test]
    fn undeclared_and_missing_arguments_are_named() {
        let plan = |user: Value| make(Kind::Clean, &available(), Some(&user), &Config::default(), &[]);
        let error = plan(json!([{"interface": "deploy", "step": "burnin_cpu", "args": {"ignition": 1}}])).unwrap_err();
        assert!(error.contains("unexpected arguments: ignition"), "{error}");
        let error = plan(json!([{"interface": "raid", "step": "create_configuration"}])).unwrap_err();
        assert!(error.contains("required arguments: x"), "{error}");
        let error = plan(json!([{"interface": "raid", "step": "nonsense"}])).unwrap_err();
        assert!(error.contains("raid.nonsense"), "{error}");
    }

    #[test]
    fn a_deployment_mixes_its_own_steps_with_the_users() {
        let user = json!([{"interface": "deploy", "step": "burnin_cpu", "priority": 85, "args": {}}]);
        let own = [Step::own("write_image", 80), Step::own("boot_instance", 20)];
        let steps = make(
            Kind::Deploy,
            &BTreeMap::from([("deploy".into(), available()["deploy"][2..].to_vec())]),
            Some(&user),
            &Config::default(),
            &own,
        );
        assert_eq!(names(&steps.unwrap()), ["burnin_cpu", "write_image", "boot_instance"]);
    }
}
