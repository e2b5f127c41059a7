//! From what the agent can do and what the user asked for to an ordered list of steps.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::node::{Object, Step};

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

/// Highest priority first; those without one are left out.
pub fn by_priority(mut steps: Vec<Step>) -> Vec<Step> {
    steps.retain(|step| step.priority > 0);
    steps.sort_by_key(|step| std::cmp::Reverse(step.priority));
    steps
}

/// The user's steps, completed from their description and checked against it.
pub(super) fn completed(asked: &[Step], offered: &[Step], own: &[Step]) -> Result<Vec<Step>, String> {
    let complete = |asked: &Step| {
        let found = offered.iter().chain(own).find(|step| step.is(asked));
        let found =
            found.ok_or_else(|| format!("node does not support this step: {}.{}", asked.interface, asked.step))?;
        check_arguments(asked, found)?;
        let mut step = Step { priority: asked.priority, ..found.clone() };
        step.more.extend(asked.more.clone());
        Ok(step)
    };
    asked.iter().map(complete).collect()
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

    fn offered() -> Vec<Step> {
        let listed = json!({"GenericHardwareManager": [
            {"interface": "deploy", "step": "erase_devices", "priority": 10, "abortable": true},
            {"interface": "deploy", "step": "erase_devices_metadata", "priority": 99},
            {"interface": "raid", "step": "create_configuration", "priority": 0, "argsinfo": {"x": {"required": true}}},
            {"interface": "deploy", "step": "burnin_cpu", "priority": 0, "argsinfo": {}},
        ]});
        by_interface(listed.as_object().unwrap()).unwrap().into_values().flatten().collect()
    }

    fn asked(steps: Value) -> Vec<Step> {
        serde_json::from_value(steps).unwrap()
    }

    #[test]
    fn undeclared_and_missing_arguments_are_named() {
        let error = |steps: Value| completed(&asked(steps), &offered(), &[]).unwrap_err();
        let text = error(json!([{"interface": "deploy", "step": "burnin_cpu", "args": {"ignition": 1}}]));
        assert!(text.contains("unexpected arguments: ignition"), "{text}");
        let text = error(json!([{"interface": "raid", "step": "create_configuration"}]));
        assert!(text.contains("required arguments: x"), "{text}");
        let text = error(json!([{"interface": "raid", "step": "nonsense"}]));
        assert!(text.contains("raid.nonsense"), "{text}");
    }
}
