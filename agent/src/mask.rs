//! What must not be read in logs: tokens, passwords and signatures (in URLs too), config drives, Ignition, content of files,
//! authorization.

use ferric_steps::url_secrets::{self, MASK};
use serde_json::{Map, Value};

/// Words that make the value of a key one not to be shown, beside those that make it a secret.
const PRIVATE: [&str; 6] = ["configdrive", "system_logs", "content", "ignition", "userdata", "user_data"];

/// `arguments` with every secret replaced.
pub fn masked(arguments: &Map<String, Value>) -> Value {
    Value::Object(mask_object(arguments))
}

fn mask_object(object: &Map<String, Value>) -> Map<String, Value> {
    object
        .iter()
        .map(|(key, value)| {
            let lower = key.to_lowercase();
            let hide = url_secrets::is_secret(key) || PRIVATE.iter().any(|word| lower.contains(word));
            let hide = hide && !value.is_null();
            (key.clone(), if hide { Value::from(MASK) } else { mask(value) })
        })
        .collect()
}

fn mask(value: &Value) -> Value {
    match value {
        Value::Object(object) => Value::Object(mask_object(object)),
        Value::Array(items) => mask_list(items),
        Value::String(text) => Value::from(url_secrets::hide(text)),
        other => other.clone(),
    }
}

/// The items of a list, which may be the words of a command line.
fn mask_list(items: &[Value]) -> Value {
    let before = std::iter::once(None).chain(items.iter().map(Value::as_str));
    let masked = items.iter().zip(before).map(|(item, before)| match before {
        Some(flag) if url_secrets::announces_secret(flag) => Value::from(MASK),
        _ => mask(item),
    });
    masked.collect()
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
            "luks": {"passphrase": "x", "rootPasswd": "x", "private-key": ["x"], "wifi.psk": "x", "credentials": {"a": 1}},
            "http": {"cookie": "x", "apiKey": "x", "aws_access_key_id": "x", "bearer": "x", "key_name": "shown"},
            "run_options": ["--rm", "--password", "x", "--secret=x", "y"],
        });
        let shown = masked(arguments.as_object().unwrap());
        assert_eq!(
            shown,
            json!({"step": {"args": {"configdrive": MASK, "image_info": [{"image_request_authorization": MASK}]}},
                   "rescue_password": MASK, "clean_version": {"a": "1"}, "configdrive": null,
                   "luks": {"passphrase": MASK, "rootPasswd": MASK, "private-key": MASK, "wifi.psk": MASK,
                            "credentials": MASK},
                   "http": {"cookie": MASK, "apiKey": MASK, "aws_access_key_id": MASK, "bearer": MASK,
                            "key_name": "shown"},
                   "run_options": ["--rm", "--password", MASK, "--secret=<...>", "y"]})
        );
        assert_eq!(masked_query("wait=true&agent_tok%65n=abc"), "wait=true&agent_tok%65n=<...>");
        assert_eq!(masked_query("wait=true&agent_token=abc"), "wait=true&agent_token=<...>");
    }
}
