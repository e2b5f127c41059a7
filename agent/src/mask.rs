//! What must not be read in logs: tokens, passwords and signatures (in URLs too), config drives, Ignition, content of files,
//! authorization.

use ferric_steps::url_secrets;
use serde_json::{Map, Value};

const MASK: &str = "<...>";

/// Words that make the value of a key secret, wherever it stands.
const SECRET: [&str; 10] = [
    "configdrive",
    "system_logs",
    "password",
    "token",
    "secret",
    "content",
    "authorization",
    "ignition",
    "userdata",
    "user_data",
];

/// `arguments` with every secret replaced.
pub fn masked(arguments: &Map<String, Value>) -> Value {
    Value::Object(mask_object(arguments))
}

fn mask_object(object: &Map<String, Value>) -> Map<String, Value> {
    object
        .iter()
        .map(|(key, value)| {
            let lower = key.to_lowercase();
            let hide = SECRET.iter().any(|word| lower.contains(word)) && !value.is_null();
            (key.clone(), if hide { Value::from(MASK) } else { mask(value) })
        })
        .collect()
}

fn mask(value: &Value) -> Value {
    match value {
        Value::Object(object) => Value::Object(mask_object(object)),
        Value::Array(items) => items.iter().map(mask).collect(),
        Value::String(text) => Value::from(url_secrets::hide(text)),
        other => other.clone(),
    }
}

/// A query string without the token in it.
pub fn masked_query(query: &str) -> String {
    url_secrets::hide(&format!("?{query}")).split_off(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_hidden_at_any_depth() {
        let arguments = json!({
            "step": {"args": {"configdrive": "H4sI", "image_info": [{"image_request_authorization": "Basic x"}]}},
            "rescue_password": "p", "clean_version": {"a": "1"}, "configdrive": null,
        });
        let shown = masked(arguments.as_object().unwrap());
        assert_eq!(
            shown,
            json!({"step": {"args": {"configdrive": MASK, "image_info": [{"image_request_authorization": MASK}]}},
                   "rescue_password": MASK, "clean_version": {"a": "1"}, "configdrive": null})
        );
        assert_eq!(masked_query("wait=true&agent_token=abc"), "wait=true&agent_token=<...>");
    }
}
