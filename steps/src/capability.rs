//! Capabilities of a node: `properties.capabilities` and `instance_info.capabilities`.

use serde_json::Value;

/// One capability, out of an object, its JSON text, or `name:value,name:value`.
pub(crate) fn capability(capabilities: &Value, name: &str) -> Option<String> {
    match capabilities {
        Value::Object(all) => match all.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => None,
        },
        Value::String(text) if text.trim_start().starts_with('{') => {
            capability(&serde_json::from_str(text).ok()?, name)
        }
        Value::String(text) => {
            let pairs = text.split(',').filter_map(|pair| pair.split_once(':'));
            pairs.into_iter().find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn capabilities_come_in_three_forms() {
        for value in [json!({"boot_mode": "uefi"}), json!("a:b, boot_mode:uefi"), json!(r#"{"boot_mode": "uefi"}"#)] {
            assert_eq!(capability(&value, "boot_mode").as_deref(), Some("uefi"), "{value}");
        }
        assert_eq!(capability(&Value::Null, "boot_mode"), None);
    }
}
