//! Erasing by discard, for devices that then read as zeros: proven on patterns written before.

use ferric_hardware::machine::Machine;
use ferric_hardware::open_device::{Access, DeviceError, OpenDevice};
use ferric_hardware::units::Bytes;
use ferric_hardware::watch::Watch;

use super::workers::Job;

/// Length of each pattern.
const PATTERN: Bytes = Bytes::mib(1);
/// Where patterns are written, in percent of the device.
const PLACES: [u64; 10] = [0, 1, 10, 25, 40, 50, 60, 75, 90, 99];

/// Discards the whole device and makes sure that the patterns written before are gone.
///
/// # Errors
/// [`DeviceError::Unsupported`] when the device cannot discard, [`DeviceError::NotZero`] when a pattern does not read as
/// zeros; the device must then be erased otherwise.
pub(super) fn discard(machine: &Machine, job: &Job) -> Result<(), DeviceError> {
    let open = OpenDevice::open(machine, &job.disk, Access::Write)?;
    let Some(room) = open.size().0.checked_sub(PATTERN.0) else {
        let reason = "too small to prove a discard".to_string();
        return Err(DeviceError::Unsupported { device: job.disk.name.clone(), reason });
    };
    let block = u64::from(open.block_size().0);
    let places = PLACES.map(|percent| Bytes(room / 100 * percent / block * block));
    let pattern = vec![0xa5; PATTERN.0 as usize];
    for at in places {
        open.write(&pattern, at)?;
        job.advance(0);
    }
    open.flush()?;
    open.discard(Bytes(0), open.size(), job)?;
    open.flush()?;
    places.into_iter().try_for_each(|at| open.verify_zero(at, PATTERN))
}
