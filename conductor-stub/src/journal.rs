//! Every request seen or sent, as JSON, when that is asked for: what tests assert on and people look at.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use serde::Serialize;
use serde_json::Value;

use crate::clock;
use crate::mask;

/// Bodies above this are noted by their size only.
pub const BODY_LIMIT_BYTES: usize = 256 * 1024;

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

/// The requests, oldest first, as far as there is room.
#[derive(Debug, Default)]
pub struct Journal {
    limit_bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Each with the bytes it takes.
    entries: VecDeque<(usize, Entry)>,
    bytes: usize,
}

impl Journal {
    /// A journal that keeps about this much; 0 keeps nothing.
    pub fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, kept: Mutex::default() }
    }

    /// Whether anything is kept.
    pub fn is_on(&self) -> bool {
        self.limit_bytes > 0
    }

    /// Adds an entry without the secrets in it; the oldest go when there is no room.
    pub fn add(&self, mut entry: Entry) {
        if !self.is_on() {
            return;
        }
        entry.request = mask::value(&entry.request);
        entry.response = mask::value(&entry.response);
        entry.target = mask::text(&entry.target);
        let size = serde_json::to_vec(&entry).map_or(0, |text| text.len());
        let mut kept = self.kept();
        kept.entries.push_back((size, entry));
        kept.bytes += size;
        while kept.bytes > self.limit_bytes {
            let Some((size, _)) = kept.entries.pop_front() else { return };
            kept.bytes -= size;
        }
    }

    /// What was seen, oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.kept().entries.iter().map(|(_, entry)| entry.clone()).collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        let journal = Journal::new(1 << 20);
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

    #[test]
    fn it_takes_no_more_room_than_it_is_given() {
        let entry = |name: &str| Entry {
            at: 0.0,
            direction: "in",
            method: "GET".into(),
            target: name.into(),
            version: None,
            request: Value::Null,
            status: 200,
            response: "x".repeat(1000).into(),
            milliseconds: 1,
        };
        let targets = |limit| {
            let journal = Journal::new(limit);
            ["a", "b", "c"].iter().for_each(|name| journal.add(entry(name)));
            journal.entries().into_iter().map(|entry| entry.target).collect::<Vec<_>>()
        };
        assert_eq!(targets(2500), ["b", "c"]);
        assert_eq!(targets(100), Vec::<String>::new());
        assert_eq!(targets(0), Vec::<String>::new(), "off");
    }
}
