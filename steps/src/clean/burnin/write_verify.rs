//! The disk burn-in of our own, where fio is missing: the whole disk is written with random data, past the page cache, and
//! read again.

use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use ferric_hardware::aligned::AlignedBuffer;
use ferric_hardware::machine::Machine;
use ferric_hardware::open_device::{Access, DeviceError, OpenDevice};
use ferric_hardware::units::Bytes;
use ferric_hardware::watch::Watch;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::clean::bad_blocks::{BadBlocks, Fault};
use crate::clean::record::{Found, Verified};
use crate::clean::workers::Job;

const PIECE_BYTES: usize = 4 << 20;

/// How long it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// So many passes over the whole disk.
    Passes(u64),
    /// So long; the last pass may end before the disk does.
    Time(Duration),
}

/// Writes the whole disk, reads it again, and notes what does not come back. Every block has content that no other block
/// has had: a disk that confuses blocks is found as well as one that forgets them.
///
/// # Errors
/// [`DeviceError::Refused`] names the bad blocks; others when the disk is gone or the job is cancelled.
pub(super) fn write_and_verify(machine: &Machine, job: &Job, extent: Extent) -> Result<(), DeviceError> {
    job.activity("burn-in");
    let open = OpenDevice::open(machine, &job.disk, Access::WriteDirect)?;
    let (wanted, deadline) = match extent {
        Extent::Passes(passes) => (passes, None),
        Extent::Time(limit) => (u64::MAX, Some(Instant::now() + limit)),
    };
    // Of a burn-in that ends by the clock, the progress is that of the first pass.
    let share = if deadline.is_some() { 2 } else { 2 * wanted.max(1) };
    let mut run = Run { open: &open, job, share, bad: BadBlocks::default(), read: 0 };
    let mut passes = 0;
    while passes < wanted && !is_over(deadline) && !run.bad.are_too_many() {
        let seed = rand::random();
        let end = run.write(seed, deadline)?;
        open.flush()?;
        run.verify(seed, end)?;
        passes += 1;
        job.recorder.random_passes(passes);
        tracing::info!(pass = passes, bad_blocks = run.bad.to_string(), "written and read");
    }
    let samples = run.read / u64::from(open.block_size().0);
    if run.bad.is_empty() {
        job.recorder.verified(Verified { samples, bytes: run.read, found: Found::AsWritten });
        return Ok(());
    }
    let reason = run.bad.to_string();
    job.recorder.bad_blocks(run.bad);
    Err(DeviceError::Refused { device: job.disk.name.clone(), reason })
}

fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() > deadline)
}

struct Run<'a> {
    open: &'a OpenDevice,
    job: &'a Job,
    /// A byte written or read is this part of a byte of the progress.
    share: u64,
    bad: BadBlocks,
    read: u64,
}

impl Run<'_> {
    /// Writes from the start to the end, or as far as time permits; returns how far.
    fn write(&mut self, seed: u64, deadline: Option<Instant>) -> Result<u64, DeviceError> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut buffer = AlignedBuffer::new(PIECE_BYTES);
        self.pieces(self.open.size().0, deadline, |run, at, length| {
            random.fill_bytes(&mut buffer);
            let (piece, block) = (&buffer[..length], run.block());
            if run.open.file().write_all_at(piece, at).is_err() {
                for (at, part) in (at..).step_by(block).zip(piece.chunks(block)) {
                    run.judge(run.open.write(part, Bytes(at)), at, Fault::Unwritable)?;
                }
            }
            run.job.recorder.erased(length as u64);
            Ok(())
        })
    }

    /// Reads the first `end` bytes, and compares them with what was written from the same seed.
    fn verify(&mut self, seed: u64, end: u64) -> Result<(), DeviceError> {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut expected, mut buffer) = (AlignedBuffer::new(PIECE_BYTES), AlignedBuffer::new(PIECE_BYTES));
        self.pieces(end, None, |run, at, length| {
            random.fill_bytes(&mut expected);
            let whole = run.open.read(&mut buffer[..length], Bytes(at));
            if whole.is_err() || buffer[..length] != expected[..length] {
                for start in (0..length).step_by(run.block()) {
                    let (at, part) = (at + start as u64, start..(start + run.block()).min(length));
                    let read = run.open.read(&mut buffer[part.clone()], Bytes(at));
                    let differs = read.is_ok() && buffer[part.clone()] != expected[part];
                    run.judge(read, at, Fault::Unreadable)?;
                    if differs {
                        run.bad.note(at, Fault::Forgetful);
                    }
                }
            }
            run.read += length as u64;
            Ok(())
        })?;
        Ok(())
    }

    /// Does `work` with the pieces up to `end`, their places and lengths, until time is over or too much is bad. Returns
    /// where it stopped.
    fn pieces(
        &mut self,
        end: u64,
        deadline: Option<Instant>,
        mut work: impl FnMut(&mut Self, u64, usize) -> Result<(), DeviceError>,
    ) -> Result<u64, DeviceError> {
        let mut at = 0;
        while at < end && !is_over(deadline) && !self.bad.are_too_many() {
            if self.job.cancelled() {
                return Err(DeviceError::Cancelled { device: self.open.name().to_string() });
            }
            let length = (end - at).min(PIECE_BYTES as u64);
            work(self, at, length as usize)?;
            self.job.advance(length / self.share);
            at += length;
        }
        Ok(at)
    }

    /// A block that fails is bad; a disk that is gone is no disk with bad blocks.
    fn judge(&mut self, result: Result<(), DeviceError>, at: u64, fault: Fault) -> Result<(), DeviceError> {
        match result {
            Ok(()) => Ok(()),
            Err(DeviceError::Block { ref cause, .. }) if cause.kind() != io::ErrorKind::NotFound => {
                self.bad.note(at, fault);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn block(&self) -> usize {
        self.open.block_size().0 as usize
    }
}
