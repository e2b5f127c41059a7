//! Overwriting: passes of random data, a last one of zeros.

use std::sync::mpsc::sync_channel;

use ferric_hardware::aligned::AlignedBuffer;
use ferric_hardware::machine::Machine;
use ferric_hardware::open_device::{Access, DeviceError, OpenDevice};
use ferric_hardware::units::Bytes;
use ferric_hardware::watch::Watch;
use rand::Rng;
use rand::rngs::StdRng;

use super::workers::Job;
use crate::options::Erase;

const BUFFER_BYTES: usize = 4 << 20;
/// Buffers under way: one is filled while the other is written.
const BUFFERS: usize = 2;

/// Overwrites the device as the options say: `iterations` random passes, then zeros, at least one of them.
///
/// # Errors
/// When a pass fails (the error names the block), or the job is cancelled.
pub(super) fn overwrite(machine: &Machine, job: &Job, options: &Erase) -> Result<(), DeviceError> {
    let passes = options.iterations + u64::from(options.zeroize);
    let share = Share { job, passes };
    job.recorder.random_passes(options.iterations);
    for pass in 1..=options.iterations {
        tracing::info!(pass, passes, "overwriting with random data");
        random_pass(&OpenDevice::open(machine, &job.disk, Access::WriteDirect)?, &share)?;
    }
    if options.zeroize {
        let open = OpenDevice::open(machine, &job.disk, Access::Write)?;
        open.zero(Bytes(0), open.size(), &share)?;
        open.flush()?;
    }
    Ok(())
}

/// One pass of several: each counts for its part of the device.
struct Share<'a> {
    job: &'a Job,
    passes: u64,
}

impl Watch for Share<'_> {
    fn advance(&self, bytes: u64) {
        self.job.recorder.erased(bytes);
        self.job.advance(bytes / self.passes);
    }

    fn cancelled(&self) -> bool {
        self.job.cancelled()
    }
}

/// Writes a stream of random bytes over the whole device, past the page cache, and makes it durable.
fn random_pass(open: &OpenDevice, watch: &dyn Watch) -> Result<(), DeviceError> {
    let (give_full, take_full) = sync_channel::<AlignedBuffer>(BUFFERS);
    let (give_empty, take_empty) = sync_channel::<AlignedBuffer>(BUFFERS);
    for _ in 0..BUFFERS {
        // There is room for all of them.
        give_empty.send(AlignedBuffer::new(BUFFER_BYTES)).ok();
    }
    // The channels go with the closure, so that the filling thread ends before it is waited for.
    std::thread::scope(move |scope| {
        scope.spawn(move || {
            let mut random = rand::make_rng::<StdRng>();
            while let Ok(mut buffer) = take_empty.recv() {
                random.fill_bytes(&mut buffer);
                if give_full.send(buffer).is_err() {
                    return;
                }
            }
        });
        let (mut at, size) = (0, open.size().0);
        while at < size {
            if watch.cancelled() {
                return Err(DeviceError::Cancelled { device: open.name().to_string() });
            }
            let Ok(buffer) = take_full.recv() else { break };
            let length = (size - at).min(BUFFER_BYTES as u64) as usize;
            open.write(&buffer[..length], Bytes(at))?;
            watch.advance(length as u64);
            at += length as u64;
            give_empty.send(buffer).ok();
        }
        open.flush()
    })
}
