//! How far something long has come: one shared record that workers update and anybody may read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde::Serialize;

/// A handle to the progress of one running step. Clones share the same record.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Record>);

#[derive(Debug)]
struct Record {
    started: Instant,
    done_bytes: AtomicU64,
    total_bytes: AtomicU64,
    activity: std::sync::Mutex<String>,
    trouble: std::sync::Mutex<Option<String>>,
}

/// What [`Progress`] says at one moment; the `progress` object of a command.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    /// What is being done, `writing /dev/sda`.
    pub activity: String,
    /// Bytes done.
    pub done_bytes: u64,
    /// Bytes in all, when known.
    pub total_bytes: Option<u64>,
    /// Average rate since the start, bytes per second.
    pub rate_bytes_per_second: u64,
    /// Seconds left at this rate, when the total is known.
    pub eta_seconds: Option<u64>,
    /// What holds it up now, `connection refused, attempt 3 of 10, next in 4 s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Default for Progress {
    fn default() -> Self {
        Self(Arc::new(Record {
            started: Instant::now(),
            done_bytes: AtomicU64::new(0),
            total_bytes: AtomicU64::new(0),
            activity: std::sync::Mutex::default(),
            trouble: std::sync::Mutex::default(),
        }))
    }
}

impl Progress {
    /// Names what is being done from now on.
    pub fn activity(&self, text: impl Into<String>) {
        *self.0.activity.lock().unwrap_or_else(|e| e.into_inner()) = text.into();
    }

    /// Names what holds it up, or says that nothing does any more.
    pub fn trouble(&self, text: Option<String>) {
        *self.0.trouble.lock().unwrap_or_else(|e| e.into_inner()) = text;
    }

    /// Sets the total in bytes; 0 means unknown.
    pub fn total(&self, bytes: u64) {
        self.0.total_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Sets the bytes done.
    pub fn done(&self, bytes: u64) {
        self.0.done_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Adds to the bytes done.
    pub fn add(&self, bytes: u64) {
        self.0.done_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The state now, or nothing while no work has been announced.
    pub fn snapshot(&self) -> Option<Snapshot> {
        let activity = self.0.activity.lock().unwrap_or_else(|e| e.into_inner()).clone();
        if activity.is_empty() {
            return None;
        }
        let done_bytes = self.0.done_bytes.load(Ordering::Relaxed);
        let total = self.0.total_bytes.load(Ordering::Relaxed);
        let seconds = self.0.started.elapsed().as_secs_f64().max(0.001);
        let rate = (done_bytes as f64 / seconds) as u64;
        Some(Snapshot {
            activity,
            done_bytes,
            total_bytes: (total > 0).then_some(total),
            rate_bytes_per_second: rate,
            eta_seconds: (total > 0 && rate > 0).then(|| total.saturating_sub(done_bytes) / rate),
            trouble: self.0.trouble.lock().unwrap_or_else(|e| e.into_inner()).clone(),
        })
    }
}
