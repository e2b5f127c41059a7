//! Tries to write an image until it is there or there is no way left.

use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::disk::{BlockTarget, Target};
use super::inspect::Expected;
use super::pipeline::{self, Plan, Written};
use super::source::{Source, Terms};
use super::{ImageError, Location, Seconds, Verify, WriteRequest, WriteSummary};
use crate::progress::Progress;

/// Writes an image to a device. The disk has no partition table and no boot sector until every byte is
/// verified and durable, and has none after a failure.
///
/// # Errors
/// Any [`ImageError`]; those of its variants that say so left the disk untouched.
pub async fn write(
    request: WriteRequest,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<WriteSummary, ImageError> {
    let started = Instant::now();
    let (device, region) = (request.device.clone(), request.region);
    let plan = Arc::new(Plan {
        verify: request.verify.clone(),
        decoded: request.decoded.clone(),
        expected: Expected {
            choice: request.format,
            permitted: request.permitted.clone(),
            is_partition: request.region.is_some(),
        },
        buffer_budget: request.buffer_budget,
        read_back: request.read_back,
        open: Box::new(move || Ok(Arc::new(BlockTarget::open(&device, region)?) as Arc<dyn Target>)),
    });
    let mut locations = request.locations.clone();
    let mut notes = Vec::new();
    let mut changes = 0;
    loop {
        progress.activity(format!("writing {}", request.device.name));
        match attempt(&request, &locations, &plan, progress, cancel).await {
            Ok(written) => {
                let summary = summary(&request, written, notes, started);
                tracing::info!(
                    device = summary.device,
                    bytes = summary.image_bytes,
                    seconds = summary.seconds.total,
                    "image written"
                );
                return Ok(summary);
            }
            Err((error @ ImageError::Changed(_), _)) if changes < request.retries.count => {
                changes += 1;
                notes.push(format!("{}; started again", error.chain()));
            }
            Err((error @ (ImageError::Checksum { .. } | ImageError::Damaged(_)), Some(used)))
                if locations.len() > 1 =>
            {
                locations.retain(|location| *location != used);
                notes.push(format!("{used}: {}; tried the next", error.chain()));
            }
            Err((error, _)) => return Err(error),
        }
    }
}

/// One try: from opening a source to the commit.
async fn attempt(
    request: &WriteRequest,
    locations: &[Location],
    plan: &Arc<Plan>,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Written, (ImageError, Option<Location>)> {
    // When this future or the try ends, what still runs for it ends too.
    let cancel = cancel.child_token();
    let _stop = cancel.clone().drop_guard();
    let terms = Terms {
        http: request.http.clone(),
        login: request.login.clone(),
        retries: request.retries.clone(),
        algorithm: match &plan.verify {
            Verify::Digest(digest) => Some(digest.algorithm),
            Verify::Unchecked => None,
        },
        progress: progress.clone(),
        cancel: cancel.clone(),
    };
    let source = Source::open(locations, &terms).await;
    let source = source.map_err(|error| (error, None))?;
    let used = source.location();
    let (plan, progress, handle) = (Arc::clone(plan), progress.clone(), Handle::current());
    let locations = locations.to_vec();
    let work = tokio::task::spawn_blocking(move || {
        let reopen = || handle.block_on(Source::open(&locations, &terms));
        pipeline::run(&plan, source, &reopen, &progress, &cancel, &handle)
    });
    match work.await {
        Ok(result) => result.map_err(|error| (error, used)),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err((ImageError::Cancelled, None)),
        },
    }
}

fn summary(request: &WriteRequest, written: Written, mut notes: Vec<String>, started: Instant) -> WriteSummary {
    notes.extend(written.received.notes);
    let (digest, hash) = match written.digest {
        Some((digest, busy)) => (Some(digest), busy.as_secs_f64()),
        None => (None, 0.0),
    };
    WriteSummary {
        device: request.device.name.clone(),
        source: written.received.location,
        format: written.format,
        compression: written.compression.map(|c| c.name()),
        served_bytes: written.received.bytes,
        image_bytes: written.image_bytes.0,
        written_bytes: written.done.written,
        zeroed_bytes: written.done.zeroed,
        digest,
        decoded_digest: written.decoded_digest,
        seconds: Seconds {
            total: started.elapsed().as_secs_f64(),
            receive: written.received.busy.as_secs_f64(),
            hash,
            decode: written.decode.as_secs_f64(),
            write: written.done.busy.as_secs_f64(),
            commit: written.commit.as_secs_f64(),
        },
        resumes: written.received.resumes,
        peak_memory_bytes: peak_memory_bytes(),
        read_back: written.read_back,
        notes,
    }
}

/// Largest resident memory of this process so far (`VmHWM`, proc_pid_status(5)); 0 when unknown.
fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
