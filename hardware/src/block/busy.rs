//! Devices that are busy for a moment only: udev looks into whatever was just written and closed, and a child that is
//! being started holds a copy of every descriptor until it runs.

use std::io;
use std::time::{Duration, Instant};

/// How often a busy device is asked again.
const POLL: Duration = Duration::from_millis(50);

/// Repeats `work` while it fails with EBUSY, up to `limit`.
///
/// # Errors
/// The last error of `work`.
pub(crate) fn when_free<T>(limit: Duration, work: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let end = Instant::now() + limit;
    loop {
        match work() {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < end => std::thread::sleep(POLL),
            result => return result,
        }
    }
}
