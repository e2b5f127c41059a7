//! Work on several devices at once: each has its record and its progress, and one that fails or never answers stops none of
//! the others.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use ferric_hardware::block::EligibleDevice;
use ferric_hardware::open_device::DeviceError;
use ferric_hardware::watch::Watch;
use tokio_util::sync::CancellationToken;

use super::record::{Outcome, Record, Recorder, Requested};
use crate::options::Erase;
use crate::progress::Part;
use crate::step::Step;

/// How often those that run are looked at.
const POLL: Duration = Duration::from_millis(200);

/// One device of many.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) disk: EligibleDevice,
    pub(super) recorder: Recorder,
    part: Part,
    cancel: CancellationToken,
}

impl Job {
    /// Says what is done with it from now on, from the start.
    pub(super) fn activity(&self, text: &str) {
        self.part.begin(text);
    }

    /// All of it is done.
    pub(super) fn complete(&self) {
        self.part.complete();
    }
}

impl Watch for Job {
    fn advance(&self, bytes: u64) {
        self.part.add(bytes);
    }

    /// One that was given up does not go on when its device comes back.
    fn cancelled(&self) -> bool {
        self.cancel.is_cancelled() || self.recorder.has_ended()
    }

    fn expect_silence(&self, limit: Duration) {
        self.part.expect_silence(limit);
    }
}

/// Does `work` with every device: those of one group one after the other, so many groups at once as the options say. A
/// device that shows no sign of life for longer than it may is given up, and its thread is left behind: nothing can end a
/// call into a kernel that waits for hardware.
pub(super) fn run(
    step: &Step,
    groups: Vec<Vec<EligibleDevice>>,
    requested: Requested,
    options: &Erase,
    work: impl Fn(&Job) -> Result<Outcome, DeviceError> + Send + Sync + 'static,
) -> Vec<Record> {
    let work = Arc::new(work);
    step.progress.total(groups.iter().flatten().map(|disk| disk.size_bytes).sum());
    let job = |disk: EligibleDevice| {
        Arc::new(Job {
            recorder: Recorder::begin(&disk, requested),
            part: step.progress.part(&disk.name, disk.size_bytes, options.stall),
            cancel: step.cancel.clone(),
            disk,
        })
    };
    let groups: Vec<Vec<Arc<Job>>> = groups.into_iter().map(|group| group.into_iter().map(job).collect()).collect();
    let mut waiting: VecDeque<usize> = (0..groups.len()).collect();
    let mut running: HashMap<usize, Vec<Arc<Job>>> = HashMap::new();
    let (tell, told) = channel();
    loop {
        while running.len() < options.concurrency.max(1)
            && let Some(number) = waiting.pop_front()
        {
            let (jobs, work) = (groups[number].clone(), work.clone());
            let ended = Ended { number, tell: tell.clone() };
            running.insert(number, jobs.clone());
            std::thread::spawn(move || {
                let _ended = ended;
                jobs.iter().filter(|job| !job.recorder.has_ended()).for_each(|job| perform(job, &*work));
            });
        }
        if running.is_empty() {
            break;
        }
        if let Ok(number) = told.recv_timeout(POLL) {
            running.remove(&number);
        }
        running.retain(|_, jobs| !given_up(jobs));
    }
    let records: Vec<Record> = groups.iter().flatten().map(|job| concluded(job)).collect();
    for record in &records {
        let record = serde_json::to_string(record).unwrap_or_default();
        tracing::info!(record, "disk record");
    }
    records
}

fn perform(job: &Job, work: &(impl Fn(&Job) -> Result<Outcome, DeviceError> + Send + Sync)) {
    let span = tracing::info_span!("disk", device = %job.disk.name);
    span.in_scope(|| {
        job.recorder.restart();
        job.part.start();
        let result = match job.cancelled() {
            true => Err(DeviceError::Cancelled { device: job.disk.name.clone() }),
            false => work(job),
        };
        job.recorder.end(result);
        job.part.end();
    });
}

/// Whether a device of the group is silent for too long. Then it and those after it are given up.
fn given_up(jobs: &[Arc<Job>]) -> bool {
    let is_silent = jobs.iter().any(|job| !job.recorder.has_ended() && job.part.is_overdue());
    if is_silent {
        for job in jobs.iter().filter(|job| !job.recorder.has_ended()) {
            let device = job.disk.name.clone();
            let reason = match job.part.is_overdue() {
                true => "it, or its controller, does not answer any more; the machine needs a power cycle".to_string(),
                false => "another namespace of its controller does not answer any more".to_string(),
            };
            tracing::error!(device, reason, "given up");
            job.recorder.end(Err(DeviceError::Refused { device, reason }));
        }
    }
    is_silent
}

fn concluded(job: &Job) -> Record {
    // Only a panic leaves a record open.
    let reason = "its thread ended abnormally".to_string();
    job.recorder.end(Err(DeviceError::Refused { device: job.disk.name.clone(), reason }));
    job.recorder.record()
}

/// Tells that a group is through, however its thread ends.
struct Ended {
    number: usize,
    tell: Sender<usize>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        // Nobody listens any more when the group was given up.
        let _ = self.tell.send(self.number);
    }
}
