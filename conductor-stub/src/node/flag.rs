//! Booleans as clients write them: also as text (oslo.utils' `bool_from_string`, strict).

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// A value that is neither true nor false.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "Unrecognized value {0}, acceptable values are: '0', '1', 'f', 'false', 'n', 'no', 'off', 'on', 't', 'true', 'y', 'yes'"
)]
pub struct NotABoolean(String);

/// Reads a boolean, or a word or digit for one.
///
/// # Errors
/// When it is something else.
pub fn read(value: &Value) -> Result<bool, NotABoolean> {
    let text = match value {
        Value::Bool(flag) => return Ok(*flag),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.trim().to_lowercase().as_str() {
        "1" | "t" | "true" | "on" | "y" | "yes" => Ok(true),
        "0" | "f" | "false" | "off" | "n" | "no" => Ok(false),
        _ => Err(NotABoolean(format!("'{text}'"))),
    }
}

/// Of a field that always is one or the other.
///
/// # Errors
/// When it is neither.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    read(&Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// Of a field that may be neither.
pub mod optional {
    use super::{Deserialize, Deserializer, Serialize, Value, read};

    /// # Errors
    /// When it is no boolean.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
        let value = Option::<Value>::deserialize(deserializer)?;
        value.map(|value| read(&value)).transpose().map_err(serde::de::Error::custom)
    }

    /// # Errors
    /// The serializer's.
    pub fn serialize<S: serde::Serializer>(flag: &Option<bool>, serializer: S) -> Result<S::Ok, S::Error> {
        flag.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_and_digits_are_booleans() {
        for value in [json!(true), json!("True"), json!(" yes "), json!("on"), json!(1), json!("1")] {
            assert_eq!(read(&value), Ok(true), "{value}");
        }
        for value in [json!(false), json!("False"), json!("NO"), json!("off"), json!(0)] {
            assert_eq!(read(&value), Ok(false), "{value}");
        }
        for value in [json!("maybe"), json!(""), json!(2), json!([]), json!(null)] {
            assert!(read(&value).is_err(), "{value}");
        }
        assert!(read(&json!("maybe")).unwrap_err().to_string().starts_with("Unrecognized value 'maybe'"));
    }
}
