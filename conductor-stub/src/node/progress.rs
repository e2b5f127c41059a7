//! How far a running step is, as its agent says.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::mask;

/// Characters that are kept of what an agent says it is doing.
const LONGEST_TEXT: usize = 200;

/// The progress of a command, and of the bytes that it moves if it moves any.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The agent's command, `execute_deploy_step`.
    pub command: String,
    /// `RUNNING`, `SUCCEEDED`…
    pub status: String,
    /// What is being done, `writing /dev/sda`.
    pub activity: Option<String>,
    /// Bytes done.
    pub done_bytes: Option<u64>,
    /// Bytes in all, when known.
    pub total_bytes: Option<u64>,
    /// Bytes per second.
    pub rate_bytes_per_second: Option<u64>,
    /// Seconds left, when the total is known.
    pub eta_seconds: Option<u64>,
}

impl Progress {
    /// From a command of the agent's list and the object `progress` in it; what is no progress is left out.
    pub fn read(command: &str, status: &str, said: &Value) -> Self {
        let short = |text: &str| {
            let text: String = text.chars().filter(|c| !c.is_control()).take(LONGEST_TEXT).collect();
            mask::text(&text)
        };
        let number = |key: &str| said.get(key).and_then(Value::as_u64);
        Self {
            command: short(command),
            status: short(status),
            activity: said.get("activity").and_then(Value::as_str).map(short),
            done_bytes: number("done_bytes"),
            total_bytes: number("total_bytes"),
            rate_bytes_per_second: number("rate_bytes_per_second"),
            eta_seconds: number("eta_seconds"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_known_is_kept() {
        let said = json!({"activity": "writing\n".repeat(100), "done_bytes": 7, "total_bytes": null, "eta_seconds": "1", "x": [1]});
        let progress = Progress::read("execute_deploy_step", "RUNNING", &said);
        assert_eq!(progress.activity.as_ref().map(String::len), Some(LONGEST_TEXT));
        assert_eq!((progress.done_bytes, progress.total_bytes, progress.eta_seconds), (Some(7), None, None));
        assert_eq!(Progress::read("c", "RUNNING", &Value::Null).activity, None);
    }
}
