//! Overwriting: passes of random data, a last one of zeros that is looked at.

use std::os::unix::fs::FileExt;
use std::sync::mpsc::sync_channel;

use ferric_hardware::aligned::AlignedBuffer;
use ferric_hardware::block::EligibleDevice;
use ferric_hardware::machine::Machine;
use ferric_hardware::open_device::{Access, DeviceError, OpenDevice};
use ferric_hardware::units::Bytes;
use ferric_hardware::watch::Watch;
use rand::Rng;
use rand::rngs::StdRng;

use super::samples;
use crate::options::Erase;

const BUFFER_BYTES: usize = 4 << 20;
/// Buffers under way: one is filled while the other is written.
const BUFFERS: usize = 2;

/// Overwrites the device as the options say: `iterations` random passes, then zeros.
///
/// # Errors
/// When a pass fails, `watch` cancels, or the zeros do not read back.
pub(super) fn overwrite(
    machine: &Machine,
    device: &EligibleDevice,
    options: &Erase,
    watch: &dyn Watch,
) -> Result<(), DeviceError> {
    let passes = options.iterations + u64::from(options.zeroize);
    if passes == 0 {
        tracing::warn!(device = %device.name, "not overwritten: neither random passes nor zeros are asked for");
    }
    let share = Share { watch, passes };
    for _ in 0..options.iterations {
        random_pass(device, Bytes(device.size_bytes), &share)?;
    }
    if options.zeroize {
        let open = OpenDevice::open(machine, device, Access::Write)?;
        open.zero(Bytes(0), open.size(), &share)?;
        open.flush()?;
        samples::verify_zero(&open)?;
    }
    Ok(())
}

/// One pass of several: each counts for its part of the device.
struct Share<'a> {
    watch: &'a dyn Watch,
    passes: u64,
}

impl Watch for Share<'_> {
    fn advance(&self, bytes: u64) {
        self.watch.advance(bytes / self.passes);
    }

    fn cancelled(&self) -> bool {
        self.watch.cancelled()
    }
}

/// Writes a stream of random bytes over the whole device, past the page cache, and makes it durable.
fn random_pass(device: &EligibleDevice, size: Bytes, watch: &dyn Watch) -> Result<(), DeviceError> {
    let failed = |action| move |cause| DeviceError::Io { device: device.name.clone(), action, cause };
    let file = device.open_exclusive(nix::libc::O_DIRECT).map_err(failed("opening"))?;
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
        let mut at = 0;
        while at < size.0 {
            if watch.cancelled() {
                return Err(DeviceError::Cancelled { device: device.name.clone() });
            }
            let Ok(buffer) = take_full.recv() else { break };
            let length = (size.0 - at).min(BUFFER_BYTES as u64) as usize;
            file.write_all_at(&buffer[..length], at).map_err(failed("overwriting"))?;
            watch.advance(length as u64);
            at += length as u64;
            give_empty.send(buffer).ok();
        }
        file.sync_all().map_err(failed("flushing"))
    })
}
