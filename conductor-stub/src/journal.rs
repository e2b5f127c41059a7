//! Every request seen or sent, as JSON: what tests assert on and people look at.

use std::collections::VecDeque;
use std::sync::Mutex;

use serde::Serialize;
use serde_json::Value;

use crate::clock;

/// Entries kept; the oldest go first.
const KEPT: usize = 5000;
/// Bodies above this are noted by their size only.
const BODY_LIMIT_BYTES: usize = 256 * 1024;

/// One request and its answer.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Seconds since the epoch, when the request came or went.
    pub at: f64,
    /// `in`: to the conductor; `out`: from it to an agent.
    pub direction: &'static str,
    /// `GET`, `POST`…
    pub method: String,
    /// Path and query, the token masked; for `out` the whole URL.
    pub target: String,
    /// The API version asked for.
    pub version: Option<String>,
    /// The request's JSON.
    pub request: Value,
    /// Status of the answer; 0 when none came.
    pub status: u16,
    /// The answer's JSON, or its text.
    pub response: Value,
    /// How long it took.
    pub milliseconds: u64,
}

/// The requests, oldest first.
#[derive(Debug, Default)]
pub struct Journal(Mutex<VecDeque<Entry>>);

impl Journal {
    /// Adds an entry; secrets in it are masked first.
    pub fn add(&self, mut entry: Entry) {
        mask(&mut entry.request);
        mask(&mut entry.response);
        entry.target = mask_query(&entry.target);
        let mut entries = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if entries.len() >= KEPT {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    /// What was seen, oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).iter().cloned().collect()
    }
}

/// The JSON of a body, its text, or a note of its size.
pub fn body(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    if bytes.len() > BODY_LIMIT_BYTES {
        return format!("<{} bytes>", bytes.len()).into();
    }
    serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned().into())
}

/// The time to put into [`Entry::at`].
pub fn now() -> f64 {
    clock::seconds()
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let secret = matches!(
                    key.as_str(),
                    "agent_token"
                        | "agent_secret_token"
                        | "configdrive"
                        | "rescue_password"
                        | "system_logs"
                        | "user_data"
                ) || key.contains("password");
                match value {
                    Value::String(text) if secret => *text = "<...>".into(),
                    Value::Object(_) if secret => *value = "<...>".into(),
                    other => mask(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        _ => {}
    }
}

fn mask_query(target: &str) -> String {
    let Some(start) = target.find("agent_token=").map(|at| at + "agent_token=".len()) else { return target.into() };
    let end = target[start..].find('&').map_or(target.len(), |length| start + length);
    format!("{}<...>{}", &target[..start], &target[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        let journal = Journal::default();
        journal.add(Entry {
            at: 0.0,
            direction: "out",
            method: "POST".into(),
            target: "http://a/v1/commands/?agent_token=s3cret&wait=true".into(),
            version: None,
            request: serde_json::json!({"params": {"step": {"args": {"configdrive": "s3cret"}}}}),
            status: 200,
            response: serde_json::json!({"config": {"agent_token": "s3cret"}, "list": [{"ipmi_password": "s3cret"}]}),
            milliseconds: 1,
        });
        let text = serde_json::to_string(&journal.entries()).unwrap();
        assert!(!text.contains("s3cret"), "{text}");
        assert!(text.contains("wait=true"));
    }
}
