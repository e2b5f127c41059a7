//! How far something long has come: one shared record that workers update and anybody may read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde::Serialize;

use self::rate::Rate;

mod rate;

/// A handle to the progress of one running step. Clones share the same record.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Record>);

#[derive(Debug)]
struct Record {
    done_bytes: AtomicU64,
    total_bytes: AtomicU64,
    rate: Mutex<Rate>,
    activity: Mutex<String>,
    trouble: Mutex<Option<String>>,
    parts: Mutex<Vec<Part>>,
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
    /// Bytes per second, over the last seconds.
    pub rate_bytes_per_second: u64,
    /// Seconds left at this rate, when the total is known.
    pub eta_seconds: Option<u64>,
    /// What holds it up now, `connection refused, attempt 3 of 10, next in 4 s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// The devices that are worked on, when there are several things going on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceSnapshot>,
}

/// How far one device is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceSnapshot {
    /// Kernel device path.
    pub device: String,
    /// What is being done with it; `waiting` before, `ended` after that.
    pub activity: String,
    /// Bytes done of this activity.
    pub done_bytes: u64,
    /// Size of the device.
    pub total_bytes: u64,
    /// Bytes per second of this activity, over the last seconds.
    pub rate_bytes_per_second: u64,
    /// Seconds left at this rate, once there is one.
    pub eta_seconds: Option<u64>,
}

impl Default for Progress {
    fn default() -> Self {
        Self(Arc::new(Record {
            done_bytes: AtomicU64::new(0),
            total_bytes: AtomicU64::new(0),
            rate: Mutex::default(),
            activity: Mutex::default(),
            trouble: Mutex::default(),
            parts: Mutex::default(),
        }))
    }
}

impl Progress {
    /// Names what is being done from now on.
    pub fn activity(&self, text: impl Into<String>) {
        *lock(&self.0.activity) = text.into();
    }

    /// Names what holds it up, or says that nothing does any more.
    pub fn trouble(&self, text: Option<String>) {
        *lock(&self.0.trouble) = text;
    }

    /// Sets the total in bytes; 0 means unknown.
    pub fn total(&self, bytes: u64) {
        self.0.total_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Sets the bytes done.
    pub fn done(&self, bytes: u64) {
        self.0.done_bytes.store(bytes, Ordering::Relaxed);
        self.0.sample();
    }

    /// Adds to the bytes done.
    pub fn add(&self, bytes: u64) {
        self.0.done_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.0.sample();
    }

    /// One device of the whole, which may be silent for `limit` before it counts as dead.
    pub fn part(&self, device: &str, total_bytes: u64, limit: Duration) -> Part {
        let now = Instant::now();
        let state = PartState {
            activity: WAITING.to_string(),
            rate: Rate::default(),
            done_bytes: 0,
            silent_until: now + limit,
        };
        let part = Part(Arc::new(PartRecord {
            whole: Arc::downgrade(&self.0),
            device: device.to_string(),
            total_bytes,
            silence_limit: limit,
            state: Mutex::new(state),
        }));
        lock(&self.0.parts).push(part.clone());
        part
    }

    /// The state now, or nothing while no work has been announced.
    pub fn snapshot(&self) -> Option<Snapshot> {
        let activity = lock(&self.0.activity).clone();
        if activity.is_empty() {
            return None;
        }
        let done_bytes = self.0.done_bytes.load(Ordering::Relaxed);
        let total = self.0.total_bytes.load(Ordering::Relaxed);
        let rate = lock(&self.0.rate).per_second(Instant::now(), done_bytes);
        Some(Snapshot {
            activity,
            done_bytes,
            total_bytes: (total > 0).then_some(total),
            rate_bytes_per_second: rate,
            eta_seconds: (total > 0 && rate > 0).then(|| total.saturating_sub(done_bytes) / rate),
            trouble: lock(&self.0.trouble).clone(),
            devices: lock(&self.0.parts).iter().map(Part::snapshot).collect(),
        })
    }
}

impl Record {
    fn sample(&self) {
        lock(&self.rate).sample(Instant::now(), self.done_bytes.load(Ordering::Relaxed));
    }
}

/// What a thread that panicked has left is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const WAITING: &str = "waiting";
const ENDED: &str = "ended";

/// The progress of one device of several; what it does counts for the whole. Clones share the same record.
#[derive(Debug, Clone)]
pub struct Part(Arc<PartRecord>);

#[derive(Debug)]
struct PartRecord {
    whole: Weak<Record>,
    device: String,
    total_bytes: u64,
    silence_limit: Duration,
    state: Mutex<PartState>,
}

#[derive(Debug)]
struct PartState {
    activity: String,
    rate: Rate,
    done_bytes: u64,
    silent_until: Instant,
}

impl Part {
    /// It is the device's turn.
    pub(crate) fn start(&self) {
        self.begin("starting");
    }

    /// Something else begins, from the start: what was done before counts no more.
    pub(crate) fn begin(&self, activity: &str) {
        let mut state = self.state();
        state.rate = Rate::default();
        self.count(&mut state, 0);
        state.activity = activity.to_string();
        state.silent_until = Instant::now() + self.0.silence_limit;
    }

    /// That many bytes more are done.
    pub(crate) fn add(&self, bytes: u64) {
        let mut state = self.state();
        let done = (state.done_bytes + bytes).min(self.0.total_bytes);
        self.count(&mut state, done);
        state.silent_until = Instant::now() + self.0.silence_limit;
    }

    /// All is done.
    pub(crate) fn complete(&self) {
        self.add(self.0.total_bytes);
    }

    /// Nothing more will be done.
    pub(crate) fn end(&self) {
        self.state().activity = ENDED.to_string();
    }

    /// It may be silent for `limit` longer than usual, up to the next sign of life.
    pub(crate) fn expect_silence(&self, limit: Duration) {
        self.state().silent_until = Instant::now() + limit + self.0.silence_limit;
    }

    /// Whether it is at work and has been silent for too long.
    pub(crate) fn is_overdue(&self) -> bool {
        let state = self.state();
        ![WAITING, ENDED].contains(&state.activity.as_str()) && Instant::now() > state.silent_until
    }

    fn count(&self, state: &mut PartState, done_bytes: u64) {
        if let Some(whole) = self.0.whole.upgrade() {
            match done_bytes.checked_sub(state.done_bytes) {
                Some(more) => whole.done_bytes.fetch_add(more, Ordering::Relaxed),
                None => whole.done_bytes.fetch_sub(state.done_bytes - done_bytes, Ordering::Relaxed),
            };
            whole.sample();
        }
        state.done_bytes = done_bytes;
        state.rate.sample(Instant::now(), done_bytes);
    }

    fn snapshot(&self) -> DeviceSnapshot {
        let state = self.state();
        let rate = state.rate.per_second(Instant::now(), state.done_bytes);
        let is_running = ![WAITING, ENDED].contains(&state.activity.as_str());
        DeviceSnapshot {
            device: self.0.device.clone(),
            activity: state.activity.clone(),
            done_bytes: state.done_bytes,
            total_bytes: self.0.total_bytes,
            rate_bytes_per_second: rate,
            eta_seconds: (is_running && rate > 0).then(|| (self.0.total_bytes - state.done_bytes) / rate),
        }
    }

    fn state(&self) -> MutexGuard<'_, PartState> {
        lock(&self.0.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_count_for_the_whole_and_what_is_begun_again_counts_once() {
        let progress = Progress::default();
        progress.activity("erasing devices");
        progress.total(300);
        let [one, two] = [("/dev/sda", 100), ("/dev/sdb", 200)]
            .map(|(device, size)| progress.part(device, size, Duration::from_secs(60)));
        one.start();
        one.add(40);
        one.begin("overwriting");
        one.add(10);
        two.start();
        two.complete();
        let now = progress.snapshot().unwrap();
        assert_eq!(now.done_bytes, 210);
        let devices: Vec<_> = now.devices.iter().map(|part| (part.activity.as_str(), part.done_bytes)).collect();
        assert_eq!(devices, [("overwriting", 10), ("starting", 200)]);
    }

    #[test]
    fn only_what_is_at_work_is_overdue() {
        let progress = Progress::default();
        let part = progress.part("/dev/sda", 1, Duration::ZERO);
        assert!(!part.is_overdue());
        part.start();
        std::thread::sleep(Duration::from_millis(2));
        assert!(part.is_overdue());
        part.expect_silence(Duration::from_secs(3600));
        assert!(!part.is_overdue());
        part.begin("overwriting");
        part.end();
        assert!(!part.is_overdue());
    }
}
