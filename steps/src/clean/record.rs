//! What is kept of an erase or a burn-in: one record per device, which the step's result, the log and `ferric-agent erase`
//! show alike.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use ferric_hardware::block::BlockDevice;
use ferric_hardware::open_device::DeviceError;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::bad_blocks::BadBlocks;
use super::method::Method;

const AGENT: &str = concat!("ferric-agent ", env!("CARGO_PKG_VERSION"));

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Requested {
    /// All content (`erase_devices`).
    Full,
    /// Partition tables and signatures (`erase_devices_metadata`).
    Metadata,
    /// All content where the device does that by itself, else metadata (`erase_devices_express`).
    Express,
    /// Writing and reading all of it (`burnin_disk`).
    BurnIn,
}

/// What became of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// What was asked for is done, and was looked at.
    Erased,
    /// It stood the burn-in.
    Passed,
    /// It was left alone; `reason` says why.
    Left,
    /// It may still hold everything; `reason` says what failed.
    Failed,
    /// It was stopped on request, and may still hold everything.
    Cancelled,
}

/// What the samples showed after the erase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// They are all zeros.
    Zeros,
    /// None holds what it held before.
    NoOldData,
    /// They held nothing before that could have been told from an erased block.
    NothingToCompare,
    /// They hold what was written.
    AsWritten,
}

/// What was read after the erase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Places that were read.
    pub samples: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// What was found.
    pub found: Found,
}

/// A method that was not the one that erased the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotUsed {
    /// The method.
    pub method: Method,
    /// Why not: it is missing, not permitted, or failed.
    pub reason: String,
}

/// The record of one device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// Kernel device path.
    pub device: String,
    /// Model.
    pub model: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// World Wide Name.
    pub wwn: Option<String>,
    /// Size in bytes.
    pub size_bytes: u64,
    /// What erased it, with its version.
    pub agent: &'static str,
    /// What was asked for.
    pub requested: Requested,
    /// What was used; null when nothing was, or what was used failed.
    pub method: Option<Method>,
    /// Passes of random data, when it was overwritten or burnt in.
    pub random_passes: Option<u64>,
    /// What was not used, in the order of the attempts.
    pub not_used: Vec<NotUsed>,
    /// When it began: RFC 3339, UTC.
    pub started: String,
    /// When it ended.
    pub ended: String,
    /// How long that is.
    pub seconds: f64,
    /// Bytes erased: the whole device when it erased itself, else the bytes written or discarded, each pass counted.
    pub bytes: u64,
    /// What was read afterwards.
    pub verified: Option<Verified>,
    /// Byte offsets of the blocks that failed the burn-in.
    #[serde(skip_serializing_if = "BadBlocks::is_empty")]
    pub bad_blocks: BadBlocks,
    /// What the device says of its health after a burn-in: `passed`, or what is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, when it is not erased.
    pub reason: Option<String>,
}

impl Record {
    /// Of a device that is not touched.
    pub(super) fn untouched(device: &BlockDevice, requested: Requested, outcome: Outcome, reason: String) -> Self {
        Self { outcome, reason: Some(reason), ..Self::begin(device, requested) }
    }

    fn begin(device: &BlockDevice, requested: Requested) -> Self {
        let now = now();
        Self {
            device: device.name.clone(),
            model: device.model.clone(),
            serial: device.serial.clone(),
            wwn: device.wwn.clone(),
            size_bytes: device.size_bytes,
            agent: AGENT,
            requested,
            method: None,
            random_passes: None,
            not_used: Vec::new(),
            started: now.clone(),
            ended: now,
            seconds: 0.0,
            bytes: 0,
            verified: None,
            bad_blocks: BadBlocks::default(),
            health: None,
            outcome: Outcome::Left,
            reason: None,
        }
    }
}

fn now() -> String {
    // Only years beyond 9999 cannot be written.
    OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default()
}

/// A record that is being written. Copies write the same one.
#[derive(Debug, Clone)]
pub struct Recorder(Arc<Mutex<Open>>);

#[derive(Debug)]
struct Open {
    record: Record,
    begun: Instant,
    ended: bool,
}

impl Recorder {
    /// The record of this device begins.
    pub fn begin(device: &BlockDevice, requested: Requested) -> Self {
        let record = Record::begin(device, requested);
        Self(Arc::new(Mutex::new(Open { record, begun: Instant::now(), ended: false })))
    }

    /// It begins now, not when it was made.
    pub(super) fn restart(&self) {
        let mut open = self.open();
        (open.begun, open.record.started) = (Instant::now(), now());
    }

    /// What erases it, or has erased it.
    pub(super) fn used(&self, method: Method) {
        self.open().record.method = Some(method);
    }

    /// What erased it did not: the next method is tried.
    pub(super) fn not_used(&self, method: Method, reason: impl Into<String>) {
        let reason = reason.into();
        tracing::info!(%method, reason, "not used");
        let mut open = self.open();
        open.record.method = None;
        open.record.not_used.push(NotUsed { method, reason });
    }

    /// How many passes of random data it gets.
    pub(super) fn random_passes(&self, passes: u64) {
        self.open().record.random_passes = Some(passes);
    }

    /// What was read after the erase.
    pub(super) fn verified(&self, verified: Verified) {
        self.open().record.verified = Some(verified);
    }

    /// Which blocks are bad.
    pub(super) fn bad_blocks(&self, bad: BadBlocks) {
        self.open().record.bad_blocks = bad;
    }

    /// What the device says of its health.
    pub(super) fn health(&self, words: &str) {
        self.open().record.health = Some(words.to_string());
    }

    /// That many bytes more are erased, or written over.
    pub(super) fn erased(&self, bytes: u64) {
        self.open().record.bytes += bytes;
    }

    /// Why it is left alone.
    pub(super) fn leave(&self, reason: &str) -> Outcome {
        tracing::info!(reason, "left alone");
        self.open().record.reason = Some(reason.to_string());
        Outcome::Left
    }

    pub(super) fn has_ended(&self) -> bool {
        self.open().ended
    }

    /// Ends it, once: what comes later changes nothing.
    pub(super) fn end(&self, result: Result<Outcome, DeviceError>) {
        let mut open = self.open();
        if open.ended {
            return;
        }
        open.ended = true;
        let begun = open.begun;
        let record = &mut open.record;
        (record.ended, record.seconds) = (now(), begun.elapsed().as_secs_f64());
        match result {
            Ok(outcome) => record.outcome = outcome,
            Err(error) => {
                let cancelled = matches!(error, DeviceError::Cancelled { .. });
                record.outcome = if cancelled { Outcome::Cancelled } else { Outcome::Failed };
                let text = error.to_string();
                let own = text.strip_prefix(&format!("{}: ", record.device)).unwrap_or(&text);
                record.reason = Some(own.to_string());
            }
        }
    }

    /// What it says.
    pub fn record(&self) -> Record {
        self.open().record.clone()
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> BlockDevice {
        BlockDevice { name: "/dev/sda".into(), serial: Some("S1".into()), size_bytes: 4096, ..BlockDevice::default() }
    }

    #[test]
    fn a_record_says_what_was_tried_and_what_came_of_it() {
        let recorder = Recorder::begin(&disk(), Requested::Full);
        recorder.not_used(Method::Discard, "not permitted");
        recorder.used(Method::Overwrite);
        recorder.erased(4096);
        recorder.verified(Verified { samples: 1, bytes: 4096, found: Found::Zeros });
        recorder.end(Ok(Outcome::Erased));
        let json = serde_json::to_value(recorder.record()).unwrap();
        assert_eq!(json["serial"], "S1");
        assert_eq!(
            (&json["requested"], &json["method"], &json["outcome"]),
            (&"full".into(), &"overwrite".into(), &"erased".into())
        );
        assert_eq!(json["not_used"][0], serde_json::json!({"method": "discard", "reason": "not permitted"}));
        assert_eq!(json["verified"], serde_json::json!({"samples": 1, "bytes": 4096, "found": "zeros"}));
        assert!(json["started"].as_str().unwrap().ends_with('Z'), "{json}");
    }

    #[test]
    fn the_first_end_counts() {
        let recorder = Recorder::begin(&disk(), Requested::Full);
        let gone = DeviceError::Refused { device: "/dev/sda".into(), reason: "no answer".into() };
        recorder.end(Err(gone));
        recorder.end(Ok(Outcome::Erased));
        let record = recorder.record();
        assert_eq!((record.outcome, record.reason.as_deref()), (Outcome::Failed, Some("no answer")));
    }
}
